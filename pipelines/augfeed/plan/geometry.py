"""Geometric decisions, composed into one matrix a sample: output pixel -> source pixel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Geometry, Matrices
from augfeed.policy import Policy

Decisions = dict[str, dict[str, NDArray[Any]]]


def compose(policy: Policy, decisions: Decisions, size: tuple[int, int]) -> Matrices:
    """Return float64 `[N, 3, 3]`: all geometric operations of a policy, in its order, as one."""
    from augfeed.kernels.draw_columns import multiply_each

    total: Matrices | None = None
    for operation in policy.operations:
        if isinstance(operation, Geometry):
            values = decisions[operation.op]
            step, applied = operation.inverse(values, size), values["applied"]
            if total is not None:
                multiply_each(applied, step, total)
                continue
            total = step
            if not applied.all():
                total[~applied] = np.eye(3)
    assert total is not None, "only called for policies with a geometric operation"
    return total


def flipped(
    x: NDArray[np.bool_], y: NDArray[np.bool_], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return float32 `[N, 3, 3]`, what `compose` does where nothing but flips moves pixels."""
    from augfeed.kernels.draw_columns import fill_flips

    out = np.empty((len(x), 3, 3), np.float32)
    fill_flips(x, y, size[1], size[0], out)
    return out
