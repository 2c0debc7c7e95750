"""Files that commands write are whole, or as they were before."""

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed.errors import InputError
from augfeed.image_file import write_image
from augfeed.replaced_file import replaced, save_image, write_text

NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.txt": lambda path: path.write_text("x" * 10_000),
    "a.npy": lambda path: np.save(path, NOISE),
    "a.pt": lambda path: torch.save({"weights": torch.from_numpy(NOISE)}, path),
    "a.png": lambda path: save_image(path, Image.fromarray(NOISE)),
    "a.jpg": lambda path: save_image(path, Image.fromarray(NOISE), quality=90),
}


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond 2 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("before", [None, b"as it was"])
def test_a_full_disk_leaves_the_folder_as_it_was(
    name: str, before: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    if before is not None:
        path.write_bytes(before)
    with full_disk(), pytest.raises(OSError) as caught, replaced(path) as part:
        WRITERS[name](part)
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == ([] if before is None else [name])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_an_image_of_the_command_line_is_whole_or_not_there(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"preview.{ending}"
    with full_disk(), pytest.raises(InputError, match=f"{path}.* cannot be written"):
        write_image(Image.fromarray(NOISE), path)
    assert os.listdir(tmp_path) == []
    write_image(Image.fromarray(NOISE), path)
    with Image.open(path) as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_has_the_name_the_rights_and_the_links_that_writing_gives(
    name: str, tmp_path: Path
) -> None:
    plain, path, link = tmp_path / f"plain-{name}", tmp_path / name, tmp_path / f"link-{name}"
    WRITERS[name](plain)
    with replaced(path) as part:
        WRITERS[name](part)
    assert path.read_bytes()[:4] == plain.read_bytes()[:4]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    link.symlink_to(path.name)
    with replaced(link) as part:
        part.write_text("newer")
    assert link.is_symlink() and path.read_text() == "newer"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(os.listdir(tmp_path)) == 3


def test_a_pipe_and_a_device_are_written_to_themselves(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "whole")
        assert os.read(reader, 100) == b"whole"
    finally:
        os.close(reader)
    write_text("/dev/null", "nothing")
    with open(tmp_path / "out", "wb") as file:
        write_text(f"/dev/fd/{file.fileno()}", "by its number")
    assert (tmp_path / "out").read_text() == "by its number"
    assert sorted(os.listdir(tmp_path)) == ["out", "pipe"]


def test_what_ends_the_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replaced(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".txt")
    write_text(path, "a")
    assert path.read_text() == "a"
    with pytest.raises(OSError, match=r"no such folder/a\.txt"):
        write_text(tmp_path / "no such folder" / "a.txt", "a")
