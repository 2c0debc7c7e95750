"""Which row and column of a source each row and column of an output shows, of a whole batch."""

import numpy as np

from augfeed.constants import CONSTANT, EDGE
from augfeed.kernels import compiled
from augfeed.kernels.types import Array, Ints


@compiled(nogil=True)
def fill_source_lines(window: Ints, turned: Array, height: int, padding: int, lines: Array) -> None:
    """Write int32 `[M, height + width]`: rows, then columns, of the source; -1 outside.

    `window` int64 `[M, 8]` are box (top, left, height, width), resized (height, width), offset
    (y, x); `turned` bool `[M, 2]` says whether rows, and columns, are taken from the end.
    """
    near = (
        np.empty(max(1, window[:, 4:6].max()), np.int64) if len(window) else np.empty(1, np.int64)
    )
    for row in range(len(window)):
        for axis in range(2):
            first = height if axis else 0
            size = lines.shape[1] - height if axis else height
            begin, length, resized, offset = (
                window[row, axis], window[row, 2 + axis], window[row, 4 + axis],
                window[row, 6 + axis],
            )  # fmt: skip
            # Added up as Pillow does: that decides between two which are equally near.
            step, total = length / resized, 0.5 * (length / resized)
            for k in range(resized):
                near[k] = min(int(total), length - 1)
                total += step
            for k in range(size):
                place = (size - 1 - k if turned[row, axis] else k) + offset
                if padding == CONSTANT:
                    if not 0 <= place < resized:
                        lines[row, first + k] = -1
                        continue
                elif padding == EDGE:
                    place = min(max(place, 0), resized - 1)
                else:
                    period = 2 * (resized - 1)
                    place %= max(period, 1)
                    place = place if place < resized else period - place
                lines[row, first + k] = begin + near[place]
