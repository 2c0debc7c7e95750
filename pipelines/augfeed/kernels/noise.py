"""Numbers for every pixel: 16 bits each, eight to a block of Philox.

Value `p` of a plane of `n` values takes block `p % ceil(n / 8)` and lane `p // ceil(n / 8)`: the
values of one lane lie side by side in memory.
"""

from typing import Any, NamedTuple

import numpy as np

from augfeed.kernels.inner import for_python, njit
from augfeed.kernels.philox import block_key, fill_plane, philox
from augfeed.kernels.place import FAST, U
from augfeed.kernels.pointers import as_floats, as_words, pointer_to
from augfeed.kernels.types import Floats, Index, Words

CHUNK = 512  # blocks whose values are held in the nearest cache
AT_ONCE = 16  # blocks: few enough that look-ups of some overlap the arithmetic of the next
_LOW16 = np.uint32(0xFFFF)
NOISE_WORDS = 4 * AT_ONCE + 8 * CHUNK


@njit(nogil=True)
def _fill_normals(
    key: tuple[Any, Any, Any, int], first: int, part: int, table: Words, words: Words, bits: Words
) -> None:
    # Bits of the normals of `part` blocks, lane by lane, `CHUNK` apart; up to `AT_ONCE` - 1 more in
    # each lane. Not as floats, whose units would be busy for longer.
    k0, k1, sample, epoch, stream = block_key(key)
    for begin in range(0, part, AT_ONCE):
        for i in range(AT_ONCE):
            block = np.uint64(first + begin + i)
            w0, w1, w2, w3 = philox(sample, epoch, stream, block, k0, k1)
            words[U(i)], words[U(AT_ONCE + i)] = w0, w1
            words[U(2 * AT_ONCE + i)], words[U(3 * AT_ONCE + i)] = w2, w3
        for k in range(4):
            low = U(2 * k * CHUNK + begin)
            for i in range(AT_ONCE):
                word = words[U(k * AT_ONCE + i)]
                bits[low + U(i)] = table[word & _LOW16]
                bits[low + U(CHUNK) + U(i)] = table[word >> np.uint32(16)]


@njit(nogil=True, fastmath=FAST)
def _add_lanes(
    planes: Floats, at: Index, count: int, blocks: tuple[int, int, int], sigma: Any,
    normals: Floats, begin: Index,
) -> None:  # fmt: skip
    # Blocks (first, end, all of the plane), whose normals begin at `begin`.
    first, end, every = blocks
    for lane in range(8):
        start = lane * every + first
        to, own = at + U(start), begin + U(lane * CHUNK)
        for i in range(min(end - first, count - start)):
            planes[to + U(i)] += sigma * normals[own + U(i)]


class Noise(NamedTuple):
    """Pointers: to the table of normals, and to memory for those of some blocks."""

    quantiles: Any  # float32 `[65536]`
    table: Any  # the same as uint32
    words: Any  # uint32 `[4 * AT_ONCE]`
    bits: Any  # uint32 `[8 * CHUNK]`
    normals: Any  # the same as float32


@njit(nogil=True)
def noise_memory(quantiles: Floats, memory: Words) -> Noise:
    """Return pointers to the normals, and to memory, uint32 `[NOISE_WORDS]`."""
    bits = memory[4 * AT_ONCE :]
    return Noise(pointer_to(quantiles), as_words(quantiles), pointer_to(memory), pointer_to(bits),
                 as_floats(bits))  # fmt: skip


@njit(nogil=True)
def add_normal(
    planes: Floats, at: Index, size: tuple[int, int, int], key: tuple[Any, Any, Any, int],
    sigma: Any, factors: Any, noise: Noise,
) -> None:  # fmt: skip
    """Add normals to planes, `sigma * factors[c]` times a standard one to plane c.

    `size` is (number of the first plane, how many, values of each); they begin at `planes[at]`.
    `key` is (seed, epoch, sample id, stream).
    """
    before, channels, count = size
    blocks = (count + 7) // 8
    total, skipped = channels * blocks, before * blocks
    for begin in range(0, total, CHUNK):
        end = min(begin + CHUNK, total)
        _fill_normals(key, skipped + begin, end - begin, noise.table, noise.words, noise.bits)
        for c in range(begin // blocks, (end + blocks - 1) // blocks):
            own = c * blocks
            first, last = max(own, begin), min(own + blocks, end)
            place = (first - own, last - own, blocks)
            _add_lanes(planes, at + U(c * count), count, place, sigma * factors[c], noise.normals,
                       U(first - begin))  # fmt: skip


@njit(nogil=True)
def plane_numbers(count: int, c: int, key: tuple[Any, Any, Any, int]) -> Words:
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


pixel_numbers = for_python(plane_numbers)


@njit(nogil=True)
def salt_and_pepper(
    planes: Floats, at: Index, numbers: Words, below: tuple[Any, Any], black: Any, white: Any
) -> None:
    """Turn values black whose number is below `below[0]`, the next below `below[1]` white."""
    for p in range(numbers.size):
        if numbers[p] < below[0]:
            planes[at + U(p)] = black
        elif numbers[p] < below[1]:
            planes[at + U(p)] = white


@njit(nogil=True)
def erase_with_noise(
    planes: Floats, at: Index, width: int, box: tuple[int, int, int, int], numbers: Words,
    quantiles: Any, normal: bool,
) -> None:  # fmt: skip
    """Fill a box of the plane at `planes[at]` with the numbers' normals, or their uniforms."""
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            p = U(y * width + x)
            if normal:
                planes[at + p] = quantiles[numbers[p]]
            else:
                planes[at + p] = (np.float32(numbers[p]) + np.float32(0.5)) / np.float32(65536.0)
