"""Masks, floats, boxes and points follow what an elastic displacement does to their image."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from augfeed import Augment, DataLoader, parse_policy
from augfeed.errors import InputError
from augfeed.fields import (
    Boxes,
    Dense,
    Keypoints,
    SpatialMap,
    maps_of,
    move_boxes,
    move_dense,
    move_keypoints,
)
from augfeed.fields.masks import moved_mask
from augfeed.fields.shifted import field_of
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.shifts import Shift
from tests.cases import run

HIGH, WIDE = 61, 83
SMOOTH = (
    "elastic(60, 4, p=1.0)",
    "elastic(60, 4, 0.7, p=0.5) | hflip",
    "random_crop(40) | hflip(p=1.0) | elastic(60, 4, p=1.0) | rotate(25, p=1.0)",
    "random_resized_crop(90, (0.3, 1.0)) | vflip(p=1.0) | elastic(90, 6, p=1.0)",
    'random_crop((61, 83), padding=9, mode="reflect") | elastic(60, 4, p=1.0)',
    'elastic(60, 4, p=1.0) | rotate(30, p=1.0) | border("reflect")',
    'elastic(60, 4, p=1.0) | translate(0.3, p=1.0) | border("edge")',
    "hflip(p=1.0) | one_of([elastic(60, 4, p=1.0), rotate(20, p=1.0)])",
    "hflip | sequence([rotate(20, p=1.0), elastic(60, 4, p=1.0), vflip(p=0.5)]) | shear(9, p=1.0)",
    "vflip(p=0.5) | some_of([elastic(40, 4, p=1.0), translate(0.1, p=1.0), hflip(p=1.0)], n=2)",
    "elastic(40, 5, p=1.0) | hflip(p=1.0) | sequence([gaussian_blur(1), elastic(40, 5, p=1.0)])",
)  # fmt: skip


class Coordinates(torch.utils.data.Dataset[Any]):
    """Images whose channels are x, y and 255, and masks `[H, W]` that are 1000 y + x."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        ys, xs = np.mgrid[:HIGH, :WIDE]
        image = torch.from_numpy(np.stack([xs, ys, np.full_like(xs, 255)])).to(torch.uint8)
        depth = torch.from_numpy((2 * xs + 3 * ys).astype(np.float32))
        return {"image": image, "mask": torch.from_numpy(ys * 1000 + xs), "depth": depth}


def drawn(policy: str, count: int = 6, size: tuple[int, int] = (HIGH, WIDE), seed: int = 5) -> Plan:
    parsed = parse_policy(policy)
    rows = BatchRows.of(np.arange(count))
    return draw_plan(parsed, rows, seed=seed, epoch=1, size=parsed.size(size))


def plans(policy: str, size: tuple[int, int] = (HIGH, WIDE), seed: int = 5) -> list[SpatialMap]:
    return list(maps_of(drawn(policy, 6, size, seed), np.array([size] * 6)))


