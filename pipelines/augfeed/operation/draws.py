"""What an operation makes of its uniform random numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Uniforms = NDArray[np.float64]
Flags = NDArray[np.bool_]
TRIES = 10  # of an operation that looks for a rectangle that fits


@dataclass(frozen=True, slots=True)
class Drawn:
    """What an operation decided of every sample.

    `values` `[N, ...]` are in its own terms, for people, also where it is not applied; `columns`
    `[N, ...]` are those that it declares, neutral where it is not applied.
    """

    values: dict[str, NDArray[Any]]
    columns: dict[str, NDArray[Any]]


def between(u: Uniforms, low: float, high: float) -> Uniforms:
    """Return uniforms stretched to [low, high)."""
    return low + u * (high - low)


def index(u: Uniforms, count: Any) -> NDArray[np.int64]:
    """Return uniform integers from 0 to `count - 1`; `count` is a number or an array."""
    chosen = np.floor(u * count).astype(np.int64)
    result: NDArray[np.int64] = np.minimum(chosen, np.asarray(count, np.int64) - 1)
    return result
