"""The runs of a study: their images and folds, side by side, and one small real study."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augfeed.cli import app
from augfeed_trainer.data_split import class_numbers
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import Study, StudyData, study
from augfeed_trainer.study.images import members, opened, prepare, side_of
from augfeed_trainer.study.jobs import Runs, Workers
from augfeed_trainer.study.techniques import Strength, Technique

BASE = Recipe(model="mlp", epochs=2)
WHERE = StudyData("digits", 0.2)


@pytest.mark.parametrize("counts", [(40, 40), (3, 17, 1), (9,) * 7, (1, 1, 30)])
@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_share_no_image_and_hold_all_of_each_class_alike(
    counts: tuple[int, ...], folds: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = [members(labels, fold, folds, 3) for fold in range(folds)]
    every = np.concatenate(parts)
    assert len(np.unique(every)) == len(every)
    alone = [label for label, count in enumerate(counts) if count == 1]
    assert set(range(len(labels))) - set(every) == {int(k) for k in np.flatnonzero(
        np.isin(labels, alone))}  # fmt: skip
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for label, count in enumerate(counts):
        held = [int((labels[part] == label).sum()) for part in parts]
        assert max(held) - min(held) <= 1 and max(held) < max(count, 2)


def test_a_fold_is_a_function_of_the_seed_and_the_test_part_is_always_the_same(
    tmp_path: Path,
) -> None:
    images = prepare(WHERE, tmp_path)
    first, second, again = (opened(WHERE, images, WHERE.fold(seed)) for seed in (0, 1, 10))
    assert first is again
    assert len(first.train) == 258 and len(first.validation) in (143, 144)
    pixels = [{data.validation.image(i).tobytes() for i in range(20)} for data in (first, second)]
    assert pixels[0] != pixels[1]
    assert first.test.fingerprint() == second.test.fingerprint()
    assert class_numbers(first.train).max() == 9


def test_images_of_files_are_resized_once_and_other_files_are_not_taken_for_them(
    tmp_path: Path,
) -> None:
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for k in range(10):
            color = (200, 10, k) if label == "a" else (10, 200, k)
            Image.new("RGB", (30 + k, 40), color).save(tmp_path / "set" / label / f"{k}.png")
    where = StudyData(f"photos:{tmp_path / 'set'}", validation=0.5, size=16)
    images = prepare(where, tmp_path / "runs")
    data = opened(where, images, 0)
    assert data.train.sizes == (16, 16) and data.name == "photos" and side_of(images) == 16
    for i in range(len(data.train)):
        image = data.train.image(i)
        expected = (200, 10) if class_numbers(data.train)[i] == 0 else (10, 200)
        assert np.abs(image[..., :2].astype(int) - expected).max() <= 1
    Image.new("RGB", (99, 99)).save(tmp_path / "set" / "b" / "3.png")
    prepare.cache_clear()
    assert prepare(where, tmp_path / "runs") != images
    assert side_of(prepare(WHERE, tmp_path / "runs")) is None


def test_runs_side_by_side_give_what_one_after_the_other_gives(tmp_path: Path) -> None:
    recipes = [BASE.with_(seed=seed, epochs=1) for seed in range(2)]
    always: Callable[[], bool] = lambda: True  # noqa: E731
    alone = dict(Runs(WHERE, tmp_path / "one", Workers(1, 1)).all(recipes, always))
    workers = Workers(2, 1)
    together = dict(Runs(WHERE, tmp_path / "two", workers).all(recipes, always))
    workers.close()
    for recipe in recipes:
        assert together[recipe].validation == alone[recipe].validation
        assert together[recipe].loss == alone[recipe].loss
    assert not list((tmp_path / "two").glob("*.part"))


def test_a_small_study_is_carried_out_to_the_test_part(tmp_path: Path) -> None:
    # At the second rate nothing is learned within the epochs.
    given = (Technique("a rate", (Strength("", {"lr": 1.2e-2}), Strength("-", {"lr": 1e-9}))),)
    base = Recipe(model="mlp", epochs=9, batch_size=16, lr=1e-2)
    asked = Study(StudyData("digits", 0.05, size=8), base, seeds=2, given=given)
    found = study(asked, tmp_path)
    assert found.regime.end == "fits" and found.regime.rungs[-1].train >= 0.99
    assert found.searched[0].technique.strength.label == ""
    (item,) = found.tried
    assert set(item.shorter) == {1, 2}
    for outcome in item.outcomes:  # measured at times, and not in each epoch
        assert outcome.epochs == 4 * found.base.epochs and 10 <= len(outcome.history) <= 24
        assert all("validation/accuracy" in row for row in outcome.history)
    assert found.test is not None and min(*found.test.plain, *found.test.forest) > 0.6
    assert found.runs == len(list((tmp_path / "runs").glob("*.pt")))


def test_the_command_studies(tmp_path: Path) -> None:
    options = "study --data digits --share 0.1 --model mlp --epochs 1 --seeds 2 --minutes 0.001"
    done = CliRunner().invoke(
        app, [*options.split(), "--parallel", "1", "--out", str(tmp_path / "study")]
    )
    assert done.exit_code == 0, done.output
    assert "No conclusion: 0.001 minutes" in done.stdout
    assert (tmp_path / "study" / "report.html").is_file()
