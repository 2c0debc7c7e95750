"""What a path stands for: the home folder, characters of patterns in names, large class numbers."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import augfeed
from augfeed.errors import InputError, InputTypeError, ReadError
from augfeed.read.cache import Cache
from augfeed.read.cache_dir import asked_folder
from augfeed.read.cached_listing import kept
from augfeed.read.labels import check_classes
from augfeed.read.sources import open_source

POLICY = "resize(4) | center_crop(4)"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, folder in (("HOME", "home"), ("AUGFEED_CACHE", "kept"), ("here", "here")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "home" / "photos" / "cat").mkdir(parents=True)
    Image.new("RGB", (6, 6)).save(tmp_path / "home" / "photos" / "cat" / "x.png")
    return tmp_path / "home"


@pytest.mark.parametrize("end", ["\r", "\n", " ", "\r\n"])
def test_white_space_at_the_end_of_a_name_is_shown_with_what_to_do(home: Path, end: str) -> None:
    name = f"{home}/photos/cat/x.png{end}"
    with pytest.raises(ReadError, match=r"begins or ends with white space; strip") as told:
        next(iter(augfeed.DataLoader([(name, 0)], 1, policy=POLICY)))
    assert repr(name) in str(told.value)
    with open(name, "wb") as file:  # such names are names, too
        Image.new("RGB", (6, 6)).save(file, "PNG")
    assert len(next(iter(augfeed.DataLoader([(name, 0)], 1, policy=POLICY)))[0]) == 1


def test_a_tilde_is_the_home_folder_for_data_of_every_kind(home: Path) -> None:
    given: list[Any] = [
        "~/photos", Path("~/photos"), ["~/photos/cat/x.png"], [(Path("~/photos/cat/x.png"), 0)],
    ]  # fmt: skip
    for data in given:
        (batch,) = augfeed.DataLoader(data, 1, policy=POLICY)
        assert len(batch[0]) == 1
    with pytest.raises(InputError, match="is a path, which needs a policy"):
        augfeed.DataLoader("~/photos", 1)


@pytest.mark.parametrize("name", ["~", "~user", "~/photos"])
def test_a_dot_before_a_tilde_names_what_lies_here(home: Path, name: str) -> None:
    for label in ("a", "b"):
        Path(".", name, label).mkdir(parents=True)
        Image.new("RGB", (6, 6)).save(Path(".", name, label, "y.png").absolute())
    source = open_source(f"./{name}")
    assert source.classes == ("a", "b") and source.num_classes == 2


def test_a_tilde_is_the_home_folder_for_a_cache_that_is_written(home: Path) -> None:
    cache = Cache("disk", side=4, folder="~/pictures")
    list(augfeed.DataLoader(home / "photos", 1, policy=POLICY, cache=cache))
    assert any((home / "pictures").iterdir()) and not os.listdir()


def test_without_a_home_folder_listings_are_not_kept_and_a_cache_says_what_to_set(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUGFEED_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", os.fspath)  # so does it where no home is known
    assert kept("key", lambda found: True, lambda: [1], slow=0.0) == [1]
    with pytest.raises(InputError, match="set the environment variable AUGFEED_CACHE"):
        asked_folder("pictures", "cache='disk'")
    assert not os.listdir()


class Name(str):
    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, str(other))

    __hash__ = str.__hash__

    def __str__(self) -> str:
        return self


def test_names_of_many_classes_are_not_compared_each_with_each() -> None:
    Name.compared = 0
    names = [Name(f"n{k:08d}") for k in range(2000)]
    assert check_classes(names) == tuple(names)
    assert Name.compared < 4 * 2000
    with pytest.raises(InputError, match="classes has 'n00000007' more than once"):
        check_classes([*names, Name("n00000007")])


def test_class_numbers_in_a_list_of_files_have_a_bound() -> None:
    source = augfeed.open_source([("a.jpg", 0), ("b.jpg", 81_312)])
    assert source.num_classes == 81_313
    with pytest.raises(InputError, match=r"item 1 of the list, \('b.jpg', 1099511627776\), has a"):
        augfeed.open_source([("a.jpg", 0), ("b.jpg", 1 << 40)])


@pytest.mark.parametrize(
    "path", ["http://x/{0..3}.tar", "s3://bucket/photos", "pipe:cat a.tar", "file:///a.tar"]
)
def test_an_address_is_not_a_path(path: str) -> None:
    with pytest.raises(InputError, match=r"is not a path on this machine: fetch the files first"):
        open_source(path)


def test_an_empty_path_is_not_the_working_folder() -> None:
    with pytest.raises(InputError, match="the path '' is empty"):
        augfeed.DataLoader("", policy=POLICY)


@pytest.mark.parametrize(
    "item",
    [
        ("a.jpg", "cat"), ("a.jpg", 1.0), ("a.jpg", None), ("a.jpg", torch.tensor(1)),
        ["a.jpg", 1], (Path("a.jpg"), np.float32(1)),
    ],
)  # fmt: skip
def test_a_pair_without_a_class_number_is_named(item: Any) -> None:
    with pytest.raises(InputTypeError, match=r"item 0 of the list is .*, not a file or a pair"):
        augfeed.DataLoader([item], policy=POLICY)


def test_a_list_of_names_and_images_is_a_dataset() -> None:
    samples = [("a", torch.zeros(3, 8, 8, dtype=torch.uint8))]
    ((names, images),) = augfeed.DataLoader(samples, policy=POLICY)
    assert list(names) == ["a"] and images.shape == (1, 3, 4, 4)
