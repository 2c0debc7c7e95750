"""Boxes and points beside Kornia's by the same matrix; where Kornia's are off, ours are not."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed.fields import Boxes, Keypoints, SpatialMap, maps_of, move_boxes, move_keypoints
from augfeed.notation import parse_policy
from augfeed.plan import BatchRows, draw_plan

HIGH, WIDE = 48, 64
BOXES = np.array([[20.0, 10.0, 40.0, 30.0], [30.0, 8.0, 64.0, 40.0], [0.0, 0.0, 64.0, 48.0]])
POINTS = np.array([[20.0, 10.0], [39.0, 29.0], [0.0, 0.0]])
EVERY = Boxes(min_side=0)


@pytest.fixture(name="kornia")
def _kornia() -> Any:
    return pytest.importorskip("kornia", reason="kornia is a witness: pip install kornia")


def shown(policy: str) -> SpatialMap:
    parsed = parse_policy(policy)
    size = parsed.size((HIGH, WIDE))
    plan = draw_plan(parsed, BatchRows.of([0]), seed=5, epoch=0, size=size)
    return next(maps_of(plan, np.array([[HIGH, WIDE]])))


def painted(where: SpatialMap) -> list[int]:
    """The box of the pixels that show those of the first box."""
    places = where.indices()
    rows, columns = np.divmod(places, WIDE)
    x0, y0, x1, y1 = BOXES[0]
    inside = (places >= 0) & (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
    ys, xs = np.nonzero(inside)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


def of_kornia(kornia: Any, step: Any) -> tuple[Any, Any]:
    keys = ["input", "bbox_xyxy", "keypoints"]
    both = kornia.augmentation.AugmentationSequential(step, data_keys=keys)
    image, boxes = torch.zeros(1, 1, HIGH, WIDE), torch.from_numpy(BOXES[None]).float()
    _, moved, points = both(image, boxes, torch.from_numpy(POINTS[None]).float())
    return moved[0].numpy(), points[0].numpy()


@pytest.mark.parametrize("policy", ["rotate(40, p=1.0)", "perspective(0.3, p=1.0) | hflip(p=1.0)",
                                    "scale((0.5, 0.8), p=1.0) | shear(20, p=1.0)"])  # fmt: skip
def test_corners_and_points_are_moved_alike_by_the_same_matrix(kornia: Any, policy: str) -> None:
    where = shown(policy)
    x, y = BOXES[:, [0, 2, 2, 0]], BOXES[:, [1, 1, 3, 3]]
    corners = torch.from_numpy(np.stack([x, y], axis=-1))
    matrix = torch.from_numpy(where.forward)[None]
    moved = kornia.geometry.transform_points(matrix.expand(len(BOXES), 3, 3), corners).numpy()
    hulls = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    assert np.allclose(hulls, move_boxes(BOXES, where, EVERY).hulls, atol=1e-6)
    points = kornia.geometry.transform_points(matrix, torch.from_numpy(POINTS + 0.5)[None])[0] - 0.5
    ours = move_keypoints(POINTS, where, Keypoints(flip_pairs=()), "points")
    assert np.allclose(points, ours, atol=1e-6)


@pytest.mark.parametrize(("policy", "step", "off"), [
    ("hflip(p=1.0)", "RandomHorizontalFlip", 1.0), ("vflip(p=1.0)", "RandomVerticalFlip", 1.0),
    ("scale((2.0, 2.0), p=1.0)", "RandomAffine", 0.5), ("resize((96, 128))", "Resize", 0.5),
])  # fmt: skip
def test_boxes_that_kornia_shifts_are_where_the_pixels_are(
    kornia: Any, policy: str, step: str, off: float
) -> None:
    made = getattr(kornia.augmentation, step)
    where = shown(policy)
    given = {"RandomAffine": (0.0, None, (2.0, 2.0)), "Resize": ((96, 128),)}.get(step, ())
    theirs, _ = of_kornia(kornia, made(*given, p=1.0))
    ours = move_boxes(BOXES, where, EVERY).boxes
    assert np.abs(ours[0] - painted(where)).max() < 1e-9
    shift = np.abs(theirs[0] - painted(where)).max()
    assert shift >= off - 0.1, f"Kornia's {step} moves boxes exactly now: off by {shift}"


@pytest.mark.parametrize("step", ["RandomHorizontalFlip", "Resize"])
def test_the_box_of_the_whole_image_leaves_it_in_kornia_and_stays_here(
    kornia: Any, step: str
) -> None:
    given, policy = {"Resize": (((96, 128),), "resize((96, 128))")}.get(step, ((), "hflip(p=1.0)"))
    theirs, _ = of_kornia(kornia, getattr(kornia.augmentation, step)(*given, p=1.0))
    where = shown(policy)
    height, width = where.size
    assert move_boxes(BOXES, where, EVERY).boxes[2].tolist() == [0, 0, width, height]
    outside = theirs[2].min() < -0.5 or (theirs[2, 2:] - (width, height)).max() > 0.5
    assert outside, f"Kornia's {step} keeps boxes inside now"


def test_flipped_points_agree_with_kornia(kornia: Any) -> None:
    _, theirs = of_kornia(kornia, kornia.augmentation.RandomHorizontalFlip(p=1.0))
    ours = move_keypoints(POINTS, shown("hflip(p=1.0)"), Keypoints(flip_pairs=()), "points")
    assert np.array_equal(ours, theirs)
