"""Masks, boxes and points beside those of torchvision and AlbumentationsX by the same window or
matrix."""

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision", reason="torchvision is not installed: `make peers`")

from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from augfeed import DataLoader
from augfeed.errors import InputError
from augfeed.fields import (
    Boxes,
    Keypoints,
    Mask,
    SpatialMap,
    maps_of,
    move_boxes,
    move_keypoints,
)
from augfeed.fields.masks import moved_by
from augfeed.notation import parse_policy
from augfeed.plan import BatchRows, draw_plan

HIGH, WIDE = 48, 64
BOXES = np.array([[3.0, 5.0, 20.0, 31.0], [30.0, 8.0, 64.0, 40.0], [0.0, 0.0, 64.0, 48.0]])
POINTS = np.array([[[4.0, 6.0], [20.0, 30.0]], [[63.0, 47.0], [0.0, 0.0]]])
MASK = np.random.default_rng(0).integers(0, 30, (HIGH, WIDE)).astype(np.uint8)
EVERY = Boxes(min_side=0)


def shown(policy: str, size: tuple[int, int], sample: int = 0) -> tuple[Any, SpatialMap]:
    plan = draw_plan(parse_policy(policy), BatchRows.of([sample]), seed=5, epoch=0, size=size)
    return plan, next(maps_of(plan, np.array([[HIGH, WIDE]])))


def tv(kind: str, values: Any, **more: Any) -> Any:
    return getattr(tv_tensors, kind)(torch.as_tensor(values), **more)


def tv_boxes() -> Any:
    return tv("BoundingBoxes", BOXES, format="XYXY", canvas_size=(HIGH, WIDE))


@pytest.mark.parametrize("sample", range(6))
def test_torchvision_shows_the_same_of_the_same_window(sample: int) -> None:
    _, where = shown("random_resized_crop((30, 37), scale=(0.2, 0.9))", (30, 37), sample)
    # Its tensors are resized by a nearest that is half a pixel off; images of Pillow are not.
    part = v2.crop(Image.fromarray(MASK), *where.box)
    expected = np.asarray(v2.resize(part, (30, 37), interpolation=InterpolationMode.NEAREST))
    assert np.array_equal(expected, moved_by(MASK, where, Mask(), "mask"))
    canvas = v2.clamp_bounding_boxes(v2.crop(tv_boxes(), *where.box))
    theirs = v2.resize(canvas, (30, 37)).numpy()
    assert np.allclose(theirs, move_boxes(BOXES, where, EVERY).boxes, atol=1e-4)


def test_torchvision_flips_to_the_same_places() -> None:
    _, where = shown("hflip(p=1.0)", (HIGH, WIDE))
    assert np.allclose(
        v2.horizontal_flip(tv_boxes()).numpy(), move_boxes(BOXES, where, EVERY).boxes
    )
    flipped = v2.horizontal_flip(tv("Mask", MASK)).numpy()
    assert (flipped == moved_by(MASK, where, Mask(), "mask")).all()
    points = move_keypoints(POINTS, where, Keypoints(flip_pairs=()), "points")
    assert np.array_equal(points[..., 0], WIDE - 1 - POINTS[..., 0])


@pytest.mark.parametrize("sample", range(3))
def test_torchvision_turns_boxes_to_the_same_hulls(sample: int) -> None:
    plan, where = shown("rotate(40, p=1.0)", (HIGH, WIDE), sample)
    angle = np.rad2deg(np.arctan2(plan.inverse[0, 0, 1], plan.inverse[0, 0, 0]))
    theirs = v2.affine(tv_boxes(), angle=float(angle), translate=[0, 0], scale=1.0, shear=[0.0, 0])
    other = v2.affine(tv_boxes(), angle=-float(angle), translate=[0, 0], scale=1.0, shear=[0.0, 0])
    ours = move_boxes(BOXES, where, EVERY).boxes
    off = [np.abs(v2.clamp_bounding_boxes(one).numpy() - ours).max() for one in (theirs, other)]
    assert min(off) < 0.01


@pytest.mark.parametrize("sample", range(3))
def test_albumentations_cuts_and_flips_boxes_and_points_alike(sample: int) -> None:
    a = pytest.importorskip("albumentations", reason="a witness: pip install albumentationsx")
    _, where = shown("random_crop((30, 40)) | hflip(p=1.0)", (30, 40), sample)
    top, left = where.offset
    both = a.Compose(
        [a.Crop(left, top, left + 40, top + 30), a.HorizontalFlip(p=1.0)],
        bbox_params=a.BboxParams("pascal_voc", label_fields=["ids"]),
        keypoint_params=a.KeypointParams("xy", remove_invisible=False),
    )
    flat = POINTS.reshape(-1, 2)
    image = np.zeros((HIGH, WIDE, 3), np.uint8)
    made = both(image=image, mask=MASK, bboxes=BOXES, keypoints=flat, ids=[0, 1, 2])
    moves = move_boxes(BOXES, where, EVERY)
    assert [int(k) for k in made["ids"]] == moves.kept.tolist()
    assert np.allclose(made["bboxes"], moves.boxes[moves.kept], atol=1e-3)
    ours = move_keypoints(flat, where, Keypoints(flip_pairs=()), "points")
    assert np.allclose(made["keypoints"], ours)
    assert (made["mask"] == moved_by(MASK, where, Mask(), "mask")).all()


