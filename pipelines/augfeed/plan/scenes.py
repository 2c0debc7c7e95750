"""Whose images make up the frame of a sample: cells of a mosaic, and donors of objects."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation.draws import index
from augfeed.philox import draw
from augfeed.plan.batch_rows import BatchRows, Ids
from augfeed.plan.geometry import Decisions
from augfeed.policy import CopyPaste, Mosaic, Policy

CELLS = 4


@dataclass(frozen=True, slots=True)
class Scenes:
    """The frame of every row `[M]`, which several rows of its group may be shown in.

    `cells` int64 `[M, 4]` are the rows above left, above right, below left and below right of
    `point` int64 `[M, 2]` (y, x) where a row is a mosaic (`mosaics`, bool), resized to fit times
    `zoom`. Objects of row `donor` int64 are pasted on a row that is not its own donor.
    """

    seed: int
    epoch: int
    ids: Ids
    mosaics: NDArray[np.bool_]
    cells: Ids
    point: Ids
    zoom: NDArray[np.float64]
    donor: Ids
    share: float  # of objects that are pasted
    fill: float  # of mosaics

    @property
    def join(self) -> bool:
        """Whether any frame shows more than one sample."""
        return bool(self.mosaics.any() or (self.donor != np.arange(len(self.donor))).any())

    def pasted(self, row: int, count: int) -> NDArray[np.bool_]:
        """Return which of `count` objects of its donor are pasted on a row."""
        if not count:
            return np.zeros(0, np.bool_)
        ask = (int(CopyPaste.stream or 0), CopyPaste.uniforms, count)
        chosen: NDArray[np.bool_] = (
            draw(self.seed, self.epoch, self.ids[row : row + 1], [ask])[:, 0] < self.share
        )
        return chosen

    def shown(self, rows: Ids) -> Ids:
        """Return the rows whose frames are made for those of some rows: themselves, and donors."""
        return np.union1d(rows, self.donor[rows])

    def seen(self, rows: Ids) -> Ids:
        """Return the rows whose images are seen in the frames of some rows."""
        return np.union1d(rows, self.cells[rows[self.mosaics[rows]]])


def draw_scenes(
    policy: Policy, decisions: Decisions, rows: BatchRows, seed: int, epoch: int
) -> Scenes:
    """Return what the frames of all rows are made of; a pure function of keys and groups."""
    count, own = len(rows), np.arange(len(rows))
    mosaic, paste = policy.find(Mosaic), policy.find(CopyPaste)
    cells, donor = np.repeat(own[:, None], CELLS, axis=1), own
    point, zoom, mosaics = np.zeros((count, 2), np.int64), np.ones(count), np.zeros(count, np.bool_)
    if mosaic is not None:
        drawn = decisions[mosaic.op]
        point, zoom, mosaics = drawn["point"], drawn["zoom"], drawn["applied"]
        cells = np.concatenate([own[:, None], others(rows, drawn["picks"])], axis=1)
    if paste is not None:
        drawn = decisions[paste.op]
        donor = np.where(drawn["applied"], others(rows, drawn["pick"][:, None])[:, 0], own)
    return Scenes(
        seed, epoch, rows.ids, mosaics, cells, point, zoom, donor,
        paste.share if paste else 0.0, mosaic.fill if mosaic else 0.0,
    )  # fmt: skip


def others(rows: BatchRows, u: NDArray[Any]) -> Ids:
    """Return int64 `[M, K]`: K rows of each row's group, chosen by uniforms `[M, K]`.

    They are K different other ones as far as the group has so many; a smaller group gives its
    members again, and a row that is alone itself.
    """
    made = np.empty(u.shape, np.int64)
    order = np.lexsort((rows.slots, rows.groups))
    groups = rows.groups[order]
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1)) if len(order) else order
    for start, end in zip(starts, np.append(starts[1:], len(order)), strict=True):
        members = order[start:end]
        for place, row in enumerate(members):
            rest = np.delete(members, place)
            for k in range(u.shape[1]):
                rest = rest if len(rest) else members
                chosen = int(index(u[row, k], len(rest)))
                made[row, k] = rest[chosen]
                rest = np.delete(rest, chosen)
    return made