@pytest.mark.parametrize("policy", SMOOTH)
def test_image_mask_and_floats_show_the_same_place_at_every_pixel(policy: str) -> None:
    fields = {"mask": "mask", "depth": Dense(fill=-1)}
    for batch in DataLoader(Coordinates(), 8, policy=policy, seed=3, fields=fields):
        x, y, whole = batch["image"].unbind(1)
        mask, depth = batch["mask"], batch["depth"]
        shown = (mask != 255) & (whole == 1)  # elsewhere the image has a share of what is outside
        assert shown.float().mean() > 0.15 and ((mask == 255) == (depth == -1)).all()
        # Rounding of the mask to a pixel, and of the image to levels for each of its samplings.
        off = torch.stack([x * 255 - mask % 1000, y * 255 - mask // 1000])[:, shown].abs()
        assert off.max() <= 1.5
        assert (depth - (2 * x + 3 * y) * 255)[shown].abs().max() <= 5


def matched(policy: str, size: tuple[int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How far masks, and floats, are from images of floats that encode x and y, in pixels, where
    these show nothing of the outside: `[n]` each."""
    plan = drawn(policy, 3, size, seed)
    ys, xs = np.mgrid[: size[0], : size[1]]
    image = torch.from_numpy(np.stack([xs, ys, np.full_like(xs, 64)], axis=-1) / 64).float()
    made = run("cpu", plan, image.expand(3, -1, -1, -1).contiguous()).double().numpy() * 64
    found: list[Any] = [[], []]
    for where, (x, y, whole) in zip(maps_of(plan, np.array([size] * 3)), made, strict=True):
        shown = moved_mask(np.arange(xs.size).reshape(size), where, -1)
        inside = whole > 64 - 1e-3
        assert (shown[inside] >= 0).all()  # all of whose neighbors are shown is shown
        row, column = np.divmod(shown, size[1])
        near = np.maximum(abs(row - y), abs(column - x))[inside]
        depth = move_dense((1.0 * xs + 1000 * ys), where, Dense(), "depth")
        found[0].append(torch.from_numpy(near))
        found[1].append(torch.from_numpy(abs(depth - (x + 1000 * y))[inside]))
    return torch.cat(found[0]), torch.cat(found[1])


@given(
    st.sampled_from([(1, 1), (1, 9), (7, 1), (8, 8), (13, 22), (31, 17)]),
    st.floats(1, 400, width=32), st.floats(0.5, 8, width=32), st.integers(0, 10**6),
    st.sampled_from(["", " | hflip(p=1.0)", " | vflip | rotate(40, p=0.7)",
                     " | translate(0.3, p=1.0) | border('edge')",
                     " | rotate(50, p=1.0) | hflip | border('reflect')"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_of_any_size_and_strength_images_masks_and_floats_agree(
    size: tuple[int, int], alpha: float, sigma: float, seed: int, after: str
) -> None:
    near, floats = matched(f"elastic({alpha}, {sigma}, p=1.0){after}", size, seed)
    assert near.numel() == 0 or near.max() <= 0.5 + 1e-3
    assert floats.numel() == 0 or floats.max() <= 1.0  # a thousandth of a pixel down


@pytest.mark.parametrize("alpha, sigma", [(30, 1), (60, 4), (600, 3)])
def test_scipy_shows_the_same_by_the_same_field(alpha: float, sigma: float) -> None:
    image = np.random.default_rng(0).random((HIGH, WIDE), np.float32)
    mask = np.arange(HIGH * WIDE).reshape(HIGH, WIDE) + 1
    plan = drawn(f"elastic({alpha}, {sigma}, p=1.0)", 2)
    made = run("cpu", plan, torch.from_numpy(image)[None, :, :, None].repeat(2, 1, 1, 1))
    for where, pixels in zip(maps_of(plan, np.array([[HIGH, WIDE]] * 2)), made, strict=True):
        (shift,) = where.earlier
        assert isinstance(shift, Shift)
        at = np.mgrid[:HIGH, :WIDE] + field_of(shift, (HIGH, WIDE))[::-1]
        theirs = map_coordinates(image, at, order=1, mode="grid-constant")
        assert abs(theirs - pixels[0].numpy()).max() < 1e-4
        sides = np.array([HIGH, WIDE])[:, None, None]
        clear = (abs(at % 1 - 0.5) > 1e-4).all(axis=0)  # of places as near to two pixels
        inside = ((at > -0.5) & (at < sides - 0.5)).all(axis=0)
        theirs = map_coordinates(mask, at, order=0, mode="nearest")
        ours = moved_mask(mask, where, 0)
        assert np.array_equal(ours[clear], np.where(inside, theirs, 0)[clear])


# What a border shows again has one place, too.
BARE = [policy for policy in SMOOTH if "reflect" not in policy and "edge" not in policy]


@pytest.mark.parametrize("policy", BARE)
def test_a_keypoint_is_where_its_place_is_shown(policy: str) -> None:
    for where in plans(policy):
        if not where.shifted:
            continue
        shown, places = where.places()
        rows, columns = (side[::7] for side in np.nonzero(shown >= 0))
        points = np.stack([*places[:, rows, columns], np.full(len(rows), 2.0)], axis=1)
        moved = move_keypoints(points, where, Keypoints(flip_pairs=()), "points")
        assert abs(moved[:, :2] - np.stack([columns, rows], axis=1)).max() < 0.05
        assert (moved[:, 2] == 2).all() and len(points) > 100


@given(
    st.sampled_from([(1, 1), (1, 9), (7, 2), (24, 31)]), st.floats(0, 3000, width=32),
    st.floats(0.5, 8, width=32), st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_keypoint_that_is_seen_is_shown_there_however_strong_the_field(
    size: tuple[int, int], alpha: float, sigma: float, seed: int
) -> None:
    where = next(
        maps_of(drawn(f"elastic({alpha}, {sigma}, p=1.0)", 1, size, seed), np.array([size]))
    )
    if not where.shifted:
        return
    ys, xs = np.mgrid[: size[0], : size[1]].reshape(2, -1)
    points = np.stack([xs, ys, np.ones_like(xs)], axis=1).astype(np.float64)
    moved = move_keypoints(points, where, Keypoints(), "points")
    seen = moved[:, 2] > 0
    (shift,) = where.earlier
    assert isinstance(shift, Shift)
    field = field_of(shift, size).astype(np.float64)
    at = moved[:, 1::-1].T  # y, x
    back = [map_coordinates(part, at, order=1, mode="nearest") for part in field]
    off = abs(moved[:, :2] + np.stack(back, axis=1) - points[:, :2])
    assert not seen.any() or off[seen].max() < 0.05
    # A pixel may be shown whose very center is not: beside a border, and where the image is folded.
    shown = np.isin(np.flatnonzero(~seen), where.indices()[1:-1, 1:-1])
    assert shown.sum() <= 0.02 * len(points)


@pytest.mark.parametrize("policy", BARE)
def test_the_box_of_a_painted_rectangle_is_that_of_its_pixels(policy: str) -> None:
    left, top, right, bottom = 21, 17, 55, 44
    inside = np.zeros((HIGH, WIDE), np.uint8)
    inside[top:bottom, left:right] = 1
    box = np.array([[left, top, right, bottom]], float)
    for where in plans(policy):
        rows, columns = np.nonzero(moved_mask(inside, where, 0))
        moves = move_boxes(box, where, Boxes(min_side=0))
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert abs(moves.boxes[0] - found).max() <= 0.8
        if np.allclose(moves.hulls, moves.boxes) and "crop" not in policy:
            assert moves.shares[0] == pytest.approx(1)
            assert moves.growth[0] * inside.sum() == pytest.approx(len(rows), rel=0.03)
    nothing = move_boxes(np.zeros((0, 4)), where, Boxes())
    assert nothing.boxes.shape == (0, 4) and not len(nothing.kept)


@pytest.mark.parametrize("field", [Dense(vectors=True), Dense(disparity=True)])
@pytest.mark.parametrize("policy", ["elastic", "one_of([elastic, hflip(p=1.0)])"])
def test_lengths_between_pixels_are_refused_by_the_name_of_what_bends_them(
    policy: str, field: Dense
) -> None:
    fields = {"mask": "mask", "depth": field}
    with pytest.raises(InputError, match="'depth' has lengths between"):
        next(iter(DataLoader(Coordinates(), 2, policy=policy, fields=fields)))


def test_masks_and_boxes_of_batches_follow_on_the_cpu_and_boxes_are_refused_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = torch.zeros(2, 3, HIGH, WIDE, dtype=torch.uint8)
    images[:, :, 17:44, 21:55] = 255
    masks, boxes = (images[:, 0] != 0), torch.tensor([[[21.0, 17, 55, 44]]] * 2)
    augment = Augment("elastic(60, 4, p=1.0)")
    made, moved, (hulls, valid) = augment(images, None, masks, boxes)
    assert ((made[:, 0] > 0.5) == moved).float().mean() > 0.99 > (masks == moved).float().mean()
    assert valid.all()
    for mask, (hull,) in zip(moved, hulls, strict=True):
        rows, columns = torch.where(mask)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (hull - torch.tensor(found)).abs().max() <= 0.8
    monkeypatch.setattr(type(augment._engine(images.device)), "name", "cuda")
    with pytest.raises(InputError, match="'elastic' displaces pixels, and boxes on a GPU"):
        augment(images, None, masks, boxes)
