"""Fields follow their image: an image that encodes its own coordinates is the oracle."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from augfeed import DataLoader, parse_policy
from augfeed.fields import (
    Boxes,
    Dense,
    Keypoints,
    Mask,
    SpatialMap,
    maps_of,
    move_boxes,
    move_dense,
    move_keypoints,
)
from augfeed.fields.boxes import from_corners, to_corners
from augfeed.fields.masks import moved_by
from augfeed.plan import BatchRows, draw_plan

HIGH, WIDE = 61, 83
GEOMETRY = (
    "hflip(p=1.0)", "vflip(p=1.0)", "hflip(p=1.0) | vflip(p=1.0)", "random_crop(40)",
    'random_crop((HIGH, WIDE), padding=9, mode="reflect")',
    'random_crop((HIGH, WIDE), padding=9, mode="edge")', "center_crop(48)", "resize((90, 70))",
    "resize((30, 31))", "random_resized_crop(56)", "random_resized_crop(90) | hflip",
    "random_crop((HIGH, WIDE), padding=20) | rotate(25, p=1.0)",
    "random_crop(30) | rotate(9, p=1.0)",
    "rotate(40, p=1.0)", "translate(0.2, p=1.0)", "scale((0.6, 1.5), p=1.0)",
    "shear(20, p=1.0)", "perspective(0.3, p=1.0)",
    'rotate(60, p=1.0) | scale((0.5, 0.8), p=1.0) | hflip | border("reflect")',
    'random_resized_crop(50) | rotate(25, p=1.0) | perspective(0.2, p=1.0) | border("edge")',
    "hflip(p=0.5) | one_of([rotate(40), shear(20), vflip(p=1.0)])",
    "hflip(p=1.0) | sequence([gaussian_blur(1)])",
    "hflip(p=0.5) | vflip | sequence([rotate(30), gaussian_blur(1), vflip(p=0.5), shear(9)])",
    "random_crop(50) | hflip(p=1.0) | sequence([translate(0.2), gaussian_blur(1), "
    "translate(0.2), rotate(9), gaussian_blur(1)]) | rotate(20)",
)  # fmt: skip
POLICIES = [text.replace("HIGH, WIDE", f"{HIGH}, {WIDE}") for text in GEOMETRY]

# What lies outside is not shown.
BARE = [policy for policy in POLICIES if "reflect" not in policy and "edge" not in policy]


def coordinates(high: int = HIGH, wide: int = WIDE) -> NDArray[np.int64]:
    """An image `[2, H, W]` whose values are x and y of each pixel."""
    ys, xs = np.mgrid[:high, :wide]
    return np.stack([xs, ys])


class Coordinates(torch.utils.data.Dataset[Any]):
    def __init__(self, count: int = 16, **more: Any) -> None:
        self.count, self.more = count, more

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        xs, ys = coordinates()
        image = torch.from_numpy(np.stack([xs, ys, np.full_like(xs, 7)])).to(torch.uint8)
        return {"image": image, "mask": torch.from_numpy(ys * 1000 + xs), **self.more}


def batches(data: Any, policy: str, batch_size: int = 8, **options: Any) -> list[Any]:
    return list(DataLoader(data, batch_size, policy=policy, seed=3, **options))


@pytest.mark.parametrize("policy", POLICIES)
def test_image_and_mask_show_the_same_pixel_at_every_place(policy: str) -> None:
    for batch in batches(Coordinates(), policy, fields={"mask": "mask"}):
        x, y = batch["image"][:, 0] * 255, batch["image"][:, 1] * 255
        mask = batch["mask"]
        inside = inner(mask != 255)
        assert inside.float().mean() > 0.15
        # A blend is half a pixel off at most, and in a smaller image half a source pixel more.
        # A program that samples again rounds the values of the image to whole numbers between.
        wide = any(name in policy for name in ("perspective", "resize", "scale"))
        far = 2.6 if "translate(0.2), rotate" in policy else 1.6 if wide else 1.1
        assert ((x - mask % 1000).abs()[inside] <= far).all()
        assert ((y - mask // 1000).abs()[inside] <= far).all()


def inner(shown: torch.Tensor) -> torch.Tensor:
    """Pixels whose neighbors are all shown, too: elsewhere images are blended with the border."""
    around = torch.nn.functional.pad(shown.float()[:, None], (2, 2, 2, 2))
    return torch.nn.functional.avg_pool2d(around, 5, 1)[:, 0] > 0.999


@pytest.mark.parametrize("policy", POLICIES)
def test_dense_floats_are_those_of_the_place(policy: str) -> None:
    xs, ys = coordinates()
    depth = torch.from_numpy((2.0 * xs + 3.0 * ys).astype(np.float32))
    data = Coordinates(depth=depth)
    fields = {"mask": "mask", "depth": Dense(fill=-1.0)}
    for batch in batches(data, policy, fields=fields):
        mask, found = batch["mask"], batch["depth"]
        assert found.dtype == torch.float32
        assert (found[mask == 255] == -1).all()
        shown = mask != 255
        expected = 2.0 * (mask % 1000) + 3.0 * (mask // 1000)
        assert ((found - expected).abs()[shown] <= 2.6).all()  # half a pixel each way


def plans(policy: str, count: int = 12) -> list[SpatialMap]:
    parsed = parse_policy(policy)
    size = parsed.size((HIGH, WIDE))
    plan = draw_plan(parsed, BatchRows.of(np.arange(count)), seed=5, epoch=1, size=size)
    return list(maps_of(plan, np.array([[HIGH, WIDE]] * count)))


@pytest.mark.parametrize("policy", BARE)
def test_a_keypoint_is_where_its_pixel_is_shown(policy: str) -> None:
    for where in plans(policy):
        shown = where.indices()
        rows, columns = np.nonzero(shown >= 0)
        pick = np.arange(0, len(rows), max(len(rows) // 60, 1))
        y, x = np.divmod(shown[rows[pick], columns[pick]], WIDE)
        points = np.stack([x, y], axis=1).astype(np.float64)
        moved = move_keypoints(points, where, Keypoints(flip_pairs=()), "points")
        there = np.stack([columns[pick], rows[pick]], axis=1)
        scale = max(np.abs(np.linalg.inv(where.to_source[:2, :2])).sum(axis=1).max(), 1)
        assert len(points) and np.abs(moved - there).max() <= 0.75 * scale + 0.6


# Boxes are cut by the image that comes out, not by what a program shows between its steps.
WHOLE = [policy for policy in BARE if "sequence([translate" not in policy]


@pytest.mark.parametrize("policy", WHOLE)
def test_the_box_of_a_painted_rectangle_is_that_of_its_pixels(policy: str) -> None:
    left, top, right, bottom = 21, 17, 55, 44
    inside = np.zeros((HIGH, WIDE), np.bool_)
    inside[top:bottom, left:right] = True
    for where in plans(policy):
        shown = where.indices()
        painted = np.where(shown < 0, False, inside.ravel()[np.maximum(shown, 0)])
        moves = move_boxes(np.array([[left, top, right, bottom]], float), where, Boxes())
        if not painted.any():
            assert moves.boxes[0, 2] - moves.boxes[0, 0] < 1.5 or (
                moves.boxes[0, 3] - moves.boxes[0, 1] < 1.5
            )
            continue
        rows, columns = np.nonzero(painted)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # Clipping an upright hull is looser than the hull of what is left where corners are cut.
        whole = not where.warped or np.allclose(moves.hulls, moves.boxes)
        assert (moves.boxes[0, :2] <= np.array(found[:2]) + 0.75).all()
        assert (moves.boxes[0, 2:] >= np.array(found[2:]) - 0.75).all()
        if whole:
            assert np.abs(moves.boxes[0] - found).max() <= 1.3


def test_flips_shift_nothing() -> None:
    where = plans("hflip(p=1.0)", 1)[0]
    box = move_boxes(np.array([[3.0, 5.0, 20.0, 30.0]]), where, Boxes())
    assert box.boxes.tolist() == [[WIDE - 20.0, 5.0, WIDE - 3.0, 30.0]]
    points = move_keypoints(np.array([[0.0, 4.0], [10.0, 60.0]]), where, Keypoints(()), "points")
    assert points.tolist() == [[WIDE - 1.0, 4.0], [WIDE - 11.0, 60.0]]
    where = plans("vflip(p=1.0)", 1)[0]
    box = move_boxes(np.array([[3.0, 5.0, 20.0, 30.0]]), where, Boxes())
    assert box.boxes.tolist() == [[3.0, HIGH - 30.0, 20.0, HIGH - 5.0]]


@given(st.integers(0, 10**6), st.sampled_from(POLICIES))
@settings(max_examples=60, deadline=None)
def test_there_and_back_is_the_same_place(seed: int, policy: str) -> None:
    parsed = parse_policy(policy)
    plan = draw_plan(parsed, BatchRows.of([seed]), seed=seed, epoch=0,
                     size=parsed.size((HIGH, WIDE)))  # fmt: skip
    where = next(maps_of(plan, np.array([[HIGH, WIDE]])))
    round_trip = where.forward @ where.to_source
    assert np.allclose(round_trip / round_trip[2, 2], np.eye(3), atol=1e-6)


@pytest.mark.parametrize("format_", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("normalized", [False, True])
def test_formats_of_boxes_say_the_same(format_: Any, normalized: bool) -> None:
    boxes = np.array([[3.0, 5.0, 20.0, 30.0], [0.0, 0.0, 83.0, 61.0]])
    given_ = from_corners(boxes, format_, (HIGH, WIDE), normalized=normalized)
    back = to_corners(given_, format_, (HIGH, WIDE), normalized=normalized, name="boxes")
    assert np.allclose(back, boxes)


def test_vectors_turn_with_the_image() -> None:
    # A flow of one pixel to the right: mirrored it goes to the left, twice the size it is 2 long.
    flow = np.zeros((2, HIGH, WIDE), np.float32)
    flow[0] = 1.0
    for policy, expected in (
        ("hflip(p=1.0)", (-1.0, 0.0)),
        (f"resize(({2 * HIGH}, {2 * WIDE}))", (2.0, 0.0)),
        ("vflip(p=1.0)", (1.0, 0.0)),
    ):
        made = move_dense(flow, plans(policy, 1)[0], Dense(vectors=True), "flow")
        assert np.allclose(made[0], expected[0], atol=1e-5)
        assert np.allclose(made[1], expected[1], atol=1e-5)
    where = plans("rotate(40, p=1.0)", 1)[0]
    made = move_dense(flow, where, Dense(vectors=True), "flow")[:, HIGH // 2, WIDE // 2]
    assert np.allclose(made, where.forward[:2, 0], atol=1e-4)
    assert np.isclose(np.hypot(*made), 1, atol=1e-4)


@pytest.mark.parametrize("policy", ["random_crop(30) | rotate(40, p=1.0)",
                                    "random_resized_crop(40, (0.2, 0.5)) | shear(30, p=1.0)",
                                    "center_crop(30) | perspective(0.5, p=1.0)"])  # fmt: skip
def test_what_the_window_cuts_off_does_not_come_back_in_a_corner(policy: str) -> None:
    for where in plans(policy):
        shown = where.indices()
        seen = np.zeros(HIGH * WIDE, np.bool_)
        seen[shown[shown >= 0]] = True
        left, top, right, bottom = where.visible
        pick = np.arange(0, HIGH * WIDE, 5)
        seen, (ys, xs) = seen[pick], np.divmod(pick, WIDE)
        points = np.stack([xs, ys, np.full_like(xs, 2)], axis=1).astype(np.float64)
        flags = move_keypoints(points, where, Keypoints(flip_pairs=()), "points")[:, 2]
        outside = (xs + 0.5 < left) | (xs + 0.5 >= right) | (ys + 0.5 < top) | (ys + 0.5 >= bottom)
        assert not flags[outside].any() and flags[seen].mean() > 0.9
        boxes = np.stack([xs, ys, xs + 1, ys + 1], axis=1).astype(np.float64)
        moves = move_boxes(boxes, where, Boxes(min_side=0, min_share=0.01))
        assert not np.isin(moves.kept, np.flatnonzero((xs + 1 <= left) | (xs >= right))).any()
        assert not np.isin(moves.kept, np.flatnonzero((ys + 1 <= top) | (ys >= bottom))).any()
        assert np.isin(np.flatnonzero(seen), moves.kept).mean() > 0.9


@pytest.mark.parametrize("policy", ["rotate((45, 45), p=1.0)", "scale((0.5, 0.5), p=1.0)",
                                    "shear(30, p=1.0)", "perspective(0.4, p=1.0)",
                                    "random_resized_crop(90, (0.3, 0.9)) | hflip"])  # fmt: skip
def test_areas_grow_as_the_objects_do_not_as_their_hulls(policy: str) -> None:
    box = np.array([[30.0, 20.0, 50.0, 40.0]])
    inside = np.zeros((HIGH, WIDE), np.bool_)
    inside[20:40, 30:50] = True
    for where in plans(policy):
        shown = where.indices()
        found = int((inside.ravel()[np.maximum(shown, 0)] & (shown >= 0)).sum())
        expected = float(move_boxes(box, where, Boxes()).growth[0]) * 400
        assert abs(found - expected) <= 0.12 * found + 12


@pytest.mark.parametrize("shape", [(0, HIGH, WIDE), (1, HIGH, WIDE), (HIGH, WIDE)])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64])
@pytest.mark.parametrize("policy", ["hflip(p=1.0)", "rotate((30, 30), p=1.0)"])
def test_a_stack_of_no_masks_is_moved_like_any(policy: str, dtype: Any, shape: Any) -> None:
    where = plans(policy, 1)[0]
    made = moved_by(np.ones(shape, dtype), where, Mask(), "masks")
    assert made.shape == (*shape[:-2], *where.size) and made.dtype == dtype
