"""Parts of a sample that belong to places in the image: refused where the image would move."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError
from augfeed.feed.spatial import SpatialCheck, passive_of
from augfeed.notation import parse_policy
from augfeed.policy import OPERATIONS

COUNT, HIGH, WIDE = 10, 12, 16
IMAGE = torch.arange(3 * HIGH * WIDE, dtype=torch.uint8).view(3, HIGH, WIDE)
FLIP, LIGHT = "hflip(p=1.0)", "jitter(0.2) | normalize(0.5, 0.5) | noise(0.1)"
Named = namedtuple("Named", "image keypoints")


class TVTensor(torch.Tensor):
    """What all of torchvision's tv_tensors are, by name."""


class Own(Dataset[Any]):
    def __init__(self, sample: Any) -> None:
        self.sample = sample

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return self.sample


class Stream(IterableDataset[Any]):
    def __init__(self, sample: Any) -> None:
        self.sample = sample

    def __iter__(self) -> Any:
        return iter([self.sample] * COUNT)


def first(data: Any, policy: str = FLIP, batch_size: int | None = 4, **options: Any) -> Any:
    return next(iter(DataLoader(data, batch_size, policy=policy, seed=0, **options)))


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


# Fields that belong to places, by name, and some values that such fields have.
NAMES = (
    "mask", "masks", "gt_mask", "maskRCNN", "segmentation", "seg_map", "semseg", "depth",
    "depth_maps", "optical_flow", "heatmaps", "trimap", "disparity",
)  # fmt: skip
PLACES = (
    "box", "boxes", "bbox", "bboxes", "gt_boxes", "boxes_xyxy", "keypoint", "keypoints",
    "keypointsXY", "landmarks", "landmarks_68", "polygons", "joints", "vertices", "points",
)  # fmt: skip
SPATIAL: dict[str, Any] = {
    **{name: {"image": IMAGE, name: zeros(5, 7), "label": 1} for name in NAMES},
    **{name: {"image": IMAGE, name: zeros(4), "label": 1} for name in PLACES},
    "boxes as lists": {"image": IMAGE, "bbox": [[1, 2, 3, 4]]},
    "no box": {"image": IMAGE, "boxes": []},
    "many boxes": {"image": IMAGE, "boxes": [[1, 2, 3, 4]] * 40},
    "run lengths": {"image": IMAGE, "target": {"size": [12, 16], "counts": b"a"}},
    "nested": (IMAGE, {"labels": zeros(1), "boxes": torch.ones(1, 4)}),
    "nested twice": {"image": IMAGE, "objects": {"bbox": [[1.0, 2, 3, 4]], "category": [1]}},
    "listed": (IMAGE, [{"id": 1, "segmentation": [[1.0, 2.0, 3.0]]}]),
    "named tuple": Named(IMAGE, torch.ones(2, 2)),
    "depth in a tuple": (IMAGE, torch.rand(HIGH, WIDE)),
    "gray in a tuple": (IMAGE, np.zeros((HIGH, WIDE), np.uint8)),
    "mask of one channel": (IMAGE, zeros(1, HIGH, WIDE)),
    "channels last": (IMAGE, np.zeros((HIGH, WIDE, 1), np.int32)),
    "stack of masks": (IMAGE, 1, zeros(5, HIGH, WIDE)),
    "a list of masks": (IMAGE, 1, [zeros(HIGH, WIDE)]),
    "nested lists": (IMAGE, [[0] * WIDE] * HIGH),
    "the weight of each pixel": {"image": IMAGE, "weight": torch.ones(HIGH, WIDE)},
    "half the size": (IMAGE.repeat(1, 2, 2), zeros(HIGH, WIDE)),
    "points without a name": (IMAGE, torch.tensor([[3.0, 4.0], [9.0, 2.0]])),
    "boxes without a name": (IMAGE, 1, np.array([[0.0, 0.0, 0.5, 1.0]])),
    "whole boxes without a name": (IMAGE, torch.tensor([[1, 2, 9, 8], [0, 0, 3, 3]])),
    "a small box": (IMAGE, np.array([[1, 2, 9, 8]], np.uint8)),
    "boxes in lists": (IMAGE, [[1, 2, 9, 8], [0, 0, 3, 3]]),
    "whole points": (IMAGE, torch.tensor([[3, 4], [9, 2], [-1, -1]])),
    "points that are seen or not": (IMAGE, torch.tensor([[3, 4, 2], [9, 2, 1]])),
    "class and box": (IMAGE, torch.tensor([[7, 0.5, 0.5, 0.2, 0.2]])),
    "number, class and box": (IMAGE, torch.tensor([[0, 7, 0.5, 0.5, 0.2, 0.2]])),
    "box and class": (IMAGE, torch.tensor([[1, 2, 9, 8, 30]])),
    "sides of a box": {"image": IMAGE, "label": 1, "xmin": 1, "ymin": 2, "xmax": 9, "ymax": 8},
    "corners in a field": (IMAGE, {"name": "cat", "x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 8.0}),
    "a flat mask": {"image": IMAGE, "mask": zeros(HIGH * WIDE)},
    "PIL": {"image": IMAGE, "other": Image.new("L", (5, 5))},
    "tv tensor": (IMAGE, torch.zeros(3).as_subclass(TVTensor)),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_what_belongs_to_places_is_refused_where_the_image_moves(name: str) -> None:
    key = 0 if isinstance(SPATIAL[name], tuple) else "image"
    data = Own(SPATIAL[name])
    with pytest.raises(InputError, match=r"sample 0 .*'horizontal_flip'.*passive=\["):
        first(data, image_key=key, collate_fn=lambda samples: samples)


@pytest.mark.parametrize("name", sorted({*SPATIAL} - {"PIL", "tv tensor", "no box"}))
def test_what_belongs_to_places_passes_where_nothing_moves_or_it_is_said_to_stay(name: str) -> None:
    sample = SPATIAL[name]
    data = Own(sample)
    stock = next(iter(torch.utils.data.DataLoader(data, 4)))
    fields = sample._fields if isinstance(sample, Named) else (
        list(sample) if isinstance(sample, dict) else range(1, len(sample)))  # fmt: skip
    for options in ({"policy": LIGHT}, {"policy": FLIP, "passive": list(fields)},
                    {"policy": "hflip(p=0.0) | rotate(30, p=0.0)"}):  # fmt: skip
        assert alike(first(data, **options), stock)


def alike(found: Any, other: Any, *, top: bool = True) -> bool:
    # The same but for the image, the first part.
    if isinstance(other, dict):
        other, found = list(other.values()), [found[key] for key in other]
    if isinstance(other, list | tuple):
        pairs = list(zip(found, other, strict=True))[int(top) :]
        return all(alike(a, b, top=False) for a, b in pairs)
    return torch.equal(found, other) if isinstance(other, torch.Tensor) else found == other


# What samples have besides, which says nothing of places.
OTHER: dict[str, Any] = {
    "class": 3, "shares": torch.full((5,), 0.2), "several": torch.tensor([True, False]),
    "id": "000123", "score": 0.5, "ids": zeros(HIGH), "of the length of a side": torch.rand(WIDE),
    "words": ["a", "b"], "embedding": torch.rand(7, 5), "heads": torch.full((2, 4), 0.25),
    "mask_path": "a.png", "num_boxes": 3, "box_labels": zeros(3), "depth": 0.25,
    "mask": torch.tensor([True, False, True]), "attention_mask": zeros(9), "flow": "left",
    "image_size": zeros(2), "box": (1, 2.5), "keypoint_scores": torch.rand(4), "pose_id": zeros(1),
    "caption": "a mask", "boxes": 4, "padding_mask": zeros(3, 9), "text_token_mask": zeros(1, 9),
    "encoder_attention_mask": zeros(2, 9), "tokens": torch.tensor([[101, 2000, 999, 102]] * 2),
    "flags": torch.eye(4, dtype=torch.int64)[:2], "flags of 5": torch.ones(2, 5), "x1": 3,
    "several flags": torch.tensor([[1, 1, 0, 0]]), "series": torch.full((3, 5), 0.3), "pairs": [[]],
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_what_says_nothing_of_places_passes(name: str) -> None:
    held = {name: OTHER[name]}
    for sample in ({"image": IMAGE, **held}, {"image": IMAGE, "inner": held}):
        stock = next(iter(torch.utils.data.DataLoader(Own(sample), 4)))
        assert alike(first(Own(sample)), stock)


@pytest.mark.parametrize("policy", [
    "random_crop(8)", "resize(8)", "center_crop(8)", "random_resized_crop(8)", "vflip", "rotate(5)",
    "translate", "scale", "shear", "perspective", "cutmix", "mixup", "one_of([mixup, cutmix])",
    "random_crop((12, 16), p=0.0)",
])  # fmt: skip
def test_every_operation_that_moves_pixels_is_named(policy: str) -> None:
    name = parse_policy(policy).operations[0].op
    with pytest.raises(InputError, match=f"'{name}'"):
        first(Own((IMAGE, torch.rand(HIGH, WIDE))), policy)


STILL = {
    "autocontrast", "border", "channel_drop", "channel_shuffle", "color_jitter", "cutout",
    "equalize", "gamma", "gaussian_blur", "gaussian_noise", "grayscale", "invert", "jpeg",
    "label_smoothing", "normalize", "posterize", "random_erasing", "salt_and_pepper", "schedule",
    "sharpness", "solarize", "solarize_add",
}  # fmt: skip


def test_every_operation_says_whether_it_moves_pixels() -> None:
    kornia = {"kornia"}
    moving = {name for name, cls in OPERATIONS.items() if name not in kornia and cls.moves}
    assert moving | STILL | kornia == {*OPERATIONS}
    assert not moving & STILL


@dataclass
class Found:
    boxes: Any
    label: int = 1


class Instances:
    def __init__(self, boxes: Any) -> None:
        self.fields, self.again = {"gt_boxes": boxes}, self


@pytest.mark.parametrize("kind", [Found, Instances])
def test_objects_in_samples_are_looked_into(kind: Any) -> None:
    data = Own((IMAGE, {"target": kind([[1, 2, 3, 4]])}))
    stay: dict[str, Any] = {"policy": FLIP, "collate_fn": lambda samples: samples}
    with pytest.raises(InputError, match=r"boxes'\) of sample 0"):
        first(data, **stay)
    found = "boxes" if kind is Found else "gt_boxes"
    for passive in (found, "target", 1, [(1, "target")]):
        kept = {**stay, "collate_fn": lambda samples: torch.stack([s[0] for s in samples])}
        assert len(first(data, passive=passive, **kept)) == 4


@pytest.mark.parametrize("rows", [
    [[1, 2, 3, 4], 5], [[1, 2, 3, 4], [5]], [[1, 2], [3, [4]]], [[1, 2], ["a", "b"]],
    [[1, 2], None],
])  # fmt: skip
def test_lists_that_are_no_rows_of_numbers_pass(rows: Any) -> None:
    stacked: dict[str, Any] = {
        "collate_fn": lambda samples: torch.stack([sample[0] for sample in samples])
    }
    assert len(first(Own((IMAGE, rows)), **stacked)) == 4


def test_the_cure_names_a_part_without_a_name_by_its_whole_path() -> None:
    with pytest.raises(InputError, match=r"passive=\[\(0, 1\)\]"):
        first(Own(((IMAGE, zeros(HIGH, WIDE)), 1)))


def test_stages_of_kornia_move_pixels_unless_they_are_known_not_to() -> None:
    pytest.importorskip("kornia")
    still = ("RandomBrightness", "RandomGaussianNoise", "RandomHue", "RandomEqualize")
    moving = ("RandomHorizontalFlip", "RandomElasticTransform", "RandomThinPlateSpline")
    for names, expected in ((still, ()), (moving, ("kornia",))):
        for name in names:
            assert parse_policy(f'kornia("{name}", p=0.5)').moving == expected
            assert parse_policy(f'kornia("{name}", p=0.0)').moving == ()


LANES: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "TensorDataset": lambda: (
        TensorDataset(IMAGE.repeat(COUNT, 1, 1, 1), torch.rand(COUNT, HIGH, WIDE)), {}
    ),
    "points of a TensorDataset": lambda: (
        TensorDataset(IMAGE.repeat(COUNT, 1, 1, 1), torch.ones(COUNT, 5, 2)), {}
    ),
    "arrays": lambda: ((np.zeros((COUNT, HIGH, WIDE, 3), np.uint8),
                        np.zeros((COUNT, HIGH, WIDE), np.int64)), {}),
    "workers": lambda: (Own((IMAGE, torch.rand(HIGH, WIDE))), {"num_workers": 2}),
    "stream": lambda: (Stream((IMAGE, torch.rand(HIGH, WIDE))), {}),
    "stream in workers": lambda: (Stream((IMAGE, torch.rand(HIGH, WIDE))), {"num_workers": 2}),
    "alone": lambda: (Own((IMAGE, torch.rand(HIGH, WIDE))), {"batch_size": None}),
    "whole batches": lambda: (
        Own((IMAGE.repeat(4, 1, 1, 1), zeros(4, HIGH, WIDE))),
        {"batch_size": None, "sampler": [[0, 1, 2, 3]]},
    ),
    "boxes in whole batches": lambda: (
        Own({"x": IMAGE.repeat(4, 1, 1, 1), "boxes": torch.ones(4, 4)}),
        {"batch_size": None, "sampler": [[0, 1, 2, 3]]},
    ),
    "collate_fn": lambda: (
        Own((IMAGE, torch.rand(HIGH, WIDE))),
        {"collate_fn": lambda samples: tuple(map(torch.stack, zip(*samples, strict=True)))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("lane", LANES)
def test_dense_fields_are_refused_in_every_lane(lane: str) -> None:
    data, options = LANES[lane]()
    with pytest.raises(InputError, match=r"passive=\[|masks"):
        first(data, **options)


def test_whole_batches_may_have_as_many_rows_as_the_image_has() -> None:
    many = Own((IMAGE.repeat(HIGH, 1, 1, 1), torch.rand(HIGH, WIDE)))
    assert len(first(many, batch_size=None, sampler=[list(range(HIGH))])[1]) == HIGH


def test_every_sample_is_looked_at() -> None:
    class Late(Own):
        def __getitem__(self, i: int) -> Any:
            return {"image": IMAGE, "target": {"boxes": [[1, 2, 3, 4]]} if i == 3 else {}}

    with pytest.raises(InputError, match=r"'boxes'.* of sample 3"):
        first(Late(None), collate_fn=lambda samples: samples)


@pytest.mark.parametrize(
    "passive", ["boxes", ["boxes"], [1], 1, [-1], [("target", "boxes")], [(1, "boxes")], {"boxes"}]
)
def test_a_field_is_said_to_stay_by_name_position_or_path(passive: Any) -> None:
    pair = namedtuple("pair", "image target")
    first(Own(pair(IMAGE, {"boxes": torch.ones(1, 4)})), passive=passive)


@pytest.mark.parametrize("passive", ["box", [0], [-2], 7, [("boxes", "target")], []])
def test_no_other_field_is_said_to_stay(passive: Any) -> None:
    with pytest.raises(InputError, match=r"passive=\['boxes'\]"):
        first(Own((IMAGE, {"boxes": torch.ones(1, 4)})), passive=passive)


@pytest.mark.parametrize("passive", [True, 1.5, [None], [b"mask"], [("a", 2.5)], object()])
def test_what_names_no_field_is_refused_at_once(passive: Any) -> None:
    with pytest.raises(InputTypeError, match=r"passive=.* names no fields"):
        DataLoader(Own((IMAGE, 1)), policy=LIGHT, passive=passive)


def test_nothing_is_looked_for_under_a_policy_that_moves_nothing() -> None:
    still = SpatialCheck.under(parse_policy(LIGHT), None)
    assert still.moving == passive_of(None) == ()
    still.check(object(), (), (1, 1), str)  # not even at the sample


def test_a_loader_without_a_policy_passes_everything() -> None:
    data = Own((IMAGE, zeros(HIGH, WIDE)))
    assert torch.equal(next(iter(DataLoader(data, 4)))[1], zeros(4, HIGH, WIDE))