@pytest.mark.parametrize("policy", ["rotate(40, p=1.0)", "scale((0.5, 0.8), p=1.0)",
                                    "shear(20, p=1.0) | translate(0.2, p=1.0)"])  # fmt: skip
def test_albumentations_moves_all_alike_by_the_same_matrix(policy: str) -> None:
    a = pytest.importorskip("albumentations", reason="a witness: pip install albumentationsx")
    import cv2

    geometric = a.augmentations.geometric.functional
    _, where = shown(policy, (HIGH, WIDE))
    boxes = geometric.bboxes_affine_largest_box(BOXES, where.forward, "hbb")
    assert np.allclose(boxes[:, :4], move_boxes(BOXES, where, EVERY).hulls, atol=1e-6)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centers = np.linalg.inv(half) @ where.forward @ half  # of pixels, not of edges
    flat = POINTS.reshape(-1, 2)
    points = np.concatenate([flat, np.zeros((4, 1)), np.ones((4, 2))], axis=1)
    border = cv2.BORDER_CONSTANT
    theirs = geometric.keypoints_affine(points, centers, (HIGH, WIDE), {"x": 1, "y": 1}, border)
    ours = move_keypoints(flat, where, Keypoints(flip_pairs=()), "points")
    assert np.allclose(theirs[:, :2], ours, atol=1e-3)
    mask = cv2.warpAffine(MASK, centers[:2], (WIDE, HIGH), flags=cv2.INTER_NEAREST, borderValue=255)
    # OpenCV rounds places to parts of a pixel.
    assert (mask == moved_by(MASK, where, Mask(), "mask")).mean() > 0.98


def batch_of(target: Any, policy: str = "hflip(p=1.0)", **options: Any) -> Any:
    image = tv("Image", torch.zeros(3, HIGH, WIDE, dtype=torch.uint8))
    loader = DataLoader([(image, target)] * 2, 2, policy=policy, **options)
    return next(iter(loader))[1]


@pytest.mark.parametrize("format_", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("fields", [None, {"boxes": Boxes(min_side=0)}])
def test_bounding_boxes_keep_their_type_and_the_format_that_they_state(
    format_: str, fields: Any
) -> None:
    boxes = v2.convert_bounding_box_format(tv_boxes(), new_format=format_)
    found = batch_of({"boxes": boxes, "labels": torch.arange(3)}, fields=fields)["boxes"][0]
    assert isinstance(found, tv_tensors.BoundingBoxes) and found.format == boxes.format
    assert torch.allclose(found, v2.horizontal_flip(boxes))
    cut = batch_of({"boxes": boxes, "labels": torch.arange(3)}, "center_crop((30, 40))",
                   fields=fields)["boxes"][0]  # fmt: skip
    theirs = v2.clamp_bounding_boxes(v2.center_crop(boxes, [30, 40]))
    assert torch.allclose(cut, theirs) and cut.canvas_size == (30, 40)


@pytest.mark.parametrize("format_", ["CXCYWHR", "XYWHR", "XYXYXYXY"])
def test_rotated_boxes_are_refused_not_moved_as_upright_ones(format_: str) -> None:
    given = tv("BoundingBoxes", [[20.0, 20, 8, 6, 30]], format="CXCYWHR", canvas_size=(HIGH, WIDE))
    boxes = v2.convert_bounding_box_format(given, new_format=format_)
    with pytest.raises(InputError, match=f"format '{format_.lower()}' cannot be moved"):
        batch_of({"boxes": boxes, "labels": torch.arange(1)})


def test_boxes_of_another_canvas_are_refused() -> None:
    boxes = tv("BoundingBoxes", BOXES, format="XYXY", canvas_size=(2 * HIGH, WIDE))
    with pytest.raises(InputError, match=r"canvas_size=\(96, 64\), and its image is 48 x 64"):
        batch_of({"boxes": boxes, "labels": torch.arange(3)})


def test_key_points_and_masks_follow_as_torchvision_moves_them() -> None:
    points, mask = tv("KeyPoints", POINTS[0], canvas_size=(HIGH, WIDE)), tv("Mask", MASK[None])
    target = {"points": points, "mask": mask}
    with pytest.raises(InputError, match="flip_pairs"):
        batch_of(target)
    made = batch_of(target, fields={"points": Keypoints(flip_pairs=())})
    assert torch.allclose(made["points"][0], v2.horizontal_flip(points).as_subclass(torch.Tensor))
    assert torch.equal(made["mask"][0], v2.horizontal_flip(mask).as_subclass(torch.Tensor))
