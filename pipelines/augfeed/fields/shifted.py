"""Places and points through maps of which some are displacements of a frame."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from augfeed.plan.shifts import Shift

Matrix = NDArray[np.float64]
Places = NDArray[np.float64]
Steps = Sequence[Matrix | Shift]
Sides = tuple[int, int]


@lru_cache(maxsize=8)  # masks, boxes and points of a sample ask one after another
def field_of(shift: Shift, size: Sides) -> NDArray[np.float32]:
    """Return float32 `[2, H, W]`: how many pixels along x and y each pixel of a frame looks away.

    It is what the engine of the CPU moves images by. Nobody may write to it.
    """
    from augfeed.kernels.shifted import draw_field

    made = np.empty((2, *size), np.float32)
    draw_field(np.array(shift.numbers, np.float32), made)
    return made


def shifted_places(
    steps: Steps, size: Sides, border: int, window: NDArray[np.int64], padding: int
) -> tuple[NDArray[np.int64], Places]:
    """Return what the output pixels of frames of `size` show, by the maps that sampled them.

    Int64 `[h, w]` are flat indices of source pixels, -1 outside, and float64 `[2, h, w]` x and y of
    the places in the source that they are nearest to. `window` is `SpatialMap.window`.
    """
    from augfeed.kernels.shifted import read_places, shift_places, turn_places

    ys, xs = np.mgrid[: size[0], : size[1]]
    places = np.stack([xs, ys]).astype(np.float64)
    for step in reversed(steps):
        if isinstance(step, Shift):
            shift_places(field_of(step, size), places)
        else:
            turn_places(np.ascontiguousarray(step, np.float64).ravel(), border, places)
    found = np.empty(size, np.int64)
    read_places(window, padding, places, found)
    return found, places


def shifted_points(
    steps: Steps, size: Sides, points: Places
) -> tuple[Places, NDArray[np.bool_]]:  # fmt: skip
    """Return where points float64 `[N, 2]`, in pixels of a frame of `size`, are after maps.

    They are not numbers where a perspective has them behind its camera. Bool `[N]` says which are
    in the frame after each of the maps.
    """
    from augfeed.kernels.shifted import find_points

    made, shown = points.copy(), np.ones(len(points), np.bool_)
    for step in steps:
        if isinstance(step, Shift):
            found, seen = np.full_like(made, np.nan), np.zeros(len(made), np.bool_)
            there = np.flatnonzero(np.isfinite(made).all(axis=1))
            moved, kept = np.empty((len(there), 2)), np.empty(len(there), np.bool_)
            find_points(field_of(step, size), made[there], moved, kept)
            found[there], seen[there] = moved, kept
            made, shown = found, shown & seen
        else:
            made = _turned(made, step, size)
        low, high = made >= -0.5, made < np.array([size[1], size[0]]) - 0.5
        shown &= (low & high).all(axis=1)
    return made, shown


def _turned(points: Places, inverse: Matrix, size: Sides) -> Places:
    # By the matrix whose inverse is given; its last row is positive for what the frame shows.
    middle = inverse @ np.array([(size[1] - 1) / 2, (size[0] - 1) / 2, 1])
    forward = np.linalg.inv(inverse) * np.sign(middle[2] or 1)
    moved = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ forward.T
    front = moved[:, 2:] > 0
    made: Places = np.where(front, moved[:, :2] / np.where(front, moved[:, 2:], 1), np.nan)
    return made
