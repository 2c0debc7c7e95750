"""Windows that are drawn by the boxes of a sample."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed.errors import InputError, PolicyError
from augfeed.fields import Boxes
from augfeed.notation import parse_policy
from augfeed.pipeline import Pipeline
from augfeed.plan.box_windows import boxed_windows
from augfeed.plan.windows import WindowDraws
from tests.augfeed.fields.test_scenes import FIELDS, Scenes, loaded, rows

COUNT = 400
SIZES = np.tile(np.array([[60, 90]], np.int64), (COUNT, 1))


def windows(policy: str, boxes: Any, count: int = COUNT) -> Any:
    draws = WindowDraws(parse_policy(policy), 5, 1, np.arange(count))
    given = [np.array(boxes, np.float64).reshape(-1, 4)] * count
    return boxed_windows(draws, SIZES[:count], given).box


BOXES = [[10, 20, 30, 45], [50, 5, 70, 30]]


def test_a_safe_crop_holds_all_boxes_and_reaches_every_border() -> None:
    top, left, height, width = windows("bbox_safe_crop(32)", BOXES).T
    assert (top <= 5).all() and (left <= 10).all()
    assert (top + height >= 45).all() and (left + width >= 70).all()
    assert (top + height <= 60).all() and (left + width <= 90).all()
    assert {*top.tolist()} >= set(range(5)) and {*(left + width).tolist()} >= set(range(72, 90))


def test_an_eroded_crop_may_cut_a_share_of_each_box_and_no_more() -> None:
    top, left, height, width = windows("bbox_safe_crop(32, erosion=0.2)", BOXES).T
    assert (top <= 10).all() and (left <= 14).all() and (left + width >= 66).all()
    assert (left > 10).any() and (top + height < 45).any()


def test_an_iou_crop_overlaps_the_center_box_it_holds_by_a_drawn_share() -> None:
    box = np.array([10.0, 20, 30, 45])
    for least in (0.05, 0.1, 0.2):
        found = windows(f"random_iou_crop(32, overlaps=[{least}])", [box], 64)
        for top, left, height, width in found.tolist():
            assert left < 20 < left + width and top < 32.5 < top + height
            wide = min(30, left + width) - max(10, left)
            high = min(45, top + height) - max(20, top)
            assert wide * high / (500 + width * height - wide * high) >= least
            assert 0.5 <= width / height <= 2


def test_an_iou_crop_of_one_is_the_whole_image() -> None:
    assert (windows("random_iou_crop(32, overlaps=[1.0])", BOXES) == [0, 0, 60, 90]).all()


@pytest.mark.parametrize("name", ["random_iou_crop", "bbox_safe_crop"])
def test_a_sample_without_boxes_is_shown_whole(name: str) -> None:
    assert (windows(f"{name}(32)", []) == [0, 0, 60, 90]).all()
    assert (windows(f"{name}(32, p=0.0)", BOXES) == [0, 0, 60, 90]).all()


@pytest.mark.parametrize("name", ["random_iou_crop", "bbox_safe_crop"])
def test_windows_are_functions_of_keys_and_boxes_alone(name: str) -> None:
    data, policy = Scenes(semantic=False), f"{name}(32) | hflip"
    one = rows(loaded(policy, 32, data))
    other = rows(loaded(policy, 5, data))
    assert all(torch.equal(left["image"], right["image"])
               for left, right in zip(one, other, strict=True))  # fmt: skip


def test_boxes_whose_centers_lie_outside_an_iou_crop_are_dropped_with_their_entries() -> None:
    fields = {**FIELDS, "boxes": Boxes(min_side=0)}
    dropped = 0
    for sample in rows(loaded("random_iou_crop(64, overlaps=[0.0])", data=Scenes(), fields=fields)):
        assert len(sample["boxes"]) == len(sample["masks"]) == len(sample["labels"]) >= 1
        dropped += (sample["id"] % 2 == 0) & (len(sample["boxes"]) == 1)
    assert dropped > 2


def test_without_boxes_such_windows_are_refused() -> None:
    images = np.zeros((8, 8, 8, 3), np.uint8)
    with pytest.raises(PolicyError, match="'bbox_safe_crop' needs the boxes or masks"):
        Pipeline(images, parse_policy("bbox_safe_crop(4)"))
    with pytest.raises(InputError, match="drawn by the boxes of a sample, and it has none"):
        loaded("random_iou_crop(4)", data=[(torch.zeros(3, 8, 8), k) for k in range(8)], fields={})
    with pytest.raises(PolicyError, match="would resize twice"):
        parse_policy("resize(8) | random_iou_crop(4)")
