"""Shapes that are drawn: their truth, the small networks, and that these learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from augfeed.cli import app
from augfeed.errors import InputError
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.shapes.detection import boxes_of, center_maps, mean_average_precision
from augfeed_trainer.shapes.images import Shapes
from augfeed_trainer.shapes.networks import CenterNet, UNet
from augfeed_trainer.shapes.train import EPOCHS, check_settings, settled, train_shapes

PLAIN = "hflip"  # few kernels


def test_boxes_are_those_of_the_shapes_that_masks_show() -> None:
    masks, boxes = Shapes(12, "segment", size=32), Shapes(12, "detect", size=32)
    for (image, mask), (same, target) in zip(
        (masks[i] for i in range(12)), (boxes[i] for i in range(12)), strict=True
    ):
        assert torch.equal(image, same) and image.shape == (3, 32, 32)
        for box, label in zip(target["boxes"].int().tolist(), target["labels"], strict=True):
            left, top, right, bottom = box
            inside = (mask == label).numpy()[top:bottom, left:right]
            assert inside[0].any() and inside[-1].any()
            assert inside[:, 0].any() and inside[:, -1].any()
    assert len({masks[i][1].sum().item() for i in range(12)}) > 6


def test_shapes_are_a_function_of_their_seed() -> None:
    one, same, other = (Shapes(3, "segment", size=32, seed=seed) for seed in (1, 1, 2))
    assert all(one.read(i) == same.read(i) != other.read(i) for i in range(3))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


def test_networks_give_maps_of_their_size() -> None:
    images = torch.zeros(2, 3, 32, 48)
    assert UNet(4)(images).shape == (2, 4, 32, 48)
    centers, sides = CenterNet(3)(images)
    assert centers.shape == (2, 3, 8, 12) and sides.shape == (2, 4, 8, 12)


def test_boxes_come_back_from_the_maps_that_they_are_made_to() -> None:
    data = Shapes(8, "detect", size=64)
    targets = [data[i][1] for i in range(8)]
    columns = {name: [target[name] for target in targets] for name in ("boxes", "labels")}
    heat, sides, _ = center_maps(columns, 3, (64, 64))
    found = boxes_of((torch.logit(heat, 1e-4), sides))
    for one, target in zip(found, targets, strict=True):
        sure = one["scores"] > 0.99
        assert int(sure.sum()) == len(target["boxes"])
        order = np.lexsort(one["boxes"][sure].numpy().T)
        wanted = target["boxes"][np.lexsort(target["boxes"].numpy().T).tolist()]
        assert torch.allclose(one["boxes"][sure][order.tolist()], wanted, atol=1e-3)


def test_the_measure_of_boxes_is_1_for_the_truth_and_0_for_others() -> None:
    pytest.importorskip("faster_coco_eval")
    data = Shapes(8, "detect", size=64)
    truth = [{name: data[i][1][name] for name in ("boxes", "labels")} for i in range(8)]
    sure = [{**each, "scores": torch.ones(len(each["labels"]))} for each in truth]
    off = [{**each, "boxes": each["boxes"] + 40} for each in sure]
    assert mean_average_precision(sure, truth, 64, 3)["map"] == pytest.approx(1.0)
    assert mean_average_precision(off, truth, 64, 3)["map"] < 0.05


def test_a_network_learns_to_segment() -> None:
    recipe = Recipe(policy=PLAIN, epochs=2, batch_size=4, lr=5e-3)
    made = train_shapes("segment", recipe, num_workers=0, counts=(16, 4))
    assert made.losses[-1] < made.losses[0] and 0 < made.chance < 0.5


def test_a_network_learns_to_detect() -> None:
    pytest.importorskip("faster_coco_eval")
    recipe = Recipe(policy=PLAIN, epochs=2, batch_size=4, lr=5e-3)
    made = train_shapes("detect", recipe, num_workers=0, counts=(16, 4))
    assert made.losses[-1] < made.losses[0] and 0 <= made.score <= 1


@pytest.mark.parametrize(
    "change", [{"dropout": 0.1}, {"model": "mlp"}, {"label_smoothing": 0.1}, {"ema": 0.9}]
)
def test_settings_without_meaning_are_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(change))}=.* is for --task classify"):
        check_settings(Recipe(**change))


def test_settings_that_are_given_count_though_they_are_the_defaults_of_a_recipe() -> None:
    assert settled(Recipe(), "segment").epochs == EPOCHS["segment"] != Recipe().epochs
    usual = Recipe()
    for recipe in (
        Recipe(epochs=usual.epochs, batch_size=usual.batch_size),
        usual.with_(epochs=usual.epochs, batch_size=usual.batch_size),
    ):
        made = settled(recipe, "detect")
        assert (made.epochs, made.batch_size) == (usual.epochs, usual.batch_size)
        assert settled(made, "detect") == made and made.policy is not None
    assert settled(Recipe(policy="hflip"), "detect").policy == "hflip"


def test_the_command_trains_and_writes_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("TRAINING", 16), ("VALIDATION", 8)):
        monkeypatch.setattr(f"augfeed_trainer.shapes.train.{name}", count)
    given = ["train", "--task", "segment", "--folder", str(tmp_path), "--policy", PLAIN]
    done = CliRunner().invoke(app, [*given, "--epochs", "1", "--num-workers", "0"])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "measured.json").read_text())
    assert told["task"] == "segment" and 0 <= told["mIoU"] <= 1
    for wrong in (["--task", "paint"], ["--task", "detect", "--data", "here"]):
        assert CliRunner().invoke(app, ["train", *wrong]).exit_code != 0
