"""The study: its statistics, its choice on scripted outcomes, and one small real run."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from augfeed.cli import app
from augfeed.errors import InputError
from augfeed_trainer.data import open_data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import Study, jobs, search, study
from augfeed_trainer.study.curve import Point, curve, epochs_for, forest_accuracy, overtakes
from augfeed_trainer.study.jobs import Outcome, Runs, StudyData
from augfeed_trainer.study.report import write_report
from augfeed_trainer.study.statistics import gain, pooled
from augfeed_trainer.study.techniques import techniques
from augfeed_trainer.train import Scores

BASE = Recipe(model="mlp", epochs=2)
WHERE = StudyData("digits", 0.2)


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    differences = [0.02, 0.035, 0.01, 0.03]
    found = gain(differences, *pooled([differences]))
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.helps and not found.harms


def test_the_spread_is_pooled_over_comparisons() -> None:
    groups = [[1.0, 2.0, 3.0], [10.0, 10.0, 13.0]]
    spread, freedom = pooled(groups)
    within = [value - np.mean(group) for group in groups for value in group]
    assert freedom == 4 and spread == pytest.approx(np.sqrt(np.sum(np.square(within)) / 4))
    assert pooled([[1.0]])[1] == 0
    assert not gain([1.0], *pooled([[1.0]])).helps  # one seed says nothing


# What each technique adds to the validation accuracy, by a script; two of them overlap, and one
# harms unless there is another.
EFFECTS = {"norm": 0.06, "dropout": 0.03, "label_smoothing": 0.02, "l1": -0.05, "l2": -0.04}


def scripted(recipe: Recipe) -> float:
    changes = recipe.changes()
    total = 0.7 + sum(value for name, value in EFFECTS.items() if name in changes)
    if "dropout" in changes and "label_smoothing" in changes:
        total -= 0.02  # together no better than dropout alone
    if "norm" in changes and "l2" in changes:
        total += 0.05
    return total + 0.001 * ((recipe.seed * 7 + len(changes)) % 3)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Runs that take no time and give what the script says; the recipes that were run."""
    ran: list[Recipe] = []

    def run(where: StudyData, recipe: Recipe, folder: Path, threads: int) -> Outcome:
        ran.append(recipe)
        row = {"epoch": 0.0, "validation/accuracy": 0.5, "validation/loss": 1.0}
        outcome = Outcome(0.9, scripted(recipe), 1.0, 1, 0, 0.1, [row])
        name = jobs.key_of(where, recipe)
        (folder / f"{name}.pt").touch()
        text = {"outcome": {field: getattr(outcome, field) for field in Outcome.__slots__}}
        (folder / f"{name}.json").write_text(json.dumps(text))
        return outcome

    def tested(self: Any, recipe: Recipe) -> Scores:
        return Scores(1.0, scripted(recipe) - 0.01, 100)

    monkeypatch.setattr(jobs, "_run", run)
    monkeypatch.setattr(search.Search, "_tested", tested)
    return ran


def test_what_helps_is_added_until_nothing_helps_beyond_the_noise(
    script: list[Recipe], tmp_path: Path
) -> None:
    found = study(Study(WHERE, BASE, seeds=3), tmp_path)
    assert found.kept[0].endswith("norm") and found.kept[1:] == ["dropout", "L2 penalty"]
    assert found.recipe is not None and found.recipe.dropout and found.recipe.norm != "none"
    alone = {item.name: item.gain for item in found.tried if item.round == 0}
    assert alone["L1 penalty"] and alone["L1 penalty"].harms
    assert alone["weight noise"] and not alone["weight noise"].helps
    assert alone["L2 penalty"] and alone["L2 penalty"].harms  # but helps where it is kept
    later = [item.name for item in found.tried if item.round > 0]
    assert later.count("L1 penalty") == 3  # in each round: it might have helped
    assert not any(name.endswith("norm") for name in later)  # one norm, not two
    assert found.test_gain and found.test_gain.mean == pytest.approx(0.10, abs=0.003)
    assert {recipe.seed for recipe in script} == {0, 1, 2}


def test_a_study_goes_on_where_it_was_ended(script: list[Recipe], tmp_path: Path) -> None:
    first = study(Study(WHERE, BASE), tmp_path)
    count = len(script)
    assert count == len(set(script))
    again = study(Study(WHERE, BASE), tmp_path)
    assert len(script) == count and again.kept == first.kept
    next((tmp_path / "runs").glob("*.json")).write_text("{half")
    study(Study(WHERE, BASE), tmp_path)
    assert len(script) == count + 1


