"""Tests of a sample against a law: Kolmogorov-Smirnov and chi-square, without SciPy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Values = NDArray[np.float64]
Cdf = Callable[[Values], Values]
TERMS = 200  # of the continued fraction; a few dozen are enough up to alpha = 1000


class Measured(NamedTuple):
    """A test statistic and its p-value; without one, the statistic counts what must not occur."""

    statistic: float
    p_value: float | None


def kolmogorov_smirnov(sample: Any, cdf: Cdf) -> Measured:
    """Test numbers against a continuous law; the p-value is Kolmogorov's limit (Stephens 1970)."""
    values = np.sort(np.asarray(sample, np.float64).ravel())
    expected, count = cdf(values), len(values)
    above = np.arange(1, count + 1) / count - expected
    below = expected - np.arange(count) / count
    distance = float(max(above.max(), below.max()))
    root = np.sqrt(count)
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # the series converges slowly where the p-value is 1 to twelve digits
        return Measured(distance, 1.0)
    k = np.arange(1, 101)
    p_value = 2 * float((-((-1.0) ** k) * np.exp(-2 * (k * scaled) ** 2)).sum())
    return Measured(distance, min(max(p_value, 0.0), 1.0))


def chi_square(observed: Any, expected: Any, freedom: int) -> Measured:
    """Test counts against expected ones, with `freedom` degrees of freedom (Pearson 1900)."""
    counts, wanted = np.asarray(observed, np.float64), np.asarray(expected, np.float64)
    statistic = float(((counts - wanted) ** 2 / wanted).sum())
    half = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return Measured(statistic, float(torch.special.gammaincc(half[0], half[1])))


def forbidden(count: Any) -> Measured:
    """Test that something never occurs, given how often it does."""
    return Measured(float(count), None)


def uniform(low: float, high: float) -> Cdf:
    """Return the distribution function of the uniform law."""
    return lambda x: np.clip((x - low) / (high - low), 0.0, 1.0)


def arcsine(x: Values) -> Values:
    """Return the distribution function of Beta(0.5, 0.5), the arcsine law, at `x`."""
    return 2 / np.pi * np.arcsin(np.sqrt(x))


def normal(x: Values) -> Values:
    """Return the distribution function of the standard normal law at `x`."""
    result: Values = torch.special.ndtr(torch.from_numpy(x)).numpy()
    return result


def beta(alpha: float) -> Cdf:
    """Return the distribution function of Beta(alpha, alpha)."""

    def cdf(x: Values) -> Values:
        low = _beta_below_half(np.minimum(x, 1 - x), alpha)
        return np.where(x <= 0.5, low, 1 - low)

    return cdf


def _beta_below_half(x: Values, a: float) -> Values:
    # The regularized incomplete beta function of a = b: its continued fraction by Lentz's method
    # (Numerical Recipes, 3rd edition, 6.4), which converges fast for x up to one half.
    x = np.clip(x, 1e-300, 0.5)
    c, d = np.ones_like(x), 1 / (1 - 2 * a * x / (a + 1))
    fraction = d
    for m in range(1, TERMS):
        even = m * (a - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (2 * a + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            fraction = fraction * d * c
    gammas = torch.lgamma(torch.tensor([2 * a, a], dtype=torch.float64))
    log_front = float(gammas[0] - 2 * gammas[1]) + a * (np.log(x) + np.log1p(-x))
    result: Values = np.exp(log_front) * fraction / a
    return result
