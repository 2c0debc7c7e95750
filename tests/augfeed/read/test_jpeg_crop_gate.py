"""The binding to libjpeg: where anything about it is unknown it is left alone."""

import ctypes
import hashlib
import inspect
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from augfeed import DataLoader
from augfeed.doctor import machine
from augfeed.kernels import libjpeg
from augfeed.read import jpeg, jpeg_crop
from tests.template import run_script

GIVEN = jpeg_crop.why_not()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all symbols that are looked for."""
    names: list[str] = []
    found = jpeg_crop._address

    def address(library: Any, name: str) -> int:
        names.append(name)
        return found(library, name)

    monkeypatch.setattr(jpeg_crop, "_address", address)
    return names


def refusal() -> str:
    library = jpeg_crop._Library()
    assert library.get() is None
    return library.reason


@pytest.mark.parametrize("system", ["win32", "cygwin", "freebsd14", "emscripten", "aix"])
def test_on_another_system_no_symbol_is_looked_for(
    system: str, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert system in refusal() and not looked


@pytest.mark.parametrize("name", ["riscv64", "s390x", "ppc64le", "i686", "armv7l", ""])
def test_on_another_machine_no_symbol_is_looked_for(
    name: str, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: name)
    assert name in refusal() and not looked


@pytest.mark.parametrize("kind", list(jpeg_crop._SIZES), ids=lambda kind: kind.__name__)
def test_where_a_type_has_another_size_no_symbol_is_looked_for(
    kind: Any, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = ctypes.sizeof
    monkeypatch.setattr(ctypes, "sizeof", lambda one: 2 if one is kind else size(one))
    assert "has not" in refusal() and not looked


@pytest.mark.parametrize("value", ["0", "no", "off", "2", "01"])
def test_the_switch_turns_it_off_before_any_symbol_is_looked_for(
    value: str, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(jpeg_crop.SWITCH, value)
    assert f"AUGFEED_JPEG_CROP={value}" in refusal().replace("'", "") and not looked


@pytest.mark.skipif(GIVEN is not None, reason=f"{GIVEN}")
@pytest.mark.parametrize("value", ["", "1"])
def test_the_switch_may_say_that_it_is_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jpeg_crop.SWITCH, value)
    assert jpeg_crop._Library().get() is not None


@pytest.mark.parametrize("missing", jpeg_crop._JUMPS)
def test_nothing_is_compiled_that_lacks_a_function_of_the_process(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def address(library: Any, name: str) -> int:
        if name == missing:
            raise AttributeError(f"undefined symbol: {name}")
        return 1

    def never() -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(jpeg_crop, "_address", address)
    monkeypatch.setattr(libjpeg, "addresses", never)
    assert missing in refusal()


@pytest.mark.parametrize("module", ["PIL._imaging", "augfeed.kernels.libjpeg"])
def test_a_module_that_cannot_be_imported_breaks_nothing(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, _, name = module.rpartition(".")
    monkeypatch.delattr(sys.modules[package], name)
    monkeypatch.setitem(sys.modules, module, None)
    assert "cannot be called" in refusal()


@pytest.mark.parametrize("kind", [RuntimeError, TypeError, NotImplementedError, OSError])
def test_whatever_the_compiler_raises_breaks_nothing(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises() -> None:
        raise kind("another version")

    monkeypatch.setattr(libjpeg, "addresses", raises)
    assert "another version" in refusal()


def test_a_private_module_without_a_file_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["PIL._imaging"], "__file__")
    assert "cannot be called" in refusal()


def test_the_images_tried_are_of_all_kinds() -> None:
    files = list(jpeg_crop._trials())
    headers = [jpeg.read_header(data) for data in files]
    kinds = {(header.components, header.unit) for header in headers if header is not None}
    assert len(headers) == 4 and kinds == {(3, 16), (3, 8), (1, 8)}
    assert sum(b"\xff\xdd" in data for data in files) == 1  # restart markers
    assert all(header is not None and header.runs_on(data)
               for header, data in zip(headers, files, strict=True))  # fmt: skip


@pytest.mark.skipif(GIVEN is not None, reason=f"{GIVEN}")
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("how", ["differs", "refuses"])
def test_one_image_that_fails_is_enough(
    number: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, decoded = list(jpeg_crop._trials())[number], jpeg_crop._decode

    def decode(functions: Any, data: bytes, *rest: Any) -> Any:
        made = decoded(functions, data, *rest)
        if data != chosen or made is None:
            return made
        return made._replace(pixels=made.pixels ^ np.uint8(1)) if how == "differs" else None

    monkeypatch.setattr(jpeg_crop, "_decode", decode)
    assert "otherwise" in refusal()


def test_doctor_names_the_switch() -> None:
    assert jpeg_crop.SWITCH in dict(machine())["JPEG"] or GIVEN is not None


def digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for images, _ in DataLoader(folder, 4, policy="random_crop(48) | hflip", seed=2):
        digest.update(images.numpy().tobytes())
    return digest.hexdigest()


BATCHES = f"""
import hashlib, sys
from pathlib import Path
from augfeed import DataLoader
from augfeed.read import jpeg_crop
{inspect.getsource(digest_of)}
print(digest_of(Path(sys.argv[1])), jpeg_crop.why_not() is None)
"""


def test_turned_off_the_batches_are_the_same(tmp_path: Path) -> None:
    photo = Image.fromarray(load_sample_image("china.jpg"))
    for k in range(6):
        options: dict[str, Any] = {"subsampling": k % 3}
        photo.resize((90 + 31 * k, 120 - 9 * k)).save(tmp_path / f"{k}.jpg", **options)
    ended = run_script(
        BATCHES, str(tmp_path), imports=["augfeed.loader"], environment={jpeg_crop.SWITCH: "0"}
    )
    assert ended.returncode == 0, ended.stderr
    off = ended.stdout.split()
    assert (jpeg_crop.why_not() is None) == (GIVEN is None) and off[1] == "False"
    assert digest_of(tmp_path) == off[0] != hashlib.sha256().hexdigest()