def test_what_there_is_no_time_for_is_reported(script: list[Recipe], tmp_path: Path) -> None:
    found = study(Study(WHERE, BASE, minutes=1e-9), tmp_path)
    assert not found.tried and "dropout" in found.untried and found.kept == []
    assert found.recipe == BASE


def test_the_report_holds_every_row_and_needs_no_other_file(
    script: list[Recipe], tmp_path: Path
) -> None:
    found = study(Study(WHERE, BASE), tmp_path)
    path = write_report(found, tmp_path)
    page = path.read_text()
    for item in found.tried:
        assert item.name in page
    assert not re.search(r"(src|href)='?(?!data:)[a-z/]", page) and "<script" not in page
    assert "Keep: <b>" in page and page.count("data:image/png;base64,") >= 3
    said = json.loads((tmp_path / "report.json").read_text())
    assert said["trained_seconds"] == pytest.approx(0.1 * 3 * len(said["tried"]))
    assert said["kept"] == found.kept and len(said["tried"]) == len(found.tried) + 1
    assert Recipe.load(tmp_path / "recipe.json") == found.recipe


def test_names_in_the_report_are_text_not_markup(script: list[Recipe], tmp_path: Path) -> None:
    found = study(Study(WHERE, BASE), tmp_path)
    found.study = replace(found.study, where=replace(WHERE, data="<b>x&"))
    page = write_report(found, tmp_path).read_text()
    assert "<h1>What helps on &lt;b&gt;x" in page and "<b>x" not in page


def test_what_would_make_labels_wrong_is_refused_with_the_reason() -> None:
    tried, refused = techniques(Recipe(), open_data("digits"), (8, 8))
    reasons = {item.name: item.reason for item in refused}
    assert "changes labels of 'digits'" in reasons["shift and flip"]
    assert "shift and flip" not in [item.name for item in tried]
    assert "no residual blocks" in reasons["stochastic depth"]
    names = [
        item.name for item in techniques(Recipe(model="resnet"), open_data("digits"), (8, 8))[0]
    ]
    assert "stochastic depth" in names


@pytest.mark.parametrize("given", [{"seeds": 1}, {"minutes": 0}, {"parallel": 0}])
def test_a_study_that_shows_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Study(WHERE, BASE, **given)


def test_runs_side_by_side_give_what_one_after_the_other_gives(tmp_path: Path) -> None:
    recipes = [BASE.with_(seed=seed, epochs=1) for seed in range(2)]
    always: Callable[[], bool] = lambda: True  # noqa: E731
    alone = dict(Runs(WHERE, tmp_path / "one", 1, 1).all(recipes, always))
    pool = Runs(WHERE, tmp_path / "two", 2, 1)
    together = dict(pool.all(recipes, always))
    pool.close()
    for recipe in recipes:
        assert together[recipe].validation == alone[recipe].validation
        assert together[recipe].loss == alone[recipe].loss
    assert not list((tmp_path / "two").glob("*.part"))


def test_the_curve_has_a_point_for_each_share(tmp_path: Path) -> None:
    points = curve(StudyData("digits"), {"plain": BASE}, tmp_path, seeds=1, shares=(0.1, 0.3))
    assert [(point.name, point.share) for point in points] == [
        ("random forest", 0.1), ("plain", 0.1), ("random forest", 0.3), ("plain", 0.3)
    ]  # fmt: skip
    assert points[0].mean > 0.7 and points[2].mean > points[0].mean
    assert forest_accuracy(open_data("digits"), 0) > 0.95


def test_a_network_has_the_epochs_of_its_recipe_or_more_where_they_are_few_steps() -> None:
    recipe = Recipe(batch_size=100, epochs=12)
    assert [epochs_for(recipe, count) for count in (100, 5000, 12_500, 10**6)] == [48, 30, 12, 12]


def test_the_point_where_one_curve_overtakes_another() -> None:
    def line(name: str, *means: float) -> list[Point]:
        return [Point(name, 0.1 * k, 10 * k, (mean,)) for k, mean in enumerate(means, 1)]

    points = [*line("a", 0.9, 0.4, 0.6, 0.7), *line("b", 0.5, 0.5, 0.5, 0.5)]
    assert overtakes(points, "a", "b") == 30  # for good: not where it was above by chance
    assert overtakes(points, "b", "a") is None
    assert overtakes(line("c", 1, 1, 1, 1) + points, "c", "b") == 10


def test_the_command_studies(tmp_path: Path) -> None:
    options = "study --data digits --share 0.1 --model mlp --epochs 1 --seeds 2 --minutes 0.05"
    done = CliRunner().invoke(app, [*options.split(), "--out", str(tmp_path / "study")])
    assert done.exit_code == 0, done.output
    assert "keep:" in done.stdout and (tmp_path / "study" / "report.html").is_file()
