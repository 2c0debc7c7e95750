"""Users without a home, and folders that cannot be written: reading goes on, nothing is kept."""

import os
import pwd
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import augfeed
from augfeed.errors import InputError
from augfeed.read.cache import Cache
from augfeed.read.cache_dir import cache_folder

NAMES = ("HOME", "XDG_CACHE_HOME", "AUGFEED_CACHE")
SIZE = "resize(8) | center_crop(8)"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        pixels = np.full((12, 12, 3), 40 + 90 * k, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name / "a.png")
    return tmp_path / "photos"


def nobody(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    """A user number without an entry, and no HOME: a container, a batch system."""

    def unknown(_: int) -> Any:
        raise KeyError("getpwuid(): uid not found")

    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def of_no_user(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUGFEED_CACHE", "~no_such_user/kept")


def empty(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    nobody(monkeypatch, _)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("AUGFEED_CACHE", "")


def below_a_file(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    (place / "file").touch()
    monkeypatch.setenv("AUGFEED_CACHE", str(place / "file" / "kept"))


def missing_home(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    nobody(monkeypatch, place)
    monkeypatch.setenv("HOME", os.devnull)


Users = Callable[[pytest.MonkeyPatch, Path], None]
HOMELESS: list[Users] = [nobody, of_no_user, empty]
UNWRITABLE: list[Users] = [below_a_file, missing_home]


def packed(photos: Path) -> Path:
    with tarfile.open(photos.parent / "shard.tar", "w") as archive:
        for path in sorted(photos.rglob("*.png")):
            archive.add(path, f"{path.parent.name}.png")
    return photos.parent / "shard.tar"


@pytest.mark.parametrize("user", HOMELESS + UNWRITABLE)
def test_reading_goes_on_where_nothing_can_be_kept(
    user: Users, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = packed(photos)
    monkeypatch.setattr("augfeed.read.cached_listing.SLOW", 0.0)  # every listing is worth keeping
    user(monkeypatch, photos.parent)
    for data in (photos, str(photos), shard, [(photos / "cat" / "a.png", 0)] * 2):
        for cache in (None, "ram"):
            loader = augfeed.DataLoader(data, 2, policy=SIZE, cache=cache)
            assert [len(batch[0]) for batch in loader] == [2]


@pytest.mark.parametrize("user", HOMELESS)
def test_a_cache_on_disk_without_a_home_names_its_cure(
    user: Users, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user(monkeypatch, photos.parent)
    with pytest.raises(InputError, match=r"cache='disk': .*AUGFEED_CACHE to a folder"):
        augfeed.DataLoader(photos, 1, policy=SIZE, cache="disk")
    kept = Cache("disk", folder=photos.parent / "kept")
    assert [
        len(images) for images, _ in augfeed.DataLoader(photos, 2, policy=SIZE, cache=kept)
    ] == [2]
    monkeypatch.setenv("AUGFEED_CACHE", str(photos.parent / "named"))
    assert Cache("disk").place() == photos.parent / "named" / "pictures"


@pytest.mark.parametrize("user", UNWRITABLE)
def test_a_cache_on_disk_that_cannot_be_written_is_reported_once(
    user: Users, photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user(monkeypatch, photos.parent)
    loader = augfeed.DataLoader(photos, 1, policy=SIZE, cache="disk")
    assert [len(images) for images, _ in loader] == [1, 1]
    said = [record.message for record in caplog.records if "cannot be written" in record.message]
    assert len(said) == 1 and "pictures" in said[0]


def test_no_folder_can_be_made_for_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody(monkeypatch, Path())
    with pytest.raises(OSError):
        cache_folder("listings").mkdir(parents=True)
    assert not cache_folder("listings").exists()
