"""Masks and boxes that are shown: over images, in words, and what became of each box."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augfeed import parse_policy
from augfeed.cli import app
from augfeed.datasets import CocoDetection, MaskFolder, VOCDetection
from augfeed.fields import Boxes, Mask
from augfeed.pipeline import Pipeline
from augfeed.show import draw_sample, explain_sample, preview
from augfeed.show.annotations import drawn, words_of
from tests.augfeed.datasets import small


def voc(root: Path, policy: str, **field: Any) -> Pipeline:
    data = VOCDetection(small.voc(root), classes=("cow",)).with_fields({"boxes": Boxes(**field)})
    return Pipeline(data, parse_policy(policy), seed=0)


@pytest.mark.parametrize(
    ("policy", "field", "reason"),
    [
        ("center_crop((40, 56))", {}, ""),
        ("center_crop((40, 56))", {"min_side": 25}, "24.0 x 24.0 pixels are left, below min_side"),
        ("center_crop((8, 56))", {"max_aspect": 2}, "its sides are 3.0 to 1, above max_aspect=2"),
        ("center_crop((8, 56))", {"min_share": 0.5}, "33% of it is inside, below min_share=0.5"),
        ("center_crop(40) | translate(1.0, p=1.0)", {}, "it lies outside of what is shown"),
    ],
)
def test_explain_says_what_became_of_a_box(
    tmp_path: Path, policy: str, field: dict[str, Any], reason: str
) -> None:
    pipeline = voc(tmp_path, policy, **field)
    found = [explain_sample(pipeline, 0, epoch) for epoch in range(12)]
    fates = [explanation.boxes[0] for explanation in found]
    assert any(reason in fate.reason and (fate.after is None) == bool(reason) for fate in fates)
    for explanation, fate in zip(found, fates, strict=True):
        assert (len(explanation.batch.targets["boxes"][0]) == 0) == (fate.after is None)
        assert ("result", "box 0", fate.text) in explanation.rows
        told = explanation.as_dict()["boxes"][0]
        assert told["class"] == "cow" and told["before"] == tuple(small.box(0))
        assert (told["after"] is None) == bool(told["dropped"])
        assert explanation.label == "cow"


def test_a_preview_colors_what_a_mask_says(tmp_path: Path) -> None:
    image, mask = Image.new("RGB", (40, 40)), np.zeros((20, 20), np.uint8)
    mask[5:10, 5:10], mask[15:, 15:] = 1, 255
    for classes, plain in ((("background", "a"), True), (("road", "a"), False)):
        shown = np.array(drawn(image, {"mask": mask}, {"mask": Mask()}, (20, 20), classes))
        assert shown[15, 15].any() and shown[35, 35].any()
        assert bool(shown[2, 2].any()) != plain or classes[0] == "road"
    words = words_of({"mask": mask}, {"mask": Mask()}, ("background", "a"))
    assert words == ["background 0.88", "a 0.06", "ignored 0.06"]


@pytest.mark.parametrize("policy", ["", " | mixup(0.4)", " | cutmix(1.0)"])
def test_masks_are_shown_whatever_mixes_them(tmp_path: Path, policy: str) -> None:
    data = MaskFolder(small.masks(tmp_path), num_classes=small.CLASSES)
    pipeline = Pipeline(data, parse_policy(f"random_crop(24) | hflip{policy}"), seed=0)
    picture = preview(pipeline, indices=[0, 1], epochs=[0, 1])
    assert picture.width > 3 * 144
    explanation = explain_sample(pipeline, 0, 0)
    assert "class" in explanation.lines[-1]
    assert draw_sample(pipeline, explanation).height > 144


@pytest.mark.parametrize(
    "policy",
    ["random_resized_crop(32, (0.1, 0.4)) | hflip", "letterbox(32) | mosaic | rotate(20)",
     "letterbox(32) | mosaic(0.5) | copy_paste(1.0)", "random_iou_crop(32)",
     "random_crop(24) | cutmix(1.0, p=1.0)", "random_crop(24) | mixup(1.0)", "bbox_safe_crop(32)",
     "resize((40, 40)) | cutout(30)"],
)  # fmt: skip
def test_the_fate_of_a_box_is_that_in_the_batch(tmp_path: Path, policy: str) -> None:
    fields = {"boxes": Boxes(min_side=4, min_share=0.2, max_occlusion=0.5)}
    data = CocoDetection(*small.coco(tmp_path), masks=True).with_fields(fields)
    pipeline = Pipeline(data, parse_policy(policy), seed=3)
    for index in range(small.COUNT):
        explanation = explain_sample(pipeline, index, 0)
        assert draw_sample(pipeline, explanation).height > 100
        given = explanation.batch.targets["boxes"][0].tolist()
        (fate,) = explanation.boxes
        assert (fate.after is None) == bool(fate.reason)
        if fate.after is not None:  # boxes of the sample itself come first
            assert np.allclose(fate.after, given[0], atol=1e-4)
        elif "mosaic" not in policy and "mix" not in policy:
            assert not given


def test_the_commands_take_folders_with_masks_and_boxes(tmp_path: Path) -> None:
    small.yolo(tmp_path / "yolo")
    small.masks(tmp_path / "masks")
    for name in ("yolo", "masks"):
        out, path = tmp_path / f"{name}.png", str(tmp_path / name)
        given = ["--data", path, "--policy", "random_crop(24) | hflip"]
        done = CliRunner().invoke(app, ["preview", *given, "--out", str(out), "--count", "2"])
        assert done.exit_code == 0, done.output
        with Image.open(out) as picture:
            assert picture.width > 300
        done = CliRunner().invoke(
            app, ["explain", *given, "--index", "1", "--out", str(out), "--json"]
        )
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["contents"] and bool(told["boxes"]) == (name == "yolo")
