"""The search: a regime, strengths, each technique alone, together, and the test part once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed_trainer.data import Data, evaluated, policies, shape_of
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.compose import Composer
from augfeed_trainer.study.forest import forest_accuracy
from augfeed_trainer.study.images import StudyData, opened
from augfeed_trainer.study.jobs import Runs, Workers
from augfeed_trainer.study.regime import Regime, find_regime
from augfeed_trainer.study.statistics import Gain, crossed
from augfeed_trainer.study.strengths import Searched, search_strengths
from augfeed_trainer.study.techniques import Refused, Technique, techniques
from augfeed_trainer.study.trials import Budget, Outcomes, Tick, Trials, validated
from augfeed_trainer.study.tried import SCALES, Tried, compared
from augfeed_trainer.train import network_of

STRENGTHS, ALONE, TOGETHER = 0.4, 0.7, 0.95  # shares of the budget after which each part ends


@dataclass(frozen=True, slots=True)
class Study:
    """What a study is asked: data, the recipe to begin with, how many seeds and minutes.

    `parallel` processes of `threads` threads carry out runs. `given` takes the place of the usual
    techniques.
    """

    where: StudyData
    base: Recipe
    seeds: int = 4
    minutes: float = 60.0
    parallel: int = 1
    threads: int = 1
    given: tuple[Technique, ...] | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        if self.seeds < 2:
            raise InputError(f"seeds={self.seeds!r}: give 2 or more, as one says no spread")
        if not self.minutes > 0:
            raise InputError(f"minutes={self.minutes!r} is not above 0: give a budget")
        if self.parallel < 1 or self.threads < 1:
            raise InputError(
                f"parallel={self.parallel!r} and threads={self.threads!r}: give 1 or more of each"
            )


@dataclass(slots=True)
class Tested:
    """Accuracies on the test part, which is looked at once: a value for each seed."""

    plain: list[float]
    chosen: list[float]
    forest: list[float]
    count: int
    gain: Gain | None


@dataclass(slots=True)
class Found:
    """What a study found.

    `plain` has the plain network at 1, 2 and 4 times the epochs of the regime; `best` is that scale
    at which it is best, which all gains at convergence are measured against. `tried` are techniques
    alone (round 0) and added to what is kept (1, 2, ...); `without` the chosen recipe without each
    of its parts. `recipe` is None where no conclusion is drawn.
    """

    study: Study
    regime: Regime
    plain: dict[int, Outcomes] = field(default_factory=dict)
    best: int = 1
    searched: list[Searched] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    without: list[Tried] = field(default_factory=list)
    recipe: Recipe | None = None
    refused: list[Refused] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    test: Tested | None = None
    seconds: float = 0.0
    trained: float = 0.0
    runs: int = 0

    @property
    def base(self) -> Recipe:
        """The plain recipe at equal steps."""
        return self.study.base.with_(epochs=self.regime.epochs)


class Search:
    """Carries a study out; what was done before in the same folder is not done again."""

    def __init__(
        self, asked: Study, folder: Path, tick: Tick, workers: Workers, budget: Budget
    ) -> None:
        self.asked, self.tick, self.workers, self.budget = asked, tick, workers, budget
        self.runs = Runs(asked.where, folder / "runs", workers)
        self.trials = Trials(self.runs, budget, tick)
        self.seeds = range(asked.seeds)

    def run(self) -> Found:
        """Return what is worth keeping."""
        asked = self.asked
        self.tick("images", 0, 1)
        data = self._data(0)
        self.trials.resolution = 1 / len(data.validation)
        regime = find_regime(asked.base, asked.where, self.trials, data.classes)
        found = Found(asked, regime)
        if regime.reached:
            self._compare(found, data)
        found.seconds = self.budget.seconds
        found.trained, found.runs = self.trials.cost()
        return found

    def _compare(self, found: Found, data: Data) -> None:
        asked, base = self.asked, found.base
        shape = shape_of(policies(base, data)[0], data)
        every, found.refused = techniques(base, data, (shape.height, shape.width), asked.given)
        found.searched = search_strengths(every, base, asked.where, self.trials, STRENGTHS)
        chosen = [one.technique for one in found.searched]
        self._alone(found, chosen)
        if not found.tried:
            return  # nothing to conclude from, and the test part stays unseen
        composer = Composer(self.trials, asked.where, list(self.seeds), TOGETHER)
        longest = base.with_(epochs=base.epochs * SCALES[-1])
        composer.forward(found, chosen, longest)
        composer.leave_one_out(found, chosen, longest)
        self._test(found)

    def _alone(self, found: Found, chosen: list[Technique]) -> None:
        base = found.base
        scaled = {scale: base.with_(epochs=base.epochs * scale) for scale in SCALES}
        named = {f"plain, {scale}": recipe for scale, recipe in scaled.items()}
        plain = self.trials.of(named, self.seeds, "plain", always=True)
        found.plain = {scale: plain[f"plain, {scale}"] for scale in SCALES}
        found.best = max(SCALES, key=lambda scale: validated(found.plain[scale]))
        done: dict[int, dict[str, Outcomes]] = {}
        for scale in (SCALES[-1], *SCALES[:-1]):  # what is decided by comes first
            recipes = {item.name: item.on(scaled[scale]) for item in chosen}
            what = f"each alone, {scale} times the steps"
            done[scale] = self.trials.of(recipes, self.seeds, what, ALONE)
        longest = {item.name: item.on(scaled[SCALES[-1]]) for item in chosen}
        labels = {item.name: item.strength.label for item in chosen}
        found.tried = compared(
            done, longest, found.plain, found.best, labels, self.trials.resolution
        )
        found.untried = [name for name in longest if name not in done[SCALES[-1]]]

    def _test(self, found: Found) -> None:
        assert found.recipe is not None
        plain = found.base.with_(epochs=found.base.epochs * found.best)
        total = (2 if found.kept else 1) * len(self.seeds) + 1
        steps = iter(range(1, total + 1))

        def right(recipe: Recipe) -> NDArray[np.float64]:
            rows = []
            for seed in self.seeds:
                rows.append(self._right(recipe.with_(seed=seed)))
                self.tick("test part", next(steps), total)
            return np.stack(rows)

        first = right(plain)
        second = right(found.recipe) if found.kept else first
        forest = [forest_accuracy(self._data(seed), seed) for seed in self.seeds]
        self.tick("test part", total, total)
        means = [part.mean(axis=1).tolist() for part in (first, second)]
        gain = crossed(second - first) if found.kept else None
        found.test = Tested(*means, forest, first.shape[1], gain)

    def _right(self, recipe: Recipe) -> NDArray[np.float64]:
        # Which images of the test part the network of a run is right on, as 0 and 1.
        data = self._data(recipe.seed)
        network = network_of(recipe, data)
        network.load_state_dict(torch.load(self.runs.weights(recipe), weights_only=True))
        return right_on_test(network, data, recipe)

    def _data(self, seed: int) -> Data:
        return opened(self.asked.where, self.runs.folder, self.asked.where.fold(seed))


@torch.no_grad()
def right_on_test(network: torch.nn.Module, data: Data, recipe: Recipe) -> NDArray[np.float64]:
    """Return for each image of the test part whether a network is right, 1.0 or 0.0."""
    network.eval()
    loader: Any = evaluated(data.test, policies(recipe, data)[1], recipe, num_workers=0)
    found = [(network(images).argmax(1) == labels).double().numpy() for images, labels in loader]
    return np.concatenate(found)


def study(
    asked: Study, folder: Path, tick: Tick = lambda *_: None, *, workers: Workers | None = None,
    budget: Budget | None = None,
) -> Found:  # fmt: skip
    """Return what is worth keeping for some data; runs are kept in `folder` and resumed from it."""
    own = workers or Workers(asked.parallel, asked.threads)
    try:
        return Search(asked, folder, tick, own, budget or Budget(asked.minutes)).run()
    finally:
        if workers is None:
            own.close()
