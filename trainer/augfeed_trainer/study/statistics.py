"""How sure a gain is: paired differences over seeds, and an interval around their mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.9  # of two-sided intervals; above their lower end lies the truth 19 times of 20


@dataclass(frozen=True, slots=True)
class Gain:
    """The mean of paired differences, and its interval."""

    mean: float
    low: float
    high: float
    differences: tuple[float, ...]

    @property
    def helps(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0

    @property
    def harms(self) -> bool:
        """Whether the interval lies below zero."""
        return self.high < 0


def pooled(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the standard deviation within groups of differences, and its degrees of freedom.

    A few seeds tell little about the spread of one comparison; all comparisons together tell more.
    """
    squares = [float(np.var(group) * len(group)) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups if len(group) > 1)
    return (math.sqrt(sum(squares) / freedom) if freedom else math.inf), freedom


def gain(differences: Sequence[float], spread: float, freedom: int, level: float = LEVEL) -> Gain:
    """Return the mean of differences with its interval of Student's t for a pooled spread."""
    mean = float(np.mean(differences))
    if not freedom or not math.isfinite(spread):
        return Gain(mean, -math.inf, math.inf, tuple(differences))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * spread / math.sqrt(len(differences))
    return Gain(mean, mean - half, mean + half, tuple(differences))
