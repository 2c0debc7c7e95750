"""Memory of batches, used again once nobody holds a batch any more."""

import math
import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 32  # free blocks kept at most; there are never more than batches were alive at once


class Memory:
    """Blocks that go out as arrays and come back by themselves when those are gone.

    Fresh memory costs a page fault every 4 KiB and is zeroed by the kernel, about 60 us for a
    float32 picture of 224 x 224. A block comes back only when the array made of it has died, and
    whatever is made of that array (tensors, views, other arrays) keeps it alive: nothing that the
    caller still holds is ever written again.
    """

    def __init__(self) -> None:
        """Start without any block."""
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=KEPT)

    def take(
        self, shape: tuple[int, int, int, int], dtype: Any, *, channels_last: bool = False
    ) -> NDArray[Any]:
        """Return an uninitialised array of shape `[N, C, H, W]`, with C or W last in memory.

        Whoever makes a tensor of it must hand over this very array, not a view: a view refers to
        the block, not to the array.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        block = self._block(size)
        flat, (count, channels, height, width) = block[:size].view(dtype), shape
        if channels_last:
            array: NDArray[Any] = flat.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
        else:
            array = flat.reshape(shape)
        weakref.finalize(array, self._free.append, block).atexit = False
        return array

    def _block(self, size: int) -> NDArray[np.uint8]:
        # One pass over the free blocks: one that is too small, or more than twice as large as
        # needed, belongs to batches of other sizes and is let go.
        for _ in range(len(self._free)):
            try:
                block = self._free.popleft()
            except IndexError:
                break
            if size <= block.size <= 2 * size + 4096:
                return block
        return np.empty(size, np.uint8)
