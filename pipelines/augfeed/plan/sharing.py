"""Rows of several views of the same samples, and what the draws of views have in common."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Geometry, Linear, Pointwise
from augfeed.operation.kinds import Statistics, Window
from augfeed.plan.batch_rows import MAX_ID, BatchRows, Ids

if TYPE_CHECKING:
    from augfeed.policy import Policy

VIEW_BITS = 48  # of an id; those above are the view
MOST_VIEWS = 64


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the views of a sample draw together, by kinds of operations: their draws are keyed as
    those of view 0.

    `inside` are policy and number of the views in whose windows these have theirs: of `count`
    views from `first` on, the first ones in the first of them, and so on.
    """

    crop: bool = False
    geometry: bool = False
    color: bool = False
    inside: tuple[tuple["Policy", int], ...] = ()
    first: int = 0
    count: int = 1

    def keys(self, operation: Any, ids: Ids) -> Ids:
        """Return the ids by which an operation is drawn for rows of views."""
        return without_views(ids) if self.of(operation) else ids

    def of(self, operation: Any) -> bool:
        """Return whether all views of a sample draw an operation together."""
        match operation:
            case Window():
                return self.crop
            case Geometry():
                return self.geometry
            case Linear() | Pointwise() | Statistics():
                return self.color
        if operation.program is not None:
            return self.geometry and self.color if operation.moves else self.color
        return False

    def outer(self, ids: Ids) -> NDArray[np.int64]:
        """Return int64 `[N]`: for each row, in which window of `inside` its own lies."""
        places = (ids >> VIEW_BITS) - self.first
        return np.asarray(places * len(self.inside) // self.count, np.int64)


def without_views(ids: Ids) -> Ids:
    """Return the ids of the samples whose views are meant, which are those of view 0."""
    samples: Ids = ids & (MAX_ID - 1)
    return samples


def rows_of_views(rows: BatchRows, first: int, count: int) -> BatchRows:
    """Return the rows of `count` views from number `first` on: those of one view after another.

    Members of a group are views of one number. What is a partner only stands behind all views.
    """
    if (first, count) == (0, 1):
        return rows

    def column(values: Ids, step: int) -> Ids:
        views = [values + step * (first + k) for k in range(count)]
        own, rest = ([view[part] for view in views]
                     for part in (slice(rows.count), slice(rows.count, None)))  # fmt: skip
        return np.concatenate(own + rest)

    ids, groups = column(rows.ids, 1 << VIEW_BITS), column(rows.groups, MAX_ID)
    return BatchRows(ids, groups, column(rows.slots, 0), rows.count * count, rows.first)
