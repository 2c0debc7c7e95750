"""Views that cannot be made: the message names the argument, its value and the cure."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Dataset

from augfeed import DataLoader, resolve_views
from augfeed.datasets import MaskFolder
from augfeed.errors import InputError, PolicyError
from augfeed.presets import PRESETS, SETS_OF_VIEWS, resolve_policy
from augfeed.view_presets import VIEW_PRESETS
from tests.augfeed.datasets import small

CROP = "random_resized_crop(16, scale=[0.3, 1.0])"
GLOBAL = f"{CROP} | color_jitter(0.4, 0.4) | hflip"
LOCAL = "random_resized_crop(8, scale=[0.05, 0.3]) | color_jitter(0.4, 0.4) | hflip"
VIEWS = {"global": GLOBAL, "local": (LOCAL, 3)}
ARRAYS = np.zeros((8, 16, 16, 3), np.uint8), np.zeros(8, np.int64)


class Samples(Dataset[Any]):
    """Samples of a class that nobody knows."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, k: int) -> Any:
        return ARRAYS[0][k], 0


DEEP: Any = GLOBAL
for _ in range(5000):
    DEEP = [DEEP]
REFUSED: dict[str, tuple[Any, str]] = {
    "mixing in a list": ({"a": [[f"{CROP} | mixup"], GLOBAL]}, "labels of views come once"),
    "mixing in a choice": ({"a": f"{CROP} | one_of([mixup, cutmix])"}, "labels of views come once"),
    "mixing for a while": (
        {"a": f"{CROP} | mixup | schedule(mixing_until=1)"}, "labels of views come once"),
    "mixing of boxes": ({"a": f"{CROP} | copy_paste"}, "needs the boxes or masks"),
    "nested too deeply": ({"a": DEEP}, "nests lists too deeply"),
    "nothing": ("", "views='' is not a preset of views: use one of simclr"),
    "an empty text": ("  ", "views='' is not a preset of views"),
    "None for a view": ({"a": None}, "None, of NoneType, is not a view"),
    "number for a view": ({"a": 3}, "3, of int, is not a view"),
    "negative": ({"a": (GLOBAL, -1)}, "count=-1 is not 1 or more"),
    "yes for a count": ({"a": (GLOBAL, True)}, "count=True is not an integer"),
    "text for a count": ({"a": {"policy": GLOBAL, "count": "2"}}, "count='2' is not an integer"),
    "unknown operation": ({"a": "hflipp"}, "did you mean 'hflip'"),
    "mixing": ({"a": f"{CROP} | cutmix(1.0)"}, "labels of views come once"),
    "smoothing": ({"a": f"{CROP} | label_smoothing(0.1)"}, "labels of views come once"),
    "sizes": ({"a": (GLOBAL, LOCAL)}, "have sizes"),
    "no views": ({}, "not a dict of name and views"),
    "no policies": ({"a": ()}, "has no views"),
    "name": ({"a b": GLOBAL}, "not the name of a tensor"),
    "number": ({"a": (GLOBAL, 0)}, "not 1 or more"),
    "fraction": ({"a": (GLOBAL, 1.5)}, "not an integer"),
    "too many": ({"a": (GLOBAL, 65)}, "above 64"),
    "unknown preset": ("dinno", "did you mean 'dino'"),
    "a policy": ("imagenet", "give views=2 beside policy="),
    "none": (0.5, "is not a set of views"),
    "yes": (True, "is not a set of views"),
    "unknown field": ({"tensors": {"a": GLOBAL}, "shares": ["crop"]}, "did you mean 'share'"),
    "unknown kind": ({"tensors": {"a": GLOBAL}, "share": ["colour"]}, "did you mean 'color'"),
    "inside nothing": ({"tensors": {"a": GLOBAL}, "inside": {"b": "a"}}, "inside names 'b'"),
    "inside itself": ({"tensors": {"a": GLOBAL}, "inside": {"a": "a"}}, "cannot lie inside"),
    "inside no crop": (
        {"tensors": {"a": "random_crop(8)", "b": CROP}, "inside": {"b": "a"}},
        "no random_resized_crop",
    ),
    "crops of other laws": (
        {"tensors": {"a": GLOBAL, "b": LOCAL}, "share": ["crop"]}, "give them one law"),
    "sizes of a later epoch": (
        {"a": (f"{GLOBAL} | schedule(size=[[2, 12]])", GLOBAL)}, "in epoch 2, and make one tensor"),
    "unknown key": ({"a": {"policy": GLOBAL, "counts": 2}}, "did you mean 'count'"),
    "count in text": ("a: hflip x two", "policy x count"),
    "twice in text": ("a: hflip; a: hflip", "twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_named(name: str) -> None:
    given, message = REFUSED[name]
    with pytest.raises((PolicyError, InputError, TypeError), match=message):
        resolve_views(given)


def test_a_set_of_views_that_is_given_as_a_policy_is_named() -> None:
    assert set(SETS_OF_VIEWS) == VIEW_PRESETS.keys() - PRESETS.keys()
    with pytest.raises(PolicyError, match=re.escape("give views='dino(64)'")):
        resolve_policy("dino(64)")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(ARRAYS[0][0]).save(tmp_path / label / "0.jpg")
    return tmp_path


def test_loaders_refuse_what_does_not_go_with_views(photos: Path) -> None:
    with pytest.raises(PolicyError, match="leave one of them out"):
        DataLoader(photos, views=VIEWS, policy=GLOBAL)
    with pytest.raises(PolicyError, match="give policy="):
        DataLoader(photos, views=2)
    with pytest.raises(InputError, match="collate_fn"):
        DataLoader(Samples(), views=VIEWS, collate_fn=list)
    with pytest.raises(InputError, match="fields"):
        DataLoader(Samples(), views=VIEWS, fields={0: "mask"})
    with pytest.raises(InputError, match="dali"):
        DataLoader(photos, views=VIEWS, reader="dali")


def test_masks_that_cannot_follow_every_view_are_refused(tmp_path: Path) -> None:
    small.masks(tmp_path / "masks")
    for data in (str(tmp_path / "masks"), MaskFolder(tmp_path / "masks")):
        with pytest.raises(InputError, match="cannot follow all: leave views out"):
            DataLoader(data, views=2, policy=GLOBAL)


NUMBERS: dict[str, tuple[Any, str]] = {
    "zero": (0, "views=0 is not 1 or more"),
    "negative": (-3, "views=-3 is not 1 or more"),
    "too many": (65, "views=65 are above 64"),
    "a fraction": (2.0, "views=2.0 is not a set of views"),
    "yes": (True, "views=True is not a set of views"),
    "no": (False, "views=False is not a set of views"),
    "a list": ([GLOBAL, GLOBAL], "is not a set of views: give a number, a dict"),
    "an empty list": ([], "views=[] is not a set of views"),
    "an array": (np.zeros(2), "is not a set of views"),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("data", [ARRAYS, Samples()])
def test_a_wrong_number_of_views_is_named(name: str, data: Any) -> None:
    given, message = NUMBERS[name]
    with pytest.raises((PolicyError, InputError), match=re.escape(message)):
        DataLoader(data, views=given, policy=GLOBAL)
