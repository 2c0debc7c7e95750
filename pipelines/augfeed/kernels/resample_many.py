"""What windows show of many images, in one call."""

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.pointers import pointer_at
from augfeed.kernels.resample import _resample, four, two
from augfeed.kernels.types import Bytes, Floats, Ints


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def show_pictures(
        pictures: Ints, box: Ints, resized: Ints, offset: Ints, filters: Ints, pad_mode: int,
        pad_fill: Floats, frames: Bytes,
    ) -> int:  # fmt: skip
        """Write what windows show of images to some of `frames`, uint8 `[N, H, W, C]`.

        `pictures` int64 `[n, 4]` are the address of each, uint8 `[h, w, C]` without gaps, its
        height and width, and the number of its frame; the others are those of `resample`, a row for
        each. Raises `ValueError` for a box that is not inside its image.
        """
        for k in range(pictures.shape[0]):
            address, height, width, number = pictures[k]
            image = carray(pointer_at(address), (height, width, frames.shape[3]), np.uint8)
            _resample(image, four(box, k), two(resized, k), two(offset, k), np.int64(filters[k]),
                      pad_mode, pad_fill, frames[number])  # fmt: skip
        return sources

    return show_pictures


show_pictures = _compile(SOURCES)
