"""Types of the compiled code: arrays, and the plan as the loops see it."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.kernels._record import COLUMNS, LINEAR, NEUTRAL

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
Floats = NDArray[Any]
Ints = NDArray[Any]
Words = NDArray[Any]
Index = np.uint64  # of a value in a flat array: Numba tests no such one for being negative
Record = np.record  # one of `ROW`, `COLORS` or `FIXED`

# One row of a plan. A record array is one argument of one type, whatever arrays the plan holds, and
# its fields are read without touching reference counts, which many small arrays would.
ROW = np.dtype(
    [
        ("id", np.uint64),
        ("place", np.int64),
        ("made", np.int64),  # which of the frames that were made before is read, -1 for none
        *((name, np.int64) for name in ("top", "left", "partner")),
        ("warped", np.bool_),
        ("filter", np.int64),
        *((f"m{k}", np.float32) for k in range(9)),  # inverse map, row by row
        ("mode", np.int64),
        ("lam", np.float32),
        *((f"patch{k}", np.int64) for k in range(4)),  # top, left, bottom, right
        *COLUMNS,
    ],
    align=True,
)
_PLACES: Any = ROW.fields  # of which the nine of the map lie side by side
_MATRIX: Any = {"names": ["m"], "formats": [(np.float32, 9)], "offsets": [_PLACES["m0"][1]],
                "itemsize": ROW.itemsize}  # fmt: skip
_MATRIX = np.dtype(_MATRIX)
COLORS = np.dtype(LINEAR, align=True)  # what linear colors are made of


BASE = {"made": -1}  # neutral values of the others


def neutral(count: int, dtype: Any) -> Array:
    """Return rows of `ROW` or `COLORS` on which no operation is applied."""
    return _neutral_one(dtype).repeat(count)


@cache
def _neutral_one(dtype: Any) -> Array:
    one = np.zeros(1, dtype)
    for name, value in (NEUTRAL | BASE).items():
        if name in one.dtype.names:
            one[name] = value
    return one


def matrices_of(rows: Array) -> Array:
    """Return a view of the inverse maps of rows, float32 `[N, 9]`: NumPy copies nine fields one by
    one."""
    view: Array = rows.view(_MATRIX)["m"]
    return view


def copied(rows: Array) -> Array:
    """Return a copy of records, in a fifteenth of the time that NumPy takes to copy fields."""
    return rows.view(np.uint8).copy().view(rows.dtype)


def taken(rows: Array, which: Ints) -> Array:
    """Return a copy of some records."""
    return rows.view(np.uint8).reshape(len(rows), -1)[which].reshape(-1).view(rows.dtype)


# What is the same for all rows; fills of padding and border are in the images' units.
FIXED = np.dtype(
    [
        ("seed", np.uint64),
        ("epoch", np.uint64),
        ("plane", np.int64),  # of the first channel, among those that numbers are drawn for
        ("scale", np.float64),  # the images' value for white
        ("pad_mode", np.int64),
        *((f"pad_fill{c}", np.float32) for c in range(3)),
        ("border_mode", np.int64),
        *((f"border_fill{c}", np.float32) for c in range(3)),
        ("normalized", np.bool_),
        ("erase_noise", np.bool_),
        ("cutout_fill", np.float32),
        ("erase_fill", np.float32),
        ("height", np.int64),
        ("width", np.int64),
        ("kind", np.int64),  # the element type that is given out: see `augfeed.kernels.cast_output`
        ("last", np.bool_),  # whether three channels are given out side by side
        ("stream", np.bool_),  # whether images are finished in the cache and then copied past it
    ],
    align=True,
)
