"""Windows, boxes and shares of mixing beside those that torchvision and timm draw."""

import random
from collections import Counter
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("torchvision", reason="torchvision is not installed: `make peers`")
pytest.importorskip("timm", reason="timm is not installed: `make peers`")

from torchvision.transforms import v2

from tests.peers.witness import THEIRS, assert_alike, assert_one_law, plan_of

Boxes = NDArray[np.float64]  # [N, 4]: top, left, height, width
SIZES = ((375, 500), (40, 36), (20, 200), (97, 11))
SCALES = ((0.08, 1.0), (0.5, 0.9), (0.9, 1.0))


def zeros(size: tuple[int, int]) -> Any:
    return torch.zeros(3, *size, dtype=torch.uint8)


def boxes_alike(ours: Boxes, theirs: Boxes) -> None:
    """Hold that places, sides, area and aspect of boxes have one law, and so has the commonest."""
    for k in range(4):
        assert_one_law(ours[:, k], theirs[:, k])
    assert_one_law(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3])
    assert_one_law(ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3])
    common = Counter(map(tuple, theirs.tolist())).most_common(1)[0][0]
    shares = [
        Counter(tuple(row) == common for row in boxes.tolist()) for boxes in (ours, theirs)
    ]  # what is taken where nothing fits
    assert_alike(*shares)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", SIZES)
def test_random_resized_crops_are_torchvisions(
    size: tuple[int, int], scale: tuple[float, float]
) -> None:
    transform, image = v2.RandomResizedCrop(24, scale), zeros(size)
    torch.manual_seed(1)
    drawn = [transform.make_params([image]) for _ in range(THEIRS)]
    theirs = np.array([[one[key] for key in ("top", "left", "height", "width")] for one in drawn])
    plan = plan_of(f"random_resized_crop(24, scale={list(scale)})", size=(24, 24))
    boxes_alike(plan.window.at(*size).box.astype(float), theirs.astype(float))


def test_random_resized_crops_are_timms_and_so_are_their_filters() -> None:
    transforms: Any = import_module("timm.data.transforms")
    image = import_module("PIL.Image").new("RGB", (500, 375))
    random.seed(2)
    made = transforms.RandomResizedCropAndInterpolation(24, interpolation="random")
    theirs = np.array([made.get_params(image, made.scale, made.ratio) for _ in range(THEIRS)])
    plan = plan_of('random_resized_crop(24, interpolation="random")', size=(24, 24))
    windows = plan.window.at(375, 500)
    boxes_alike(windows.box.astype(float), theirs.astype(float))
    assert len(made.interpolation) == 2  # bilinear and bicubic, each as often
    shares = Counter(windows.filters.tolist())
    assert len(shares) == 2
    assert_alike(shares, Counter(dict.fromkeys(shares, len(windows.filters) // 2)))


ERASING: dict[str, dict[str, Any]] = {
    "": {},
    ", scale=[0.3, 0.9]": {"scale": (0.3, 0.9)},  # the first try often does not fit
    ", scale=[0.6, 1.0], ratio=[0.2, 5.0]": {"scale": (0.6, 1.0), "ratio": (0.2, 5.0)},
}


@pytest.mark.parametrize("size", [(224, 224), (32, 20)])
@pytest.mark.parametrize("more", ERASING)
def test_erased_boxes_are_torchvisions(more: str, size: tuple[int, int]) -> None:
    transform, image = v2.RandomErasing(1.0, **ERASING[more]), zeros(size)
    torch.manual_seed(1)
    drawn = [transform.make_params([image]) for _ in range(THEIRS)]
    none = [one["v"] is None for one in drawn]
    theirs = np.array([[one[key] for key in "ijhw"] for one in drawn if one["v"] is not None])
    erased = plan_of(f"random_erasing(1.0{more})", size=size).erased.astype(float)
    ours = np.concatenate([erased[:, :2], erased[:, 2:] - erased[:, :2]], axis=1)
    empty = (ours[:, 2:] == 0).any(axis=1)
    assert_alike(Counter(empty.tolist()), Counter(none))
    boxes_alike(ours[~empty], theirs.astype(float))


@cache
def erased_by_timm(count: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the share of each image that timm erases."""
    made: Any = import_module("timm.data.random_erasing").RandomErasing(
        1.0, min_count=count[0], max_count=count[1], max_area=0.33, device="cpu"
    )
    random.seed(3)
    # Its count is drawn for an image, as it comes alone.
    images = torch.ones(THEIRS // 2, 1, *size)
    for image in images:
        made(image)
    return 1.0 - images.double().mean((1, 2, 3)).numpy()


@pytest.mark.parametrize("count", [(1, 1), (3, 3), (1, 4)])
def test_as_much_is_erased_by_several_boxes_as_timm_erases(count: tuple[int, int]) -> None:
    size = (24, 30)
    boxes = plan_of(f"random_erasing(1.0, count={list(count)})", 20_000, size).all_erased
    y, x = np.arange(size[0])[:, None], np.arange(size[1])[None, :]
    hidden = np.zeros((len(boxes), *size), np.bool_)
    for k in range(boxes.shape[1]):
        top, left, bottom, right = boxes[:, k].T[:, :, None, None]
        hidden |= (y >= top) & (y < bottom) & (x >= left) & (x < right)
    # The same shares as floats, so that equal ones are equal.
    ours, theirs = hidden.mean(axis=(1, 2)), erased_by_timm(count, size)
    assert_one_law(np.round(ours, 9), np.round(theirs, 9))


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_of_mixup_are_torchvisions(alpha: float) -> None:
    torch.manual_seed(1)
    mixup, images = v2.MixUp(alpha=alpha, num_classes=2), [torch.zeros(2, 3, 4, 4)]
    lam = [float(mixup.make_params(images)["lam"]) for _ in range(THEIRS)]
    assert_one_law(plan_of(f"mixup({alpha}, p=1.0)", size=(4, 4)).mixes.lam, lam)


@pytest.mark.parametrize("size", [(224, 224), (48, 40)])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_patches_of_cutmix_are_torchvisions_but_for_a_pixel(
    alpha: float, size: tuple[int, int]
) -> None:
    # Half of a side is rounded down there, and doubled; here the whole side is, as is documented.
    cutmix, images = v2.CutMix(alpha=alpha, num_classes=2), [torch.zeros(2, 3, *size)]
    torch.manual_seed(1)
    drawn = [cutmix.make_params(images) for _ in range(THEIRS)]
    left, top, right, bottom = np.array([list(map(int, one["box"])) for one in drawn]).T
    patch = plan_of(f"cutmix({alpha}, p=1.0)", size=size).mixes.patch
    pairs = ((patch[:, 0], patch[:, 2]), (top, bottom)), ((patch[:, 1], patch[:, 3]), (left, right))
    for (ours, theirs), side in zip(pairs, size, strict=True):
        whole = [(last - first)[(first > 0) & (last < side)] for first, last in (ours, theirs)]
        assert (whole[1] % 2 == 0).all()
        assert_one_law(whole[0] // 2 * 2, whole[1])
        centers = [(first + last)[last - first > 1] for first, last in (ours, theirs)]
        assert_one_law(centers[0] // 2, centers[1] // 2)
