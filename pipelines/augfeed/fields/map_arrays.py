"""The maps of a batch as arrays, for what moves all of its fields at once on a device."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augfeed.fields.spatial_map import SpatialMap, maps_of
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.plan.shifts import DISPLACEMENTS, READS, Shift

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MapArrays:
    """What `SpatialMap` says, for all `M` rows of a plan whose output is `size` (height, width).

    `window` int64 `[M, 8]` are box (top, left, height, width), resized (height, width) and offset
    (y, x). `lines` int32 `[M, height + width]` are the rows, then the columns of the source that
    those of the output show, -1 outside, of rows that are not `counts`; the others are sampled by
    `counts` int64 `[M]` maps of `steps` float64 `[M, K, 9]`, in that order. `fields` int64
    `[M, K]` are -1, or the number in `shifts` float32 `[J, 5]` of the displacement in a map's
    place, of which the first of its `steps` is then the factor. `totals` float64 `[M, 3, 3]` take
    output pixels to pixels of the frame as it is cut out, without displacements.
    """

    size: tuple[int, int]
    sizes: Ints
    window: Ints
    lines: NDArray[np.int32]
    counts: Ints
    steps: Floats
    fields: Ints
    shifts: NDArray[np.float32]
    totals: Floats
    border: int
    padding: int

    @classmethod
    def of(cls, plan: Plan, sizes: Ints, channels: int) -> "MapArrays":
        """Return the maps of all rows of a plan; `sizes` `[M, 2]` are the images' own."""
        constants = PolicyConstants.of(plan.policy, channels)
        windows = plan.window.at(sizes[:, 0], sizes[:, 1])
        parts = [windows.box, windows.resized, windows.offset]
        window = np.concatenate(parts, axis=1).astype(np.int64)
        totals = plan.inverse.astype(np.float64)
        counts = plan.warped.astype(np.int64)
        longer, shifts = _longer(plan, sizes, channels), list[tuple[float, ...]]()
        most = max([1, *(len(where.earlier) + 1 for where in longer.values())])
        steps, fields = np.zeros((len(totals), most, 9)), np.full((len(totals), most), -1)
        steps[:, 0] = totals.reshape(-1, 9)
        for row, where in longer.items():
            maps = where.steps if where.shifted else [
                *where.earlier, *[where.inverse] * where.warped]  # fmt: skip
            counts[row], totals[row] = len(maps), where.total
            for k, one in enumerate(maps or [where.inverse]):
                if isinstance(one, Shift):
                    fields[row, k], steps[row, k, 0] = len(shifts), _factor(one)
                    shifts.append(one.numbers)
                else:
                    steps[row, k] = one.ravel()
        lines = _lines(window, steps[:, 0], plan.size, constants.pad_mode)
        return cls(plan.size, sizes, window, lines, counts, steps, fields,
                   np.array(shifts, np.float32).reshape(-1, READS), totals, constants.border_mode,
                   constants.pad_mode)  # fmt: skip

    @property
    def to_source(self) -> Floats:
        """Float64 `[M, 3, 3]`: output edges (x, y, 1) -> source edges."""
        top, left, height, width, high, wide, y, x = self.window.T.astype(np.float64)
        down, across = height / high, width / wide
        window = np.zeros_like(self.totals)
        window[:, 0, 0], window[:, 0, 2] = across, x * across + left
        window[:, 1, 1], window[:, 1, 2] = down, y * down + top
        window[:, 2, 2] = 1
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        back = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        made: Floats = window @ half @ self.totals @ back
        return made

    @property
    def forward(self) -> Floats:
        """Float64 `[M, 3, 3]`: source edges (x, y, 1) -> output edges, as `SpatialMap.forward`."""
        found = self.to_source
        middle = found @ np.array([self.size[1] / 2, self.size[0] / 2, 1])
        signs = np.where(middle[:, 2] < 0, -1.0, 1.0)
        return np.asarray(np.linalg.inv(found) * signs[:, None, None], np.float64)

    @property
    def visible(self) -> Floats:
        """Float64 `[M, 4]`: what frames show of sources, (left, top, right, bottom) in edges."""
        top, left, height, width, high, wide, y, x = self.window.T.astype(np.float64)
        sides = []
        for start, length, resized, first, size in (
            (left, width, wide, x, self.size[1]), (top, height, high, y, self.size[0]),
        ):  # fmt: skip
            low = np.maximum(first, 0)
            last = np.maximum(np.minimum(first + size, resized), low)
            sides.append((start + length / resized * low, start + length / resized * last))
        return np.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], axis=1)


def _factor(shift: Shift) -> float:
    # Half the strength, in float32: see `augfeed.operation.elastic`.
    return float(np.float32(shift.numbers[0]) * np.float32(0.5))


def _longer(plan: Plan, sizes: Ints, channels: int) -> dict[int, SpatialMap]:
    # The maps of rows whose frame is displaced, or whose program mirrors or samples it.
    moved = np.isin(plan.frames.codes, [*DISPLACEMENTS]).any(axis=1)
    if plan.program is not None:
        moved |= plan.program.applied | plan.program.framed
    rows = np.flatnonzero(moved)
    if not len(rows):
        return {}
    return dict(zip(rows.tolist(), maps_of(plan, sizes[rows], channels, rows=rows), strict=True))


def _lines(window: Ints, steps: Floats, size: tuple[int, int], padding: int) -> NDArray[np.int32]:
    from augfeed.kernels.source_lines import fill_source_lines

    lines = np.empty((len(window), sum(size)), np.int32)
    fill_source_lines(window, steps[:, [4, 0]] < 0, size[0], padding, lines)
    return lines
