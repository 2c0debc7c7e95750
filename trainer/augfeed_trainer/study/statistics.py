"""How sure gains are: paired differences, intervals, and the number of comparisons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

LEVEL = 0.9  # of two-sided intervals
RATE = 0.1  # expected share of wrong ones among the differences that are called real, at most


@dataclass(frozen=True, slots=True)
class Gain:
    """The mean of paired differences, its interval, and how sure it is.

    `low` to `high` is an interval of 90 % for this comparison alone. `p` is that of a two-sided
    test; `adjusted` takes into account how many comparisons there were.
    """

    mean: float
    low: float
    high: float
    differences: tuple[float, ...]
    p: float
    adjusted: float

    @property
    def helps(self) -> bool:
        """Whether it is above zero beyond the noise of all comparisons."""
        return self.mean > 0 and self.adjusted <= RATE

    @property
    def harms(self) -> bool:
        """Whether it is below zero beyond the noise of all comparisons."""
        return self.mean < 0 and self.adjusted <= RATE


@dataclass(frozen=True, slots=True)
class Spread:
    """The variance of differences within groups, and its degrees of freedom."""

    variances: NDArray[np.float64]
    freedom: NDArray[np.float64]


def gains(
    groups: Mapping[str, Sequence[float]], *, family: int = 0, resolution: float = 0.0
) -> dict[str, Gain]:
    """Return the gain of each group of paired differences.

    The variance of each is drawn up to that of all (`moderated`), and never down: a comparison that
    is noisier than the others is not surer for their sake. p-values are adjusted together by
    Benjamini and Hochberg's rule (1995), as a family of `family` comparisons or more: those that
    were left out because they looked poor count too. `resolution` is the smallest step of a
    difference: equal differences are not surer than that.
    """
    if not groups:
        return {}
    values = [np.asarray(group, np.float64) for group in groups.values()]
    counts = np.array([len(group) for group in values])
    own = [float(np.var(group, ddof=1)) if len(group) > 1 else math.nan for group in values]
    least = resolution**2 / 12 + 1e-12
    floored = np.fmax(own, least)
    spread = moderated(floored, counts - 1)
    means = np.array([group.mean() for group in values])
    sure = spread.freedom > 0
    errors = np.where(sure, np.sqrt(np.maximum(spread.variances, floored) / counts), 1.0)
    freedom = np.where(sure, spread.freedom, 1)
    p = np.where(sure, 2 * stats.t.sf(np.abs(means) / errors, freedom), 1.0)
    absent = np.ones(max(0, family - len(values)))
    adjusted = stats.false_discovery_control(np.concatenate([p, absent]))[: len(values)]
    half = np.where(sure, stats.t.ppf((1 + LEVEL) / 2, freedom) * errors, math.inf)
    return {
        name: Gain(mean, mean - width, mean + width, tuple(group.tolist()), one, all_)
        for name, group, mean, width, one, all_ in zip(
            groups, values, means.tolist(), half.tolist(), p.tolist(), adjusted.tolist(),
            strict=True,
        )
    }  # fmt: skip


def moderated(variances: NDArray[np.float64], freedom: NDArray[np.int64]) -> Spread:
    """Return variances drawn towards a common one, by as much as they are alike.

    A few seeds say little about the spread of one comparison; all comparisons say more, unless
    they differ. This is the empirical Bayes estimate of Smyth (2004, doi:10.2202/1544-6115.1027):
    the prior is fitted to the logarithms of the variances.
    """
    known = (freedom > 0) & np.isfinite(variances)
    if known.sum() < 3:
        return Spread(np.where(known, variances, 0.0), np.where(known, freedom, 0).astype(float))
    half = freedom[known] / 2
    logs = np.log(variances[known]) - special.digamma(half) + np.log(half)
    excess = float(np.var(logs, ddof=1) - special.polygamma(1, half).mean())
    prior = math.inf if excess <= 0 else 2 * _inverse_trigamma(excess)
    at = float(logs.mean())
    if math.isfinite(prior):
        at += float(special.digamma(prior / 2) - math.log(prior / 2))
    # As much as all comparisons have together, and no more, where they are all alike.
    weight = min(prior, float(freedom[known].sum()))
    own = np.where(known, freedom, 0).astype(np.float64)
    drawn = (weight * math.exp(at) + own * np.where(known, variances, 0.0)) / (weight + own)
    return Spread(drawn, np.minimum(weight + own, own.sum()))


def _inverse_trigamma(value: float) -> float:
    bounded = min(max(value, 1e-6), 1e6)
    found: float = optimize.brentq(lambda x: special.polygamma(1, x) - bounded, 1e-4, 1e7)
    return found


def crossed(differences: NDArray[np.float64]) -> Gain:
    """Return the mean of differences `[seeds, images]`, sure for other seeds and other images.

    The variance of the mean is that of two random effects that cross, from the mean squares of a
    two-way layout (Dorfman, Berbaum and Metz, 1992), its degrees of freedom Satterthwaite's.
    """
    seeds, images = differences.shape
    mean = float(differences.mean())
    rows, columns = differences.mean(axis=1), differences.mean(axis=0)
    if seeds < 2 or images < 2:
        return Gain(mean, -math.inf, math.inf, tuple(rows.tolist()), 1.0, 1.0)
    by_seed = images * float(np.var(rows, ddof=1))
    by_image = seeds * float(np.var(columns, ddof=1))
    left = differences - rows[:, None] - columns[None, :] + mean
    rest = float(np.square(left).sum()) / ((seeds - 1) * (images - 1))
    whole = max(by_seed + by_image - rest, by_seed, by_image)
    parts = ((by_seed, seeds - 1), (by_image, images - 1), (rest, (seeds - 1) * (images - 1)))
    below = sum(square**2 / freedom for square, freedom in parts)
    freedom = max(whole**2 / below, 1.0) if below else 1.0
    error = math.sqrt(whole / (seeds * images))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, freedom)) if error else 1.0
    return Gain(mean, mean - half, mean + half, tuple(rows.tolist()), p, p)
