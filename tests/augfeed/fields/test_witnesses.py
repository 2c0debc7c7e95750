"""What torchvision, AlbumentationsX and Kornia make of the same window or matrix; and torchvision's
detection and segmentation models on batches of ours. Skipped where these are not installed."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
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


@pytest.fixture(name="v2")
def _v2() -> Any:
    pytest.importorskip("torchvision", reason="torchvision is a witness: pip install torchvision")
    from torchvision.transforms.v2 import functional

    return functional


def tv(kind: str, values: Any, **more: Any) -> Any:
    from torchvision import tv_tensors

    return getattr(tv_tensors, kind)(torch.as_tensor(values), **more)


def torchvision_nearest() -> Any:
    from torchvision.transforms import InterpolationMode

    return InterpolationMode.NEAREST


def tv_boxes() -> Any:
    return tv("BoundingBoxes", BOXES, format="XYXY", canvas_size=(HIGH, WIDE))


@pytest.mark.parametrize("sample", range(6))
def test_torchvision_shows_the_same_of_the_same_window(v2: Any, sample: int) -> None:
    _, where = shown("random_resized_crop((30, 37), scale=(0.2, 0.9))", (30, 37), sample)
    # Its tensors are resized by a nearest that is half a pixel off; images of Pillow are not.
    part = v2.crop(Image.fromarray(MASK), *where.box)
    expected = np.asarray(v2.resize(part, (30, 37), interpolation=torchvision_nearest()))
    assert np.array_equal(expected, moved_by(MASK, where, Mask(), "mask"))
    canvas = v2.clamp_bounding_boxes(v2.crop(tv_boxes(), *where.box))
    theirs = v2.resize(canvas, (30, 37)).numpy()
    assert np.allclose(theirs, move_boxes(BOXES, where, EVERY).boxes, atol=1e-4)


def test_torchvision_flips_to_the_same_places(v2: Any) -> None:
    _, where = shown("hflip(p=1.0)", (HIGH, WIDE))
    assert np.allclose(
        v2.horizontal_flip(tv_boxes()).numpy(), move_boxes(BOXES, where, EVERY).boxes
    )
    flipped = v2.horizontal_flip(tv("Mask", MASK)).numpy()
    assert (flipped == moved_by(MASK, where, Mask(), "mask")).all()
    points = move_keypoints(POINTS, where, Keypoints(flip_pairs=()), "points")
    assert np.array_equal(points[..., 0], WIDE - 1 - POINTS[..., 0])


@pytest.mark.parametrize("sample", range(3))
def test_torchvision_turns_boxes_to_the_same_hulls(v2: Any, sample: int) -> None:
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


@pytest.mark.parametrize("policy", ["rotate(40, p=1.0)", "perspective(0.3, p=1.0) | hflip(p=1.0)",
                                    "scale((0.5, 0.8), p=1.0) | shear(20, p=1.0)"])  # fmt: skip
def test_kornia_moves_corners_alike_by_the_same_matrix(policy: str) -> None:
    kornia = pytest.importorskip("kornia", reason="a witness: pip install kornia")
    _, where = shown(policy, (HIGH, WIDE))
    x, y = BOXES[:, [0, 2, 2, 0]], BOXES[:, [1, 1, 3, 3]]
    corners = torch.from_numpy(np.stack([x, y], axis=-1))
    matrix = torch.from_numpy(where.forward)[None].expand(len(BOXES), 3, 3)
    moved = kornia.geometry.transform_points(matrix, corners).numpy()
    hulls = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    assert np.allclose(hulls, move_boxes(BOXES, where, EVERY).hulls, atol=1e-6)


def test_kornia_flips_boxes_that_span_the_image_a_pixel_off_and_ours_stay() -> None:
    kornia = pytest.importorskip("kornia", reason="a witness: pip install kornia")
    _, where = shown("hflip(p=1.0)", (HIGH, WIDE))
    flips = kornia.augmentation.RandomHorizontalFlip(p=1.0)
    flip = kornia.augmentation.AugmentationSequential(flips, data_keys=["input", "bbox_xyxy"])
    boxes = torch.from_numpy(BOXES[None]).float()
    theirs = flip(torch.zeros(1, 3, HIGH, WIDE), boxes)[1][0].numpy()
    ours = move_boxes(BOXES, where, EVERY).boxes
    assert np.array_equal(ours[:, [0, 2]], WIDE - BOXES[:, [2, 0]])
    assert np.abs(theirs - ours).max() >= 1, "Kornia flips exactly now"


class Objects(torch.utils.data.Dataset[Any]):
    """Images of rectangles, with boxes, labels and classes of pixels."""

    def __init__(self, *, dense: bool) -> None:
        self.dense = dense

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        image, mask = torch.zeros(3, 80, 96, dtype=torch.uint8), torch.zeros(80, 96).long()
        box = torch.tensor([[8.0 + i, 10.0, 50.0, 60.0]])
        image[:, 10:60, 8 + i : 50] = 200
        mask[10:60, 8 + i : 50] = 1
        if self.dense:
            return image, mask
        return image, {"boxes": box, "labels": torch.ones(1).long(), "image_id": i}


def test_torchvisions_detector_learns_from_batches_of_ours() -> None:
    pytest.importorskip("torchvision", reason="torchvision is a witness: pip install torchvision")
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    loader = DataLoader(
        Objects(dense=False), 4, policy="letterbox(96) | mosaic(0.5) | hflip",
        collate_fn=lambda samples: tuple(zip(*samples, strict=True)),
    )  # fmt: skip
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)
    for images, targets in loader:
        losses = model.train()(list(images), list(targets))
        total = sum(losses.values())
        torch.autograd.backward(total)
        assert torch.isfinite(total)


def test_torchvisions_segmenter_learns_from_batches_of_ours() -> None:
    pytest.importorskip("torchvision", reason="torchvision is a witness: pip install torchvision")
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    def collate(batch: Any) -> Any:  # that of torchvision's references
        images, targets = zip(*batch, strict=True)
        return torch.stack(images), torch.stack(targets)

    loader = DataLoader(Objects(dense=True), 4, policy="random_resized_crop(64) | cutmix(1.0)",
                        collate_fn=collate)  # fmt: skip
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2).train()
    for images, targets in loader:
        loss = torch.nn.functional.cross_entropy(model(images)["out"], targets, ignore_index=255)
        torch.autograd.backward(loss)
        assert torch.isfinite(loss)
