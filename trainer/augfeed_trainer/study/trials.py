"""Recipes over seeds, within a budget of time."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.jobs import Outcome, Runs

Outcomes = tuple[Outcome, ...]
Tick = Callable[[str, int, int], None]


@dataclass(slots=True)
class Budget:
    """So many minutes from when it was made; a part of a study ends at a share of them."""

    minutes: float
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin now."""
        self.begun = self.clock()

    @property
    def seconds(self) -> float:
        """How long it is since."""
        return self.clock() - self.begun

    def left(self, share: float = 1.0) -> float:
        """Return the seconds until a share of the budget is spent."""
        return share * self.minutes * 60 - self.seconds


class Trials:
    """Runs recipes with given seeds, those of one recipe together, and reports how far it is."""

    def __init__(self, runs: Runs, budget: Budget, tick: Tick) -> None:
        self.runs, self.budget, self.tick = runs, budget, tick
        self.resolution = 0.0  # the share of one image of the validation part
        self._seconds: dict[Recipe, float] = {}

    def cost(self) -> tuple[float, int]:
        """Return the seconds of training of all runs that were asked for, and their number."""
        return sum(self._seconds.values()), len(self._seconds)

    def of(
        self, named: Mapping[str, Recipe], seeds: Sequence[int], what: str, share: float = 1.0,
        *, always: bool = False,
    ) -> dict[str, Outcomes]:  # fmt: skip
        """Return the outcomes of those recipes whose runs were all done in time.

        No run is begun once `share` of the budget is spent, unless `always`. What is left out then
        is whole recipes, the last ones.
        """
        wanted = [recipe.with_(seed=seed) for recipe in named.values() for seed in seeds]
        total = sum(recipe.epochs for recipe in dict.fromkeys(wanted))
        done: dict[Recipe, Outcome] = {}
        spent = 0
        self.tick(what, 0, total)
        go_on = (lambda: True) if always else (lambda: self.budget.left(share) > 0)
        for recipe, outcome in self.runs.all(wanted, go_on):
            done[recipe] = outcome
            self._seconds[recipe] = outcome.seconds
            spent += recipe.epochs
            self.tick(what, spent, total)
        found: dict[str, Outcomes] = {}
        for name, recipe in named.items():
            every = [done.get(recipe.with_(seed=seed)) for seed in seeds]
            if all(every):
                found[name] = tuple(outcome for outcome in every if outcome)
        return found


def validated(outcomes: Sequence[Outcome]) -> float:
    """Return the mean validation accuracy."""
    return float(np.mean([outcome.validation for outcome in outcomes]))


def fitted(outcomes: Sequence[Outcome]) -> float:
    """Return the mean accuracy on the clean training part."""
    return float(np.mean([outcome.train for outcome in outcomes]))
