"""The random numbers of a plan: those of all operations in one call."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import TRIES, Uniforms, Window, between
from augfeed.operation.draws import index
from augfeed.ops._registry import ALL
from augfeed.philox import draw
from augfeed.plan.batch_rows import Ids
from augfeed.plan.sharing import Sharing, without_views
from augfeed.policy import Policy

# An operation's stream and how many uniforms it draws; windows are drawn when sizes are known.
DRAWN: dict[type[Any], tuple[int, int]] = {
    cls: (int(cls.stream or 0), cls.uniforms)
    for cls in ALL
    if cls.uniforms and not issubclass(cls, Window)
}


class Draws:
    """Uniforms in [0, 1) for every operation of a policy and every sample."""

    def __init__(
        self, policy: Policy, seed: int, epoch: int, ids: Ids, sharing: Sharing | None = None
    ) -> None:
        """Draw for all operations at once, and once more for those that views share."""
        self.seed, self.epoch, self.ids, self.sharing = seed, epoch, ids, sharing
        self._values: dict[type[Any], Uniforms] = {}
        items = [item for item in policy.operations
                 if type(item) in DRAWN and item.program is None]  # fmt: skip
        together = [] if sharing is None else [item for item in items if sharing.of(item)]
        self._draw([item for item in items if item not in together], ids)
        if together:
            self._draw(together, without_views(ids))

    def _draw(self, items: list[Any], ids: Ids) -> None:
        requests = [(DRAWN[type(item)][0], 0, item.drawn) for item in items]
        values, first = draw(self.seed, self.epoch, ids, requests), 0
        for item in items:
            self._values[type(item)] = values[first : first + item.drawn]
            first += item.drawn

    def keys(self, operation: Any) -> Ids:
        """Return the ids by which an operation is drawn."""
        return self.ids if self.sharing is None else self.sharing.keys(operation, self.ids)

    def of(self, operation: Any) -> Uniforms:
        """Return float64 `[count, N]` of an operation: row 0 decides whether it is applied."""
        return self._values[type(operation)]

    def applied(self, operation: Any) -> NDArray[np.bool_]:
        """Return bool `[N]`: which samples get the operation."""
        if has_ended(operation, self.epoch):
            return np.zeros(len(self.ids), np.bool_)
        u = self.of(operation)[0]
        if operation.alternates:
            u = draw(self.seed, 0, self.keys(operation), [(DRAWN[type(operation)][0], 0, 1)])[0]
        result: NDArray[np.bool_] = u < operation.p
        return ~result if operation.alternates and self.epoch % 2 else result


def has_ended(operation: Any, epoch: int) -> bool:
    """Return whether an operation is left out of an epoch, as its `until` says."""
    until = getattr(operation, "until", None)
    return until is not None and epoch >= until


__all__ = ["DRAWN", "TRIES", "Draws", "Uniforms", "between", "has_ended", "index"]
