"""Memory used again once nobody holds what was made of it."""

import math
import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 32  # free blocks of a size kept at most; never more than were alive at once


class Memory:
    """Blocks that go out as arrays and come back by themselves when those are gone.

    Fresh memory costs a page fault every 4 KiB and is zeroed by the kernel: for pictures and
    batches more than some of the loops over them. A block comes back only when the array made of
    it has died. A tensor made of the array keeps it alive, and so does all that is made of the
    tensor. A NumPy view does not: it refers to the block itself. So views stay inside the library.
    """

    def __init__(self) -> None:
        """Start without any block."""
        self._free: dict[int, deque[NDArray[np.uint8]]] = {}

    def take(
        self, shape: tuple[int, ...], dtype: Any, *, channels_last: bool = False
    ) -> NDArray[Any]:
        """Return an uninitialised array of a shape, such as `[N, C, H, W]`.

        It is C-contiguous; with `channels_last` the second of four axes lies last in memory.
        Whoever makes a tensor of it must hand over this very array, not a view.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        free = self._free.setdefault(_rounded(size), deque(maxlen=KEPT))
        try:
            block = free.pop()
        except IndexError:
            block = np.empty(_rounded(size), np.uint8)
        flat = block[:size].view(dtype)
        if channels_last:
            count, channels, height, width = shape
            array: NDArray[Any] = flat.reshape(count, height, width, channels)
            array = array.transpose(0, 3, 1, 2)
        else:
            array = flat.reshape(shape)
        weakref.finalize(array, free.append, block).atexit = False
        return array


def _rounded(size: int) -> int:
    # Up to a multiple of an eighth of the next lower power of two: few sizes, little waste.
    step = max(1 << max(size.bit_length() - 4, 0), 4096)
    return -(-size // step) * step
