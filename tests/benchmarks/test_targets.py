"""The benchmark of targets: its own rows pass the gate, and what does not fit is not timed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import bench_targets, data
from benchmarks.common import parser
from benchmarks.gate import GateError
from benchmarks.targets_data import Scenes, check_boxes, check_masks, make_scenes

COUNT, BATCH = 16, 8


@pytest.fixture(name="scenes", scope="module")
def _scenes(tmp_path_factory: Any) -> Iterator[Scenes]:
    pytest.importorskip(
        "sklearn", reason="photographs are scikit-learn's: pip install scikit-learn"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "PHOTO_SIZE", (500, 375))  # objects need room
        yield make_scenes(Path(tmp_path_factory.mktemp("scenes")), COUNT)


def options() -> Any:
    words = ["--batch-size", str(BATCH), "--num-workers", "0", "--rounds", "1"]
    return parser("targets", "", batch=BATCH).parse_args(words)


def test_masks_and_mosaics_of_ours_pass_the_gate(scenes: Scenes) -> None:
    check_masks("augfeed", bench_targets.mask_files(scenes, options())(), 512)
    check_boxes("augfeed", bench_targets.mosaics(scenes, options())(), 640)


def test_masks_that_stay_behind_are_not_timed(scenes: Scenes) -> None:
    batches = bench_targets.mask_files(scenes, options())()
    with pytest.raises(GateError, match="masks fit"):
        check_masks("broken", ((images, masks.flip(2)) for images, masks in batches), 512)


def test_boxes_that_stay_behind_are_not_timed(scenes: Scenes) -> None:
    batches = bench_targets.mosaics(scenes, options())()
    moved = ((images, [rows + 60 for rows in boxes]) for images, boxes in batches)
    with pytest.raises(GateError, match="boxes hold"):
        check_boxes("broken", moved, 640)


def test_a_mosaic_of_one_image_is_not_timed() -> None:
    images = torch.zeros(1, 3, 64, 64)
    images[:, 1, 10:20, 10:20] = 1
    with pytest.raises(GateError, match="1 at most in an image"):
        check_boxes("one", iter([(images, [np.array([[10, 10, 20, 20]])])]), 64)
