"""The order of random keys, compiled."""

from typing import Any

import numpy as np

from augfeed.kernels import SOURCES, compiled_by_size
from augfeed.kernels.philox import CHUNK, fill_blocks, key_of
from augfeed.kernels.types import Ints, Words


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled_by_size
    def fill_keys(seed: Any, epoch: int, stream: int, ids: Ints, keys: Words) -> int:
        """Write a key of 64 random bits for every sample to uint64 `[N]`."""
        key, high = key_of(seed, epoch, stream), np.uint64(32)
        held = np.empty((4, min(CHUNK, ids.size)), np.uint32)
        for begin in range(0, ids.size, CHUNK):
            part = ids[begin : begin + CHUNK]
            fill_blocks(part, key, 0, held[0], held[1], held[2], held[3])
            for i in range(part.size):
                keys[begin + i] = np.uint64(held[0, i]) << high | np.uint64(held[1, i])
        return sources

    return fill_keys


fill_keys = _compile(SOURCES)


@compiled_by_size
def fill_order(keys: Words, order: Ints) -> None:
    """Write the places of uint64 keys in ascending order to `[N]`, of equal keys the first first.

    The keys have to be random: about one of them falls to each value of the leading bits that are
    counted, and sorting by insertion is then as good as done.
    """
    bits = 1
    while (2 << bits) <= keys.size and bits < 40:
        bits += 1
    shift = np.uint64(64 - bits)
    ends = np.zeros((1 << bits) + 1, np.int64)
    for i in range(keys.size):
        ends[np.int64(keys[i] >> shift) + 1] += 1
    for value in range(1 << bits):
        ends[value + 1] += ends[value]
    # ends[value] is where a value begins, and after the next loop where it ends.
    moved = np.empty_like(keys)
    for i in range(keys.size):
        own = np.int64(keys[i] >> shift)
        moved[ends[own]], order[ends[own]] = keys[i], i
        ends[own] += 1
    for i in range(1, keys.size):
        key, place, j = moved[i], order[i], i
        while j > 0 and moved[j - 1] > key:
            moved[j], order[j] = moved[j - 1], order[j - 1]
            j -= 1
        moved[j], order[j] = key, place
