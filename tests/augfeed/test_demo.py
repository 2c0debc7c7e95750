import importlib.metadata
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from augfeed.demo import GROUP, digits, digits_policy, opened, photos, run_demo
from augfeed.errors import MissingExtraError
from augfeed.policy.check import check_policy
from augfeed.read.folder import FolderSource
from augfeed.read.sources import ArraySource

pytest.importorskip("sklearn")


def test_the_digits_are_known_as_digits_and_keep_their_rules() -> None:
    source = digits()
    assert isinstance(source, ArraySource)
    assert (len(source), source.sizes, source.channels, source.name) == (1797, (8, 8), 1, "digits")
    assert source.images.max() == 255
    check_policy(digits_policy(), "digits", source=source.sizes)


def test_the_statistics_are_those_of_the_digits() -> None:
    source = digits()
    assert isinstance(source, ArraySource)
    values = source.images / 255
    assert values.mean() == pytest.approx(0.3053, abs=2e-4)
    assert values.std() == pytest.approx(0.3760, abs=2e-4)


def test_the_photos_are_files_of_two_classes(tmp_path: Path) -> None:
    source = photos(tmp_path)
    assert source.classes == ("china", "flower")
    assert source.labels is not None
    assert np.bincount(source.labels).tolist() == [16, 16]
    first, last = source.image(0), source.image(15)
    assert first.shape == last.shape == (375, 500, 3)
    assert np.abs(first.astype(int) - last).mean() > 10, "the crops differ"
    red, green, blue = source.image(20)[180:220, 260:320].mean(axis=(0, 1))
    assert red > green > blue, "the flower is orange"


def test_embedded_data_are_opened_by_name_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened("digits") as source:
        assert len(source) == 1797
    with opened("photos") as source:
        assert isinstance(source, FolderSource)
        path = Path(source.path(0))
        assert path.is_file()
    assert not path.exists()


def test_a_folder_of_the_same_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "cat" / "a.png")
    with opened("photos") as source:
        assert source.classes == ("cat",)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augfeed\[demo\]'"):
        digits()


def parts_of_others(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    entries = [EntryPoint(name, value, GROUP) for name, value in values.items()]
    real = importlib.metadata.entry_points

    def found(**asked: str) -> Any:
        return entries if asked == {"group": GROUP} else real(**asked)

    monkeypatch.setattr(importlib.metadata, "entry_points", found)


def their_part(console: Console, out: Path) -> list[Path]:
    console.print("their part")
    return [out / "theirs.png"]


def test_the_demo_ends_with_the_parts_of_other_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "theirs", sys.modules[__name__])
    parts_of_others(monkeypatch, training="theirs:their_part", other="nothing_such:run")
    assert run_demo(Console(width=200), tmp_path, seconds=0.1)[4:] == [tmp_path / "theirs.png"]
    printed = capsys.readouterr().out
    assert "no other: No module named 'nothing_such'; pip install 'augfeed[train]'" in printed
    assert printed.index("decoding alone") < printed.index("their part")


def test_the_demo_shows_decisions_images_refusal_and_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts_of_others(monkeypatch)
    with (tmp_path / "printed.txt").open("w") as file:
        written = run_demo(Console(file=file, width=100), tmp_path / "out" / "new", seconds=0.1)
    printed = (tmp_path / "printed.txt").read_text()
    assert sorted(path.name for path in written) == [
        "digit.png", "digits.png", "photo.png", "photos.png",
    ]  # fmt: skip
    for path in written:
        with Image.open(path) as image:
            assert image.width > 500
    for said in (
        "breaks horizontal_flip=False",
        "rotate(degrees=12.0)",
        "sample 22 ('2'), epoch 1, seed 0",
        "cutmix: ",
        "decoding alone",
        *map(str, written),
    ):
        assert said in printed
