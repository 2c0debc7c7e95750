"""How long to train: until the plain network fits its training part, or fits it no better."""

from dataclasses import dataclass
from itertools import pairwise

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.images import StudyData
from augfeed_trainer.study.trials import Trials, fitted, validated

FITS = 0.99  # accuracy on the training part
STILL = 0.005  # what twice the steps change at most, on a plateau
SHARE = 0.2  # of the budget, for the search of the regime
SEEDS = 2


@dataclass(frozen=True, slots=True)
class Rung:
    """The plain network after some epochs: accuracies on both parts, means over seeds."""

    epochs: int
    train: float
    validation: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Regime:
    """What was tried, and why it ended: "fits", "plateau", "time", or "does not learn"."""

    rungs: tuple[Rung, ...]
    end: str

    @property
    def reached(self) -> bool:
        """Whether the network is in a regime where a regularizer can be judged."""
        return self.end in ("fits", "plateau")

    @property
    def epochs(self) -> int:
        """Of a run at equal steps."""
        return self.rungs[-2 if self.end == "plateau" else -1].epochs


def find_regime(base: Recipe, where: StudyData, trials: Trials, classes: int) -> Regime:
    """Return the epochs at which a plain network fits its training part, from those of the recipe.

    They are doubled until it is right on 99 % of its images, or until doubling them twice changes
    that by no more than half a point. A network that is not better than chance does not learn: that
    is not a regime. The schedule is the recipe's, over all epochs of a run.
    """
    rungs: list[Rung] = []
    epochs = base.epochs
    seeds = [where.search_seed(k) for k in range(SEEDS)]
    while True:
        name = f"plain, {epochs} epochs"
        outcomes = trials.of(
            {name: base.with_(epochs=epochs)}, seeds, f"how long to train: {name}", always=True
        )[name]
        seconds = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
        rungs.append(Rung(epochs, fitted(outcomes), validated(outcomes), seconds))
        end = _end(rungs, classes)
        if end:
            return Regime(tuple(rungs), end)
        # The first run of a process is slower than those that follow.
        each = min(outcome.seconds for outcome in outcomes)
        next_ = 2 * each * SEEDS / min(SEEDS, trials.runs.workers.count)
        if trials.budget.left(SHARE) <= 0 or trials.budget.left(2 * SHARE) < next_:
            return Regime(tuple(rungs), "time")
        epochs *= 2


def _end(rungs: list[Rung], classes: int) -> str:
    if rungs[-1].train >= FITS:
        return "fits"
    moves = [abs(after.train - before.train) for before, after in pairwise(rungs)]
    if len(moves) < 2 or max(moves[-2:]) > STILL:
        return ""
    return "plateau" if rungs[-1].train > 1.5 / classes else "does not learn"
