"""Forms in which datasets give boxes and masks: what is taken, what is refused, and its cure."""

import ast
import re
from typing import Any

import pytest
import torch

from augfeed import DataLoader
from augfeed.errors import InputError
from augfeed.fields import Boxes

HIGH, WIDE = 24, 40
BOXES = torch.tensor([[2.0, 3, 12, 15], [20, 4, 38, 22]])
MIRRORED = [[28.0, 3, 38, 15], [2, 4, 20, 22]]


def image() -> torch.Tensor:
    return torch.zeros(3, HIGH, WIDE, dtype=torch.uint8)


def first(sample: Any, policy: str = "hflip(p=1.0)", **options: Any) -> Any:
    return next(iter(DataLoader([sample] * 2, 2, policy=policy, seed=2, **options)))


@pytest.mark.parametrize("sample", [
    {"image": image(), "annotations": {"bbox": BOXES}},
    (image(), {"bbox": BOXES, "labels": torch.arange(2)}),
    {"image": image(), "bbox": BOXES},
])  # fmt: skip
def test_a_name_that_one_part_has_is_found_wherever_it_is(sample: Any) -> None:
    batch = first(sample, fields={"bbox": Boxes()})
    held = batch[1] if isinstance(batch, list | tuple) else batch.get("annotations", batch)
    assert held["bbox"][0].tolist() == MIRRORED


def test_a_name_is_found_where_there_are_no_boxes() -> None:
    assert first((image(), {"bbox": [], "id": 1}), fields={"bbox": "boxes"})[1]["bbox"] == [[], []]


def test_a_name_of_two_parts_is_refused() -> None:
    sample = {"image": image(), "one": {"bbox": BOXES}, "other": {"bbox": BOXES}}
    with pytest.raises(InputError, match="leads nowhere"):
        first(sample, fields={"bbox": Boxes()})


@pytest.mark.parametrize("sample", [
    {"image": image(), "a": {"bbox": BOXES}}, (image(), {"person": {"landmarks": BOXES[:, :2]}}),
    (image(), BOXES), {"image": image(), "gt": {"seg_map": torch.zeros(HIGH, WIDE).long()}},
], ids=["boxes", "points", "tuple", "mask"])  # fmt: skip
def test_the_cure_of_a_refusal_is_one(sample: Any) -> None:
    with pytest.raises(InputError, match="would move the image alone") as caught:
        first(sample, "random_crop(20)")
    message = str(caught.value)
    found = re.search(r"fields=\{(.*?): '(\w+)'\} \(or (.*?)\)", message)
    assert found is not None, message
    bare = isinstance(sample, tuple) and sample[1] is BOXES
    key = ast.literal_eval(found[1])
    assert first(sample, "random_crop(20)", fields={key: "boxes" if bare else found[2]})


@pytest.mark.parametrize("shape", [(HIGH + 1, WIDE), (HIGH - 1, WIDE), (15, 25), (35, 60),
                                   (WIDE, HIGH), (32, 32)])  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_a_mask_of_another_size_is_refused(shape: Any, dtype: Any) -> None:
    mask = torch.zeros(shape, dtype=dtype)
    for sample in ((image(), mask), {"image": image(), "mask": mask}):
        with pytest.raises(InputError, match=r"whose name 'mask'|like a mask, and not of the size"):
            first(sample, image_key=0 if isinstance(sample, tuple) else "image")


@pytest.mark.parametrize("key", ["labels", "area", "iscrowd", "scores"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_entries_that_are_not_one_for_each_box_are_refused(key: str, count: int) -> None:
    target = {"boxes": BOXES, "labels": torch.zeros(2), key: torch.zeros(count)}
    with pytest.raises(InputError, match=f"has 2 boxes, and '{key}' beside it {count} entries"):
        first((image(), target))


def test_boxes_of_no_objects_may_have_no_sides() -> None:
    # As `torch.tensor([])` gives them.
    none = {"boxes": torch.zeros(0), "labels": torch.zeros(0).long()}
    some = {"boxes": BOXES, "labels": torch.arange(2)}
    for pair in ((none, some), (some, none)):
        data = [(image(), target) for target in pair]
        batch = next(iter(DataLoader(data, 2, policy="hflip(p=1.0)")))[1]
        assert sorted(map(len, batch["boxes"])) == [0, 2]
        assert all(boxes.shape[1:] == (4,) for boxes in batch["boxes"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_boxes_keep_their_type_of_floats(dtype: torch.dtype) -> None:
    target = {"boxes": BOXES.to(dtype), "labels": torch.arange(2)}
    found = first((image(), target))[1]["boxes"][0]
    assert found.dtype == dtype and found.tolist() == MIRRORED


def test_points_beside_boxes_are_points_and_never_a_second_image() -> None:
    points = torch.zeros(2, 5, 3)
    points[..., :2], points[..., 2] = torch.tensor([5.0, 6.0]), 2
    target = {"boxes": BOXES, "labels": torch.arange(2), "keypoints": points}
    with pytest.raises(InputError, match=r"which keypoints of .* change places"):
        first((image(), target))
    found = first((image(), target), "center_crop((20, 30))")[1]["keypoints"][0]
    assert found[0, 0].tolist() == [0.0, 4.0, 2.0]
    assert first((image(), target), passive=["keypoints"])[1]["boxes"][0].tolist() == MIRRORED


@pytest.mark.parametrize("sample", [
    (image(), {"boxes": BOXES, "labels": torch.arange(2)}),
    (image(), torch.zeros(HIGH, WIDE).long()),
], ids=["boxes", "mask"])  # fmt: skip
def test_labels_that_nobody_smooths_are_not_left_hard_in_silence(sample: Any) -> None:
    with pytest.raises(InputError, match="label_smoothing is for classes of images"):
        first(sample, "hflip | label_smoothing(0.1)", num_classes=4)
