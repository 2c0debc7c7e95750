"""The report of a study: what it leads with, that it is whole, and that its recipe trains."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from augfeed.errors import InputError
from augfeed_trainer.data import Data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import Found, Study, StudyData, study
from augfeed_trainer.study.curve import FOREST, TUNED, Point
from augfeed_trainer.study.images import opened
from augfeed_trainer.study.report import command_of, conclusion, for_training, write_report
from augfeed_trainer.study.techniques import Strength, Technique
from tests.trainer.scripted import Script

BASE = Recipe(model="mlp", epochs=5)
WHERE = StudyData("digits", 0.2)
GIVEN = (
    Technique("shift", (Strength("1 px", {}, "random_crop(8, padding=1)"),), "window"),
    Technique("dropout", (Strength("0.2", {"dropout": 0.2}), Strength("0.4", {"dropout": 0.4}))),
    Technique("L1 penalty", (Strength("", {"l1": 1e-3}),)),
    Technique("weight noise", (Strength("0.1", {"weight_noise": {"std": 0.1}}),)),
)


def law(recipe: Recipe) -> float:
    shifted = 0.05 * (recipe.policy is not None)
    return 0.7 + shifted + 0.04 * bool(recipe.dropout) - 0.06 * bool(recipe.l1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Data, Path]:
    with pytest.MonkeyPatch.context() as patch:
        Script(law).install(patch)
        folder = tmp_path_factory.mktemp("study")
        found = study(Study(WHERE, BASE, seeds=3, given=GIVEN), folder)
    return found, opened(WHERE, folder / "runs", 0), folder


def test_the_report_leads_with_the_answer_and_needs_no_other_file(made: Any) -> None:
    found, data, folder = made
    points = [Point(FOREST, 0.1, 100, (0.5,)), Point(TUNED, 0.1, 100, (0.6,), ("shift",))]
    page = write_report(found, data, folder, points).read_text()
    body = page[page.index("<body>") :]
    order = [
        "Keep: shift, dropout.", "What each technique is worth", "Training against validation",
        "Learning curves", "Images under the chosen recipe", "augfeed train --data DATA",
        "What carries it", "How much data", "Each alone", "How it was done",
    ]  # fmt: skip
    places = [body.index(text) for text in order]
    assert places == sorted(places)
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)='?(?!data:)[a-z/]", page) and "<script" not in page
    for item in found.tried:
        assert item.name in page


def test_the_numbers_of_the_report_are_in_a_file_too(made: Any) -> None:
    found, data, folder = made
    write_report(found, data, folder)
    said = json.loads((folder / "report.json").read_text())
    assert said["kept"] == found.kept == ["shift", "dropout"]
    assert len(said["tried"]) == len(found.tried) and len(said["without"]) == 2
    assert said["regime"]["end"] == "fits" and said["plain_best"] in (1, 2, 4)
    assert said["trained_seconds"] == pytest.approx(0.1 * said["runs"], abs=0.1)
    assert said["conclusion"] == conclusion(found)
    assert Recipe.load(folder / "recipe.json") == found.recipe


def test_the_line_to_copy_is_the_recipe(made: Any) -> None:
    found, _, _ = made
    words = shlex.split(command_of(found.recipe))
    assert words[:4] == ["augfeed", "train", "--data", "DATA"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert (
        options["--policy"] == found.recipe.policy
        and float(options["--dropout"]) == found.recipe.dropout
    )
    assert options["--epochs"] == str(found.recipe.epochs)
    noisy = Recipe(weight_noise={"std": 0.1}, reestimate_norm=True)
    assert "--weight-noise 0.1 --reestimate-norm" in command_of(noisy)


def test_names_in_the_report_are_text_not_markup(made: Any) -> None:
    found, data, folder = made
    marked = replace(found, study=replace(found.study, where=replace(WHERE, data="<b>x&")))
    page = write_report(marked, data, folder / "marked").read_text()
    assert "<h1>What helps on &lt;b&gt;x" in page and "<b>x" not in page


@pytest.mark.parametrize(
    ("train", "minutes", "words"),
    [
        (lambda one: 0.8 + one.epochs / 10**4, 1e-9, "minutes are too few. The plain network"),
        (lambda one: 0.1, 60, "the plain network does not learn"),
        (lambda one: 1.0, 1e-9, "too few to compare anything"),
    ],
    ids=["no regime", "chance", "no comparison"],
)
def test_without_a_conclusion_the_first_line_says_why_and_no_recipe_is_given(
    train: Any, minutes: float, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Script(law, train=train).install(monkeypatch)
    found = study(Study(WHERE, BASE, minutes=minutes, given=GIVEN), tmp_path)
    page = write_report(found, opened(WHERE, tmp_path / "runs", 0), tmp_path).read_text()
    answer = re.search(r'<p class="answer open">(.*)', page)
    assert answer and answer[1].startswith("No conclusion: ") and words in answer[1]
    assert "Keep" not in page and "augfeed train" not in page
    assert not (tmp_path / "recipe.json").exists()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, "resize(64) | center_crop(64)"),
        ("random_crop(64, padding=4)", "resize(64) | random_crop(64, padding=4)"),
        ("rotate(10)", "resize(64) | center_crop(64) | rotate(10.0)"),
        ("random_resized_crop(64)", "random_resized_crop(64)"),
    ],
)
def test_a_recipe_found_on_resized_images_resizes_them(policy: str | None, expected: str) -> None:
    recipe = Recipe(policy=policy)
    assert for_training(recipe, 64).policy == expected
    assert for_training(recipe, None) == recipe


def test_a_recipe_that_cannot_be_is_an_error() -> None:
    with pytest.raises(InputError, match="rotate"):
        Strength("", {}, "rotate(5)").on(Recipe(policy="rotate(10)"))
