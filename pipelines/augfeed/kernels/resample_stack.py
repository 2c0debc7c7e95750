"""What windows show of images of one size, which lie one behind the other, in one call."""

from typing import Any

import numpy as np

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.resample import _resample, four, two
from augfeed.kernels.types import Array, Floats, Ints

U = np.uint64


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def resample_stack(
        images: Array, box: Ints, resized: Ints, offset: Ints, filters: Ints, pad_mode: int,
        pad_fill: Floats, out: Array,
    ) -> int:  # fmt: skip
        """Write what windows show of images `[N, h, w, C]` to `out` `[N, H, W, C]`.

        `box`, `resized`, `offset` and `filters` have a row for each; see
        `augfeed.kernels.resample.resample`.
        """
        for k in range(images.shape[0]):
            _resample(images[k], four(box, k), two(resized, k), two(offset, k),
                      np.int64(filters[k]), pad_mode, pad_fill, out[k])  # fmt: skip
        return sources

    return resample_stack


resample_stack = _compile(SOURCES)


@compiled()
def interleave(planes: Array, out: Array) -> None:
    """Write images `[N, C, H, W]` as `[N, H, W, C]`; both are C-contiguous."""
    count, channels, height, width = planes.shape
    pixels = height * width
    source, target = planes.reshape(count, channels, pixels), out.reshape(planes.size)
    for k in range(count):
        own = target[k * channels * pixels : (k + 1) * channels * pixels]
        if channels == 3:  # a loop that LLVM makes vectors of
            red, green, blue = source[k, 0], source[k, 1], source[k, 2]
            for i in range(U(pixels)):
                own[U(3) * i] = red[i]
                own[U(3) * i + U(1)] = green[i]
                own[U(3) * i + U(2)] = blue[i]
        else:
            for c in range(channels):
                for i in range(pixels):
                    own[i * channels + c] = source[k, c, i]
