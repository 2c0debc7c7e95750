"""Numbers for every pixel: 16 bits each, eight to a block of Philox.

Value `p` of a plane of `n` values takes block `p % ceil(n / 8)` and lane `p // ceil(n / 8)`: the
values of one lane lie side by side in memory.
"""

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels.philox import fill_plane
from augfeed.kernels.sample import FAST
from augfeed.kernels.types import Floats, Ints, Words

CHUNK = 512
_LOW16 = np.uint32(0xFFFF)


@njit(nogil=True, fastmath=FAST)
def _add_lane(row: Floats, words: Words, shift: Any, sigma: Any, quantiles: Floats) -> None:
    for i in range(row.size):
        row[i] += sigma * quantiles[(words[i] >> shift) & _LOW16]


@njit(nogil=True)
def add_normal(
    flat: Floats, plane: int, key: tuple[Any, Any, Any, int], sigma: Any, quantiles: Floats
) -> None:
    """Add `sigma` times a standard normal to each value of a plane float32 `[n]`, in place.

    `key` is (seed, epoch, sample id, stream).
    """
    blocks = (flat.size + 7) // 8
    words = np.empty((4, CHUNK), np.uint32)
    for first in range(0, blocks, CHUNK):
        count = min(CHUNK, blocks - first)
        w0, w1, w2, w3 = words[0, :count], words[1, :count], words[2, :count], words[3, :count]
        fill_plane(key, plane * blocks + first, w0, w1, w2, w3)
        for lane in range(8):
            start = lane * blocks + first
            row = flat[start : min(start + count, flat.size)]
            _add_lane(row, words[lane >> 1], np.uint32(16 * (lane & 1)), sigma, quantiles)


@njit(nogil=True)
def pixel_numbers(count: int, plane: int, key: tuple[Any, Any, Any, int]) -> Words:
    """Return the 16-bit numbers of a plane of `count` values, as uint32 `[count]`."""
    blocks = (count + 7) // 8
    words = np.empty((4, blocks), np.uint32)
    fill_plane(key, plane * blocks, words[0], words[1], words[2], words[3])
    out = np.empty(count, np.uint32)
    for lane in range(8):
        shift = np.uint32(16 * (lane & 1))
        row, word = out[lane * blocks : min((lane + 1) * blocks, count)], words[lane >> 1]
        for i in range(row.size):
            row[i] = (word[i] >> shift) & _LOW16
    return out


@njit(nogil=True)
def salt_and_pepper(
    flat: Floats, numbers: Words, below: tuple[Any, Any], black: Any, white: Any
) -> None:
    """Turn values black whose number is below `below[0]`, the next below `below[1]` white."""
    for p in range(flat.size):
        if numbers[p] < below[0]:
            flat[p] = black
        elif numbers[p] < below[1]:
            flat[p] = white


@njit(nogil=True)
def erase_with_noise(plane: Floats, numbers: Words, box: Ints, quantiles: Floats) -> None:
    """Fill a box of a plane float32 `[H, W]` with the numbers' normals, or uniforms without."""
    width = plane.shape[1]
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            k = numbers[y * width + x]
            if quantiles.size:
                plane[y, x] = quantiles[k]
            else:
                plane[y, x] = (np.float32(k) + np.float32(0.5)) / np.float32(65536.0)
