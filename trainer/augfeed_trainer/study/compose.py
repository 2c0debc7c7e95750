"""Techniques together: forward selection, and what carries the recipe that was chosen."""

from typing import TYPE_CHECKING

from augfeed.errors import AugfeedError
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.images import StudyData
from augfeed_trainer.study.techniques import Technique
from augfeed_trainer.study.trials import Outcomes, Trials, validated
from augfeed_trainer.study.tried import Tried, gains_over

if TYPE_CHECKING:
    from augfeed_trainer.study.search import Found

SCREENED = 3  # of so many candidates the best on another seed is compared
LEAST = 4  # candidates that are compared at least


class Composer:
    """Adds techniques one by one, at the longest training, while one helps beyond the noise."""

    def __init__(self, trials: Trials, where: StudyData, seeds: list[int], share: float) -> None:
        self.trials, self.where, self.seeds, self.share = trials, where, seeds, share

    def forward(self, found: "Found", every: list[Technique], base: Recipe) -> None:
        """Fill `kept`, `recipe` and the rounds of `tried`.

        The first round is known: each alone. What harmed there is a candidate all the same: beside
        another technique it may help.
        """
        current, outcomes = base, found.plain[found.best]
        round_ = 0
        best = found.tried[0] if found.tried else None
        while best is not None and best.gain.helps:
            found.kept.append(best.name)
            current, outcomes, round_ = best.recipe, best.outcomes, round_ + 1
            candidates = _candidates(found.kept, every, current)
            screened = self._screened(found, candidates, current)
            what = f"added to {', '.join(found.kept)}"
            made = self.trials.of(screened, self.seeds, what, self.share)
            found.untried += [f"{name}, round {round_}" for name in screened if name not in made]
            labels = {item.name: item.strength.label for item in every}
            tried = [
                Tried(name, labels[name], screened[name], made[name], gain, round_)
                for name, gain in gains_over(
                    made, outcomes, len(candidates), self.trials.resolution
                ).items()
            ]
            tried.sort(key=lambda item: -item.gain.mean)
            found.tried += tried
            best = tried[0] if tried else None
        found.recipe = current if found.kept else found.base.with_(
            epochs=found.base.epochs * found.best
        )  # fmt: skip

    def _screened(
        self, found: "Found", candidates: dict[str, Recipe], current: Recipe
    ) -> dict[str, Recipe]:
        # The better ones on a seed that decides nothing else, in the order of their promise.
        most = max(LEAST, -(-len(candidates) // SCREENED))
        if len(candidates) <= most:
            return candidates
        seed = [self.where.search_seed(0)]
        what = f"candidates beside {', '.join(found.kept)}"
        done: dict[str, Outcomes] = self.trials.of(candidates, seed, what, self.share)
        order = sorted(done, key=lambda name: -validated(done[name]))[:most]
        return {name: candidates[name] for name in order}

    def leave_one_out(self, found: "Found", every: list[Technique], base: Recipe) -> None:
        """Fill `without`: what the chosen recipe loses without each of its parts."""
        if len(found.kept) < 2:
            return
        known = {item.name: item for item in every}
        recipes = {}
        for left_out in found.kept:
            recipe = base
            for name in found.kept:
                recipe = recipe if name == left_out else known[name].on(recipe)
            recipes[left_out] = recipe
        made = self.trials.of(recipes, self.seeds, "the recipe without each of its parts")
        whole = next(item for item in reversed(found.tried) if item.recipe == found.recipe)
        found.without = [
            Tried(name, known[name].strength.label, recipes[name], made[name], gain, -1)
            for name, gain in gains_over(
                made, whole.outcomes, len(recipes), self.trials.resolution
            ).items()
        ]
        found.untried += [f"the recipe without {name}" for name in recipes if name not in made]


def _candidates(kept: list[str], every: list[Technique], current: Recipe) -> dict[str, Recipe]:
    groups = {item.group for item in every if item.name in kept} - {""}
    found = {}
    for item in every:
        if item.name in kept or item.group in groups:
            continue
        try:
            recipe = item.on(current)
            recipe.augmentation()
        except AugfeedError:
            continue  # not beside what is kept
        found[item.name] = recipe
    return found
