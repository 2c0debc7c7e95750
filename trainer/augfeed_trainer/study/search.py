"""The search: each regularizer alone, then greedily together, and the test set once at the end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from augfeed.errors import InputError
from augfeed_trainer.data import Data, policies, shape_of
from augfeed_trainer.models import Drops, build_model
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.jobs import Outcome, Runs, StudyData, opened
from augfeed_trainer.study.statistics import Gain, gain, pooled
from augfeed_trainer.study.techniques import Refused, Technique, techniques
from augfeed_trainer.train import Scores, score

Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Study:
    """What a study is asked: data, the recipe to begin with, how many seeds and minutes."""

    where: StudyData
    base: Recipe
    seeds: int = 3
    minutes: float = 15.0
    parallel: int = 1
    threads: int = 2

    def __post_init__(self) -> None:
        """Check all values."""
        if self.seeds < 2:
            raise InputError(f"seeds={self.seeds!r}: give 2 or more, as one says no spread")
        if self.minutes <= 0 or self.parallel < 1:
            raise InputError("minutes and parallel have to be positive: give a budget")


@dataclass(frozen=True, slots=True)
class Tried:
    """A recipe that was compared with another, over the same seeds."""

    name: str
    recipe: Recipe
    outcomes: tuple[Outcome, ...]
    gain: Gain | None
    round: int


@dataclass(slots=True)
class Found:
    """What a study found. `rounds` of the greedy search begin with 1; 0 is each one alone."""

    study: Study
    baseline: Tried
    tried: list[Tried] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    recipe: Recipe | None = None
    refused: list[Refused] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    test: dict[str, list[Scores]] = field(default_factory=dict)
    test_gain: Gain | None = None
    seconds: float = 0.0
    spread: float = 0.0


class Search:
    """Carries a study out; what was done before in the same folder is not done again."""

    def __init__(self, asked: Study, folder: Path, tick: Tick = lambda *_: None) -> None:
        self.asked, self.tick = asked, tick
        self.runs = Runs(asked.where, folder / "runs", asked.parallel, asked.threads)
        self.data: Data = opened(asked.where)
        self.begun = time.monotonic()
        self._groups: list[Sequence[float]] = []

    def _time_left(self) -> bool:
        return time.monotonic() - self.begun < self.asked.minutes * 60

    def _outcomes(
        self, named: dict[str, Recipe], what: str, *, always: bool = False
    ) -> dict[str, tuple[Outcome, ...]]:
        # Of those recipes whose runs were all done in time. Seeds go round: what is left out for
        # lack of time is whole techniques.
        wanted = [(name, recipe.with_(seed=seed)) for name, recipe in named.items()
                  for seed in range(self.asked.seeds)]  # fmt: skip
        done: dict[Recipe, Outcome] = {}
        go_on = (lambda: True) if always else self._time_left
        for recipe, outcome in self.runs.all((recipe for _, recipe in wanted), go_on):
            done[recipe] = outcome
            self.tick(what, len(done), len(wanted))
        found: dict[str, tuple[Outcome, ...]] = {}
        for name, recipe in named.items():
            every = [done.get(recipe.with_(seed=seed)) for seed in range(self.asked.seeds)]
            if all(every):
                found[name] = tuple(outcome for outcome in every if outcome)
        return found

    def _compared(
        self, made: dict[str, tuple[Outcome, ...]], recipes: dict[str, Recipe],
        against: tuple[Outcome, ...], round_: int,
    ) -> list[Tried]:  # fmt: skip
        differences = {
            name: [a.validation - b.validation for a, b in zip(outcomes, against, strict=True)]
            for name, outcomes in made.items()
        }
        self._groups += differences.values()
        spread, freedom = pooled(self._groups)
        tried = [
            Tried(name, recipes[name], outcomes, gain(differences[name], spread, freedom), round_)
            for name, outcomes in made.items()
        ]
        return sorted(tried, key=lambda item: -(item.gain.mean if item.gain else 0.0))

    def run(self) -> Found:
        """Return what is worth keeping."""
        asked, base = self.asked, self.asked.base
        policy, _ = policies(base, self.data)
        shape = shape_of(policy, self.data)
        every, refused = techniques(base, self.data, (shape.height, shape.width))
        plain = self._outcomes({"baseline": base}, "baseline", always=True)["baseline"]
        found = Found(asked, Tried("baseline", base, plain, None, 0), refused=refused)
        recipes = {item.name: item.on(base) for item in every}
        alone = self._outcomes(recipes, "each alone")
        found.tried = self._compared(alone, recipes, plain, 0)
        found.untried = [name for name in recipes if name not in alone]
        self._greedy(found, [item for item in every if item.name in alone])
        self._test(found)
        found.spread = pooled(self._groups)[0]
        found.seconds = time.monotonic() - self.begun
        self.runs.close()
        return found

    def _greedy(self, found: Found, every: list[Technique]) -> None:
        # The first round is known: each alone. What harms there is tried again all the same: what
        # makes the task harder harms a network that underfits, and may help a better one.
        # The best of the round before come first, so a lack of time leaves out the least likely.
        current, outcomes = found.baseline.recipe, found.baseline.outcomes
        best = found.tried[0] if found.tried else None
        left = every
        round_ = 0
        while best is not None and best.gain is not None and best.gain.helps:
            chosen = next(item for item in left if item.name == best.name)
            found.kept.append(best.name)
            current, outcomes = best.recipe, best.outcomes
            left = [item for item in left if item is not chosen
                    and not (item.group and item.group == chosen.group)]  # fmt: skip
            round_ += 1
            gains = {item.name: item.gain.mean for item in found.tried if item.gain}
            left = sorted(left, key=lambda item: -gains[item.name])
            recipes = {item.name: item.on(current) for item in left}
            made = self._outcomes(recipes, f"with {', '.join(found.kept)}")
            found.untried += [f"{name}, round {round_}" for name in recipes if name not in made]
            tried = self._compared(made, recipes, outcomes, round_)
            found.tried += tried
            best = tried[0] if tried else None
        found.recipe = current

    def _test(self, found: Found) -> None:
        assert found.recipe is not None
        self.tick("test set", 0, 1)
        for name, recipe in (("baseline", found.baseline.recipe), ("chosen", found.recipe)):
            found.test[name] = [
                self._tested(recipe.with_(seed=seed)) for seed in range(self.asked.seeds)
            ]
        differences = [
            chosen.accuracy - plain.accuracy
            for chosen, plain in zip(found.test["chosen"], found.test["baseline"], strict=True)
        ]
        found.test_gain = gain(differences, *pooled([differences]))
        self.tick("test set", 1, 1)

    def _tested(self, recipe: Recipe) -> Scores:
        policy, _ = policies(recipe, self.data)
        drops = Drops(recipe.dropout, recipe.channel_dropout, recipe.stochastic_depth)
        network = build_model(
            recipe.model, shape_of(policy, self.data), norm=recipe.norm, drops=drops
        )
        network.load_state_dict(torch.load(self.runs.weights(recipe), weights_only=True))
        threads = self.asked.threads
        return score(network, self.data.test, self.data, recipe, num_workers=threads)


def study(asked: Study, folder: Path, tick: Tick = lambda *_: None) -> Found:
    """Return what is worth keeping for some data; runs are kept in `folder` and resumed from it."""
    search = Search(asked, folder, tick)
    try:
        return search.run()
    finally:
        search.runs.close()
