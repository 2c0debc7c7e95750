"""What geometric operations share."""

from typing import Any, Literal

import numpy as np

from augfeed.operation import Effect, Matrices, Sides, interval
from augfeed.operation.effects import clamped

Edge = Literal["constant", "edge", "reflect"]


def identities(count: int) -> Matrices:
    """Return float64 `[count, 3, 3]` that move nothing, to be written to."""
    made = np.zeros((count, 9))
    made[:, ::4] = 1.0
    return made.reshape(count, 3, 3)


def keep_centre(matrices: Matrices, size: Sides) -> None:
    """Set the shift of matrices so that the center of the image stays."""
    cx, cy = (size[1] - 1) / 2, (size[0] - 1) / 2
    # By columns: NumPy takes six times as long for as many small products of matrices.
    for i, center in enumerate((cx, cy)):
        matrices[:, i, 2] = center - (matrices[:, i, 0] * cx + matrices[:, i, 1] * cy)


def check_mean(operation: Any, policy: Any) -> None:
    """Refuse a fill with a mean that nothing states."""
    if operation.fill == "mean" and not any(item.op == "normalize" for item in policy.operations):
        raise ValueError(
            f"{operation.op}(fill='mean') needs the mean of a normalize: add normalize(...), or "
            "give a number, or one per channel"
        )


def at_most(operation: Any, parameter: str, rule: str) -> Effect:
    """Return the effect of a parameter that is an interval about 0, or a bound of it."""
    value = getattr(operation, parameter)
    worst = max(map(abs, interval(value)))

    def passing(most: float) -> Any:
        return clamped(value, -most, most)

    return Effect(rule, parameter, value, worst, passing, never=operation.p == 0)
