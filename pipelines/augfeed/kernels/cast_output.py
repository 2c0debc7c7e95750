"""float32 planes given out as another element type, or with the channels last."""

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.types import Array, Floats, Ints

FLOAT32, UINT8, BFLOAT16, FLOAT16 = 0, 1, 2, 3


@njit(nogil=True)
def _bfloat16(bits: np.uint32) -> np.uint32:
    # Round to nearest, ties to even; there are no NaNs here.
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)


@njit(nogil=True)
def _float16(bits: np.uint32, tiny: np.uint32) -> np.uint32:
    # `tiny` is the bits of abs(value) + 0.5, whose low bits hold the rounded subnormal half.
    sign = (bits >> np.uint32(16)) & np.uint32(0x8000)
    size = bits & np.uint32(0x7FFFFFFF)
    if size >= np.uint32(0x477FF000):
        half = np.uint32(0x7C00)
    elif size < np.uint32(0x38800000):
        half = tiny - np.uint32(0x3F000000)
    else:
        odd = (size >> np.uint32(13)) & np.uint32(1)
        half = (size - np.uint32(0x38000000) + np.uint32(0xFFF) + odd) >> np.uint32(13)
    return sign | half


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def store(planes: Floats, kind: int, places: Ints, out: Array) -> int:
        """Write float32 `[n, C, H, W]` to places of `out` `[count, C, H, W]` of any strides.

        `BFLOAT16` and `FLOAT16` write the bits to uint16; `UINT8` rounds `255 * value` to the
        nearest and clamps.
        """
        _, channels, height, width = planes.shape
        half, full, zero = np.float32(0.5), np.float32(255.0), np.float32(0.0)
        bits = planes.view(np.uint32)
        # 2**-1 has a unit in the last place of 2**-24, that of a subnormal half.
        tiny = (np.abs(planes) + half).view(np.uint32) if kind == FLOAT16 else bits
        for n in range(places.size):
            b = places[n]
            for y in range(height):
                for c in range(channels):
                    for x in range(width):
                        if kind == FLOAT32:
                            out[b, c, y, x] = planes[n, c, y, x]
                        elif kind == UINT8:
                            value = np.floor(planes[n, c, y, x] * full + half)
                            out[b, c, y, x] = min(max(value, zero), full)
                        elif kind == BFLOAT16:
                            out[b, c, y, x] = _bfloat16(bits[n, c, y, x])
                        else:
                            out[b, c, y, x] = _float16(bits[n, c, y, x], tiny[n, c, y, x])
        return sources

    return store


store = _compile(SOURCES)
