"""Memory used again once nobody holds what was made of it."""

import math
import threading
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64  # bytes of a cache line: vectors that lie across two of them take twice as long


class Memory:
    """Blocks that go out as arrays and come back by themselves when those are gone.

    Fresh memory costs a page fault every 4 KiB and is zeroed by the kernel: for images and
    batches more than some of the loops over them. A block comes back only when the array made of
    it has died. A tensor made of the array keeps it alive, and so does all that is made of the
    tensor. A NumPy view does not: it refers to the block itself. So views stay inside the library.
    Free and used blocks together are never more bytes than were used at once, and the free ones
    no more than `idle` bytes, if that is given.
    """

    def __init__(self, idle: int | None = None) -> None:
        """Start without any block."""
        self.idle = idle
        self._free: OrderedDict[int, list[NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.RLock()  # an array may die anywhere, in here too
        self._used = self._idle = self._most = 0  # bytes

    def take(
        self, shape: tuple[int, ...], dtype: Any, *, channels_last: bool = False
    ) -> NDArray[Any]:
        """Return an uninitialised array of a shape, such as `[N, C, H, W]`.

        It begins a cache line and is C-contiguous; with `channels_last` the second of four axes
        lies last in memory.
        Anyone who makes a tensor of it must hand over this very array, not a view.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        block = self._block(_rounded(size))
        flat = block[:size].view(dtype)
        if channels_last:
            count, channels, height, width = shape
            array: NDArray[Any] = flat.reshape(count, height, width, channels)
            array = array.transpose(0, 3, 1, 2)
        else:
            array = flat.reshape(shape)
        weakref.finalize(array, self._give_back, block).atexit = False
        return array

    def _block(self, size: int) -> NDArray[np.uint8]:
        with self._lock:
            self._used += size
            self._most = max(self._most, self._used)
            blocks = self._free.get(size)
            if blocks:
                self._idle -= size
                self._free.move_to_end(size)
                return blocks.pop()
            self._drop()
        block = np.empty(size + LINE, np.uint8)
        begin = -block.__array_interface__["data"][0] % LINE
        return block[begin : begin + size]

    def _give_back(self, block: NDArray[np.uint8]) -> None:
        with self._lock:
            self._used -= block.size
            self._idle += block.size
            self._free.setdefault(block.size, []).append(block)
            self._free.move_to_end(block.size)
            if self.idle is not None:
                self._drop()

    @property
    def idle_bytes(self) -> int:
        """Bytes of the free blocks."""
        return self._idle

    def _drop(self) -> None:
        # Blocks of the sizes longest unused make room.
        most = self._most if self.idle is None else min(self._most, self._used + self.idle)
        while self._used + self._idle > most and self._free:
            size, blocks = next(iter(self._free.items()))
            if blocks:
                blocks.pop()
                self._idle -= size
            if not blocks:
                del self._free[size]

    def __reduce__(self) -> tuple[type["Memory"], tuple[int | None]]:
        return Memory, (self.idle,)  # a copy, in another process too, starts without any block


def _rounded(size: int) -> int:
    # Up to a multiple of an eighth of the next lower power of two: few sizes, little waste.
    step = max(1 << max(size.bit_length() - 4, 0), 4096)
    return -(-size // step) * step


class _Writable:
    """A read-only array as a writable one of the same memory."""

    def __init__(self, array: NDArray[Any]) -> None:
        address = array.__array_interface__["data"][0]
        self.array, self.__array_interface__ = array, {
            **array.__array_interface__, "data": (address, False),
        }  # fmt: skip


def writable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as one that may be written to, of the same memory; nothing should be.

    Numba compiles once more for a read-only array, which takes seconds, and torch warns of one.
    """
    return array if array.flags.writeable else np.asarray(_Writable(array))
