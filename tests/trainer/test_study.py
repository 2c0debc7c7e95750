"""The study on scripted runs: its regime, its strengths, its choice, and that it goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from augfeed.errors import InputError
from augfeed_trainer.data import open_data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import Found, Study, StudyData, search, study
from augfeed_trainer.study.curve import TUNED, Point, curve, overtakes
from augfeed_trainer.study.forest import forest_accuracy
from augfeed_trainer.study.jobs import Workers
from augfeed_trainer.study.techniques import Strength, Technique, techniques
from augfeed_trainer.study.trials import Budget
from tests.trainer.scripted import Script, noise

BASE = Recipe(model="mlp", epochs=5)
WHERE = StudyData("digits", 0.2)

# What each technique adds, by a script; two of them overlap, one harms unless there is another.
EFFECTS = {"norm": 0.06, "dropout": 0.03, "label_smoothing": 0.02, "l1": -0.05, "l2": -0.04}
FEW = ("dropout", "label smoothing", "L1 penalty", "L2 penalty", "weight decay", "batch norm")


def law(recipe: Recipe) -> float:
    changes = recipe.changes()
    total = 0.7 + sum(value for name, value in EFFECTS.items() if name in changes)
    if "dropout" in changes and "label_smoothing" in changes:
        total -= 0.02  # together no better than dropout alone
    if "norm" in changes and "l2" in changes:
        total += 0.06
    # The best dropout is 0.2; what makes training slow has not converged at equal steps.
    slow = max(0.0, 0.05 - 0.0005 * recipe.epochs) if "dropout" in changes else 0.0
    return total - 0.05 * abs(recipe.dropout - 0.2) * bool(recipe.dropout) - slow


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(law).install(monkeypatch)


def usual(names: tuple[str, ...] = FEW) -> tuple[Technique, ...]:
    found, _ = techniques(BASE, open_data("digits"), (8, 8))
    return tuple(item for item in found if item.name in names)


def ask(folder: Path, **given: Any) -> Found:
    return study(Study(WHERE, BASE, **{"given": usual(), **given}), folder)


def test_epochs_double_until_the_plain_network_fits(script: Script, tmp_path: Path) -> None:
    found = ask(tmp_path)
    assert [rung.epochs for rung in found.regime.rungs] == [5, 10, 20, 40]
    assert found.regime.end == "fits" and found.base.epochs == 40
    assert {one.epochs for one in script.ran} == {5, 10, 20, 40, 80, 160}
    assert found.recipe is not None and found.recipe.epochs == 160


@pytest.mark.parametrize(
    ("train", "end", "epochs"),
    [
        (lambda one: min(0.9, one.epochs / 40), "plateau", 80),
        (lambda one: 0.9 - 1 / one.epochs, "plateau", None),
        (lambda one: 0.105, "does not learn", None),
    ],
    ids=["a plateau", "slowly to a plateau", "chance"],
)
def test_the_regime_is_also_a_plateau_that_does_not_move(
    train: Any, end: str, epochs: int | None, script: Script, tmp_path: Path
) -> None:
    script.train = train
    found = ask(tmp_path)
    assert found.regime.end == end
    if epochs:
        assert found.base.epochs == epochs
    if end == "plateau":
        moves = [abs(a.train - b.train) for a, b in zip(found.regime.rungs, found.regime.rungs[1:],
                                                        strict=False)]  # fmt: skip
        assert max(moves[-2:]) <= 0.005 < moves[-3]
    else:
        assert found.recipe is None and not found.tried and found.test is None


def test_a_budget_that_does_not_reach_the_regime_concludes_nothing(
    script: Script, tmp_path: Path
) -> None:
    script.train = lambda one: 1 - 4 / (one.epochs + 4)
    clock = iter(float(k) for k in range(10**6))
    asked = Study(WHERE, BASE, minutes=0.5, given=usual())
    found = study(asked, tmp_path, budget=Budget(0.5, lambda: next(clock)))
    assert found.regime.end == "time" and not found.regime.reached
    assert found.recipe is None and not found.kept and not found.tried and found.test is None


def test_strengths_are_searched_on_seeds_and_folds_that_decide_nothing_else(
    script: Script, tmp_path: Path
) -> None:
    found = ask(tmp_path)
    chosen = {one.technique.name: one.technique.strength.label for one in found.searched}
    assert chosen["dropout"] == "0.2"
    compared = {one.seed for one in script.ran if one.epochs == 160}
    searched = {one.seed for one in script.ran if one.dropout == 0.4}
    assert compared >= set(range(4)) and not searched & set(range(4))
    assert {WHERE.fold(seed) for seed in searched}.isdisjoint(range(4))


def test_what_helps_is_added_until_nothing_helps_beyond_the_noise(
    script: Script, tmp_path: Path
) -> None:
    found = ask(tmp_path)
    assert found.kept == ["batch norm", "dropout", "L2 penalty"]
    assert found.recipe is not None and found.recipe.dropout and found.recipe.norm == "batch"
    alone = {item.name: item.gain for item in found.tried if item.round == 0}
    assert alone["L1 penalty"].harms and alone["L2 penalty"].harms  # but helps where it is kept
    assert not alone["weight decay"].helps and not alone["weight decay"].harms
    assert found.test and found.test.gain
    assert found.test.gain.mean == pytest.approx(law(found.recipe) - 0.7, abs=0.01)


def test_gains_are_given_at_equal_steps_and_at_convergence(script: Script, tmp_path: Path) -> None:
    alone = {item.name: item for item in ask(tmp_path).tried if item.round == 0}
    dropout = alone["dropout"]
    assert set(dropout.shorter) == {1, 2} and dropout.equal is not None
    assert dropout.equal.mean == pytest.approx(0.0, abs=0.004)  # it has not converged
    assert dropout.gain.mean == pytest.approx(0.03, abs=0.004)


def test_leaving_out_each_part_shows_what_carries_the_recipe(
    script: Script, tmp_path: Path
) -> None:
    found = ask(tmp_path)
    losses = {item.name: item.gain.mean for item in found.without}
    assert set(losses) == set(found.kept)
    assert losses["batch norm"] == pytest.approx(-0.12, abs=0.005)  # with what it made possible
    assert losses["dropout"] == pytest.approx(-0.03, abs=0.005)


def test_all_is_compared_over_the_same_seeds(script: Script, tmp_path: Path) -> None:
    found = ask(tmp_path, seeds=3)
    assert all(len(item.outcomes) == 3 for item in (*found.tried, *found.without))
    assert len(script.ran) == len(set(script.ran))


def test_a_study_goes_on_where_it_was_ended(script: Script, tmp_path: Path) -> None:
    first = ask(tmp_path)
    count = len(script.ran)
    again = ask(tmp_path)
    assert len(script.ran) == count and again.kept == first.kept
    assert again.tried == first.tried and again.runs == first.runs
    next((tmp_path / "runs").glob("*.json")).write_text("{half")
    ask(tmp_path)
    assert len(script.ran) == count + 1


def test_what_there_is_no_time_for_is_reported(script: Script, tmp_path: Path) -> None:
    script.fits = 5
    found = ask(tmp_path, minutes=1e-9)
    assert not found.tried and "dropout" in found.untried and found.kept == []


@pytest.mark.parametrize("studies", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_of_techniques_that_do_nothing_none_is_kept_but_in_few_studies(
    studies: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = tuple(Technique(f"nothing {k}", (Strength("", {"lr": 2e-3 + 1e-9 * k}),))
                  for k in range(1, 13))  # fmt: skip
    kept = 0
    for salt in range(studies):
        Script(lambda recipe: 0.8, fits=5, spread=0.01, salt=salt).install(monkeypatch)
        kept += bool(ask(tmp_path / f"{salt}", given=given).kept)
    assert kept <= studies // 10  # 5 % are stated


def test_what_destroys_the_class_is_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def planted(recipe: Recipe) -> float:
        policy = recipe.policy or ""
        gains = {"random_crop": 0.04, "rotate": 0.03, "horizontal_flip": -0.2}
        return 0.7 + sum(gain for name, gain in gains.items() if name in policy)

    Script(planted, fits=5).install(monkeypatch)
    found = study(Study(WHERE, BASE, given=(
        Technique("shift", (Strength("1", {}, "random_crop(8, padding=1)"),)),
        Technique("rotation", (Strength("10", {}, "rotate(10)"),)),
        Technique("noise", (Strength("0.1", {"input_noise": 0.1}),)),
    )), tmp_path)  # fmt: skip
    assert found.kept == ["shift", "rotation"]
    assert found.recipe and found.recipe.policy == "random_crop(8, padding=1) | rotate(10.0)"


def test_what_would_make_labels_wrong_is_refused_with_the_reason() -> None:
    tried, refused = techniques(Recipe(), open_data("digits"), (8, 8))
    reasons = {item.name: item.reason for item in refused}
    assert "changes labels of 'digits'" in reasons["flip"]
    assert "max_rotation" in reasons["rotation 45"]
    names = [item.name for item in tried]
    assert "flip" not in names and {"rotation", "TrivialAugment", "RandAugment"} <= set(names)
    (trivial,) = (item for item in tried if item.name == "TrivialAugment")
    assert "max_rotation=20" in trivial.strength.operations  # what the rules allow, and no more
    assert "no residual blocks" in reasons["stochastic depth"]
    names = [
        item.name for item in techniques(Recipe(model="resnet"), open_data("digits"), (8, 8))[0]
    ]
    assert "stochastic depth" in names


def test_of_what_the_recipe_has_already_nothing_is_tried() -> None:
    base = Recipe(policy="rotate(5)", norm="batch", mixup=0.2)
    names = [item.name for item in techniques(base, open_data("digits"), (8, 8))[0]]
    assert not {"rotation", "batch norm", "mixup"} & set(names)


@pytest.mark.parametrize(
    "given", [{"seeds": 1}, {"minutes": 0}, {"minutes": float("nan")}, {"parallel": 0},
              {"threads": 0}]
)  # fmt: skip
def test_a_study_that_shows_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Study(WHERE, BASE, **given)


def test_the_recipe_is_tuned_anew_at_each_size(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(search, "forest_accuracy", forest_accuracy)
    asked = Study(replace(WHERE, share=0.1), BASE, seeds=2, given=usual(("batch norm",)))
    points = curve(asked, tmp_path, Workers(1, 1), shares=(0.3, 0.1))
    assert [(point.share, point.count) for point in points if point.name == TUNED] == [
        (0.1, 130), (0.3, 388)
    ]  # fmt: skip
    assert all(point.kept == ("batch norm",) for point in points if point.name == TUNED)
    forest = [point.mean for point in points if point.name == "random forest"]
    assert forest[0] > 0.7 and forest[1] > forest[0]


def test_the_point_where_one_curve_overtakes_another() -> None:
    def line(name: str, *means: float) -> list[Point]:
        return [Point(name, 0.1 * k, 10 * k, (mean,)) for k, mean in enumerate(means, 1)]

    points = [*line("a", 0.9, 0.4, 0.6, 0.7), *line("b", 0.5, 0.5, 0.5, 0.5)]
    assert overtakes(points, "a", "b") == 30  # for good: not where it was above by chance
    assert overtakes(points, "b", "a") is None
    assert overtakes(line("c", 1, 1, 1, 1) + points, "c", "b") == 10


def test_noise_of_the_script_is_a_function_of_the_recipe() -> None:
    assert noise(BASE) == noise(BASE) != noise(BASE.with_(seed=1))
