"""float32 planes given out as another element type, or with the channels last."""

import numpy as np
from numba import njit

from augfeed.kernels.types import Array, Floats

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


@njit(nogil=True)
def store(planes: Floats, kind: int, out: Array) -> None:
    """Write float32 `[C, H, W]` to `out` `[C, H, W]` of any strides.

    `BFLOAT16` and `FLOAT16` write the bits to uint16; `UINT8` rounds `255 * value` to the nearest
    and clamps.
    """
    channels, height, width = planes.shape
    bits = planes.view(np.uint32)
    # 2**-1 has a unit in the last place of 2**-24, that of a subnormal half.
    tiny = (np.abs(planes) + np.float32(0.5)).view(np.uint32) if kind == FLOAT16 else bits
    for y in range(height):
        for c in range(channels):
            for x in range(width):
                if kind == FLOAT32:
                    out[c, y, x] = planes[c, y, x]
                elif kind == UINT8:
                    value = np.floor(planes[c, y, x] * np.float32(255.0) + np.float32(0.5))
                    out[c, y, x] = min(max(value, np.float32(0.0)), np.float32(255.0))
                elif kind == BFLOAT16:
                    out[c, y, x] = _bfloat16(bits[c, y, x])
                else:
                    out[c, y, x] = _float16(bits[c, y, x], tiny[c, y, x])
