"""Numbers for every pixel: 16 bits each, eight to a block of Philox.

Value `p` of a plane of `n` values takes block `p % ceil(n / 8)` and lane `p // ceil(n / 8)`: the
values of one lane lie side by side in memory.
"""

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels.philox import fill_plane
from augfeed.kernels.place import FAST, U
from augfeed.kernels.types import Floats, Words

CHUNK = 512
_LOW16 = np.uint32(0xFFFF)


@njit(nogil=True, fastmath=FAST)
def _add_lane(
    planes: Floats, at: Any, count: int, words: Words, shift: Any, sigma: Any, quantiles: Floats
) -> None:
    for i in range(count):
        planes[at + U(i)] += sigma * quantiles[(words[i] >> shift) & _LOW16]


@njit(nogil=True)
def add_normal(
    planes: Floats, at: Any, count: int, c: int, key: tuple[Any, Any, Any, int], sigma: Any,
    words: Words, quantiles: Floats,
) -> None:  # fmt: skip
    """Add `sigma` times a standard normal to the `count` values of plane `c`, at `planes[at]`.

    `key` is (seed, epoch, sample id, stream); `words` uint32 `[4, CHUNK]` is scratch.
    """
    blocks = (count + 7) // 8
    for first in range(0, blocks, CHUNK):
        part = min(CHUNK, blocks - first)
        fill_plane(key, c * blocks + first, words[0, :part], words[1, :part], words[2, :part],
                   words[3, :part])  # fmt: skip
        for lane in range(8):
            start = lane * blocks + first
            _add_lane(planes, at + U(start), max(min(part, count - start), 0), words[lane >> 1],
                      np.uint32(16 * (lane & 1)), sigma, quantiles)  # fmt: skip


@njit(nogil=True)
def pixel_numbers(count: int, c: int, key: tuple[Any, Any, Any, int]) -> Words:
    """Return the 16-bit numbers of plane `c` of `count` values, as uint32 `[count]`."""
    blocks = (count + 7) // 8
    words = np.empty((4, blocks), np.uint32)
    fill_plane(key, c * blocks, words[0], words[1], words[2], words[3])
    out = np.empty(count, np.uint32)
    for lane in range(8):
        shift, first = np.uint32(16 * (lane & 1)), lane * blocks
        for i in range(min(blocks, count - first)):
            out[first + i] = (words[lane >> 1, i] >> shift) & _LOW16
    return out


@njit(nogil=True)
def salt_and_pepper(
    planes: Floats, at: Any, numbers: Words, below: tuple[Any, Any], black: Any, white: Any
) -> None:
    """Turn values black whose number is below `below[0]`, the next below `below[1]` white."""
    for p in range(numbers.size):
        if numbers[p] < below[0]:
            planes[at + U(p)] = black
        elif numbers[p] < below[1]:
            planes[at + U(p)] = white


@njit(nogil=True)
def erase_with_noise(
    planes: Floats, at: Any, width: int, box: tuple[int, int, int, int], numbers: Words,
    quantiles: Floats,
) -> None:  # fmt: skip
    """Fill a box of the plane at `planes[at]` with the numbers' normals, or uniforms without."""
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            p = U(y * width + x)
            if quantiles.size:
                planes[at + p] = quantiles[numbers[p]]
            else:
                planes[at + p] = (np.float32(numbers[p]) + np.float32(0.5)) / np.float32(65536.0)
