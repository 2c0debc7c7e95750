"""The random numbers of a plan: those of all operations in one call."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import TRIES, Uniforms, Window, between
from augfeed.operation.draws import index
from augfeed.ops._registry import ALL
from augfeed.philox import draw
from augfeed.plan.batch_rows import Ids
from augfeed.policy import Policy

# An operation's stream and how many uniforms it draws; windows are drawn when sizes are known.
DRAWN: dict[type[Any], tuple[int, int]] = {
    cls: (int(cls.stream or 0), cls.uniforms)
    for cls in ALL
    if cls.uniforms and not issubclass(cls, Window)
}


class Draws:
    """Uniforms in [0, 1) for every operation of a policy and every sample."""

    def __init__(self, policy: Policy, seed: int, epoch: int, ids: Ids) -> None:
        """Draw for all operations at once."""
        self.seed, self.epoch, self.ids = seed, epoch, ids
        self._rows: dict[type[Any], slice] = {}
        requests: list[tuple[int, int, int]] = []
        first = 0
        for operation in policy.operations:
            if (cls := type(operation)) in DRAWN and operation.program is None:
                stream, count = DRAWN[cls][0], operation.drawn
                self._rows[cls] = slice(first, first + count)
                requests.append((stream, 0, count))
                first += count
        self._values = draw(seed, epoch, ids, requests)

    def of(self, operation: Any) -> Uniforms:
        """Return float64 `[count, N]` of an operation: row 0 decides whether it is applied."""
        return self._values[self._rows[type(operation)]]

    def applied(self, operation: Any) -> NDArray[np.bool_]:
        """Return bool `[N]`: which samples get the operation."""
        if has_ended(operation, self.epoch):
            return np.zeros(len(self.ids), np.bool_)
        u = self.of(operation)[0]
        if operation.alternates:
            u = draw(self.seed, 0, self.ids, [(DRAWN[type(operation)][0], 0, 1)])[0]
        result: NDArray[np.bool_] = u < operation.p
        return ~result if operation.alternates and self.epoch % 2 else result


def has_ended(operation: Any, epoch: int) -> bool:
    """Return whether an operation is left out of an epoch, as its `until` says."""
    until = getattr(operation, "until", None)
    return until is not None and epoch >= until


__all__ = ["DRAWN", "TRIES", "Draws", "Uniforms", "between", "has_ended", "index"]
