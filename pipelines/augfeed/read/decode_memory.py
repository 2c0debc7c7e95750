"""Room for images while they are decoded: a bound on their bytes that threads share."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from augfeed.errors import ReadError
from augfeed.read.jpeg import Header

# Measured, with what decoders keep beside the pixels: libjpeg's coefficients of a progressive
# image, Pillow's four bytes a pixel and the copies between it and NumPy.
LINES, SCANS, WHOLE = 6, 6, 16  # bytes a pixel


class DecodeMemory:
    """So many bytes for decoding; a thread that finds none left waits for those before it."""

    def __init__(self, limit: int, cure: str) -> None:
        """Hold nothing yet; `cure` says how the limit is raised."""
        self.limit, self.cure, self.used = limit, cure, 0
        self._line: deque[object] = deque()
        self._change = threading.Condition()

    def check(self, nbytes: int, name: str) -> None:
        """Raise `ReadError` naming an image that would never have room."""
        if nbytes > self.limit:
            raise ReadError(
                f"{name}: takes {nbytes:,} bytes while it is decoded, above {self.limit:,}: scale "
                f"the image down, or {self.cure}"
            )

    @contextmanager
    def reserved(self, nbytes: int) -> Iterator[None]:
        """Hold some bytes, once they are free and nobody waits who came before."""
        me = object()
        with self._change:
            self._line.append(me)
            self._change.wait_for(lambda: self._line[0] is me and self.used + nbytes <= self.limit)
            self._line.popleft()
            self.used += nbytes
            self._change.notify_all()
        try:
            yield
        finally:
            with self._change:
                self.used -= nbytes
                self._change.notify_all()


class _Own(threading.local):
    room: DecodeMemory | None = None
    reserved = False


_own = _Own()


def use_decode_memory(room: DecodeMemory | None) -> None:
    """Have the calling thread decode within a room; None: without a bound, as at first."""
    _own.room = room


@contextmanager
def decoding(nbytes: int, name: str, upto: int = 0) -> Iterator[None]:
    """Hold room for an image in a thread that has one; nothing more where it holds some already.

    So a thread never waits while it holds room, and threads cannot wait for each other. `upto` is
    what may be needed on the way, of which as much is held as there is in all. Raises `ReadError`
    naming the image if it is larger than all of the room.
    """
    room = _own.room
    if room is None:
        yield
        return
    room.check(nbytes, name)
    if _own.reserved:
        yield
        return
    with room.reserved(max(nbytes, min(upto, room.limit))):
        _own.reserved = True
        try:
            yield
        finally:
            _own.reserved = False


def decoded_bytes(size: tuple[int, int], header: Header | None, scale: int = 1) -> int:
    """Return how many bytes the decoding of an image of (height, width) takes, at 1 / `scale`."""
    pixels = size[0] * size[1]
    if header is None:
        return WHOLE * pixels
    shown = LINES * -(-pixels // scale**2)
    plain = header.huffman and not header.progressive and header.interleaved
    return shown if plain else shown + SCANS * pixels
