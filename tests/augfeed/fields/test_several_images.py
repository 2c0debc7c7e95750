"""Several images of a sample that share one plan: stereo pairs, frames of a film."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.errors import InputError
from augfeed.fields import Dense

HIGH, WIDE, COUNT = 30, 44, 8


class Stereo(Dataset[Any]):
    """The right image shows what the left one shows, 3 pixels to the left."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        ys, xs = np.mgrid[:HIGH, :WIDE]
        left = np.stack([xs * 4, ys * 4, np.full_like(xs, 5 * i)]).astype(np.uint8)
        right = np.stack([xs * 4 + 12, ys * 4, np.full_like(xs, 5 * i)]).astype(np.uint8)
        return {
            "left": torch.from_numpy(left), "right": torch.from_numpy(right),
            "disparity": torch.full((HIGH, WIDE), -3.0),
        }  # fmt: skip


def loaded(policy: str, image_key: Any = ("left", "right"), data: Any = None,
           **options: Any) -> list[Any]:  # fmt: skip
    options = {"fields": {"disparity": Dense(disparity=True)}, "seed": 4, **options}
    return list(DataLoader(data or Stereo(), 4, policy=policy, image_key=image_key, **options))


POLICIES = ["hflip", "random_crop(20)", "random_resized_crop(24) | hflip | vflip",
            "scale((0.8, 1.5), p=1.0)", "translate(0.2, p=1.0)",
            "random_crop(20) | one_of([translate(0.2), vflip(p=1.0)])"]  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("key", [("left", "right"), ["left", "right"]], ids=["tuple", "list"])
def test_images_of_a_sample_move_alike(policy: str, key: Any) -> None:
    for batch in loaded(policy, key):
        left, right = batch["left"] * 255, batch["right"] * 255
        shown = (right[:, 0] > 12) & (left[:, 0] > 0) & (left[:, 1] > 0)
        assert shown.float().mean() > 0.3
        assert ((right[:, 0] - left[:, 0] - 12).abs() < 2.5)[shown].float().mean() > 0.97
        assert ((right[:, 1] - left[:, 1]).abs() < 0.1)[shown].float().mean() > 0.97


def test_colors_of_all_images_change_alike() -> None:
    policy = "color_jitter(0.5, 0.0, 0.0) | normalize(0.5, 0.25)"
    both = loaded(policy)
    for batch, alone in zip(both, loaded(policy, "right", passive="left"), strict=True):
        assert torch.equal(batch["right"], alone["right"])
        assert batch["left"].dtype == torch.float32 and batch["left"].min() < -0.5


def test_a_disparity_follows_flips_and_the_width() -> None:
    wide = f"random_resized_crop(({HIGH}, {2 * WIDE}), p=0.0)"
    cases = (("hflip(p=1.0)", 3.0), ("vflip(p=1.0)", -3.0), (wide, -6.0))
    for policy, expected in cases:
        for batch in loaded(policy):
            assert torch.allclose(batch["disparity"], torch.tensor(expected), atol=1e-4)


@pytest.mark.parametrize(("options", "message"), [
    ({"policy": "rotate(9)"}, "'rotate' turns rows"),
    ({"policy": "hflip", "image_key": ["left", "nothing"]}, "'nothing' leads nowhere"),
    ({"policy": "hflip", "image_key": []}, "names no image"),
    ({"policy": "hflip", "collate_fn": list}, "leave collate_fn out"),
], ids=["rotate", "missing", "none", "collate"])  # fmt: skip
def test_what_several_images_cannot_have_is_refused(options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loaded(**options)


def test_images_of_other_sizes_are_refused() -> None:
    class Uneven(Stereo):
        def __getitem__(self, i: int) -> Any:
            sample = super().__getitem__(i)
            return {**sample, "right": sample["right"][:, 1:]}

    with pytest.raises(InputError, match="give images of one size"):
        loaded("hflip", data=Uneven())
