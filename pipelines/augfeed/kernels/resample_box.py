"""Boxes whose edges lie between pixels, resized."""

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.inner import njit
from augfeed.kernels.pointers import pointer_at
from augfeed.kernels.resample import _copy, _resize
from augfeed.kernels.types import Array, Floats, Ints

Whole = tuple[int, ...]


@njit(nogil=True)
def show_part(
    image: Array, box: Whole, inner: tuple[float, ...], resized: Whole, offset: Whole, kind: int,
    out: Array,
) -> None:  # fmt: skip
    """Do what `resample_part` does, for compiled functions."""
    top, left = offset[0], offset[1]
    rows, columns = out.shape[0], out.shape[1]
    if image.shape[2] != out.shape[2] or min(box[2], box[3], resized[0], resized[1]) < 1:
        raise ValueError("the channels differ, or the box is empty")
    if min(top, left) < 0 or top + rows > resized[0] or left + columns > resized[1]:
        raise ValueError("the output is not inside the resized box")
    y0, x0 = int(inner[0]), int(inner[1])
    at_pixels = y0 == inner[0] and x0 == inner[1]
    if not (at_pixels and inner[2] == resized[0] and inner[3] == resized[1]):
        _resize(image, box, inner, resized, kind, top, left, out)
        return
    y0, x0 = box[0] + y0 + top, box[1] + x0 + left
    if min(y0, x0) < 0 or y0 + rows > image.shape[0] or x0 + columns > image.shape[1]:
        raise ValueError("the image lacks pixels that the box needs")
    _copy(image, y0, x0, out)


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def resample_part(
        image: Array, box: Whole, inner: tuple[float, ...], resized: Whole, offset: Whole,
        kind: int, out: Array,
    ) -> int:  # fmt: skip
        """Write a part of a box, resized with antialiasing, to `out`.

        `box` (top, left, height, width) are whole pixels of `image` `[h, w, C]`, inside it; `inner`
        (likewise, from the box's corner, in fractions of pixels) is resized to `resized` (height,
        width) by a filter, `kind`; output pixel `(y, x)` of `out` `[H, W, C]` is pixel `(offset[0]
        + y, offset[1] + x)` of the result. Where the filter reaches over the edges of `inner` it
        takes pixels of the box, and none beyond. Both arrays are C-contiguous uint8. Raises
        `ValueError` where pixels are missing.
        """
        show_part(image, box, inner, resized, offset, kind, out)
        return sources

    return resample_part


def _compile_many(sources: int) -> Any:
    @compiled()
    def resample_parts(image: Array, inner: Floats, whole: Ints) -> int:
        """Write several parts of one image, as `resample_part` does, in one call.

        `inner` float64 `[N, 4]` and `whole` int64 `[N, 12]`: box, resized, offset, kind, and the
        address, height and width of what is written, uint8 `[H, W, C]` without gaps.
        """
        for k in range(len(whole)):
            own, given = whole[k], inner[k]
            out = carray(pointer_at(own[9]), (own[10], own[11], image.shape[2]), np.uint8)
            show_part(image, (own[0], own[1], own[2], own[3]),
                  (given[0], given[1], given[2], given[3]), (own[4], own[5]), (own[6], own[7]),
                  own[8], out)  # fmt: skip
        return sources

    return resample_parts


resample_part, resample_parts = _compile(SOURCES), _compile_many(SOURCES)
