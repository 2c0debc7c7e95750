"""One encoded picture to a frame, decoded at the scale that its window needs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.kernels.part import resample_part
from augfeed.kernels.resample import CONSTANT, resample
from augfeed.memory import Memory
from augfeed.read.cut import Four, Pair, View, scale_for, scaled_box
from augfeed.read.decode import MAX_PIXELS, Channels, decode, decode_jpeg, look
from augfeed.read.exif import Picture, upright

# Orientations in which the first row, or column, of the upright picture is the last one stored.
_FROM_BELOW, _FROM_RIGHT = (3, 4, 7, 8), (2, 3, 6, 7)


class Encoded:
    """An encoded picture whose header has been read."""

    __slots__ = ("channels", "data", "look", "max_pixels", "memory", "name")

    def __init__(
        self,
        data: bytes,
        name: str,
        channels: Channels,
        memory: Memory,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Read the header; raise `ReadError` that names the file."""
        self.data, self.name, self.channels, self.memory = data, name, channels, memory
        self.max_pixels, self.look = max_pixels, look(data, name, max_pixels)

    def whole(self) -> Picture:
        """Return the picture, uint8 `[h, w, C]`, upright; raise `ReadError` naming the file."""
        return decode(self.data, self.name, self.channels, self.memory, self.max_pixels)

    def show(self, view: View, out: NDArray[Any], pad: tuple[int, float] = (CONSTANT, 0.0)) -> None:
        """Write what a window shows of the picture to `out`, uint8 `[H, W, C]`.

        `pad` is the mode and fill of `resample`. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size
        where that has the pixels that are shown. Raises `ReadError` naming the file.
        """
        scale = scale_for(view) if view.inside((out.shape[0], out.shape[1])) else 1
        if scale == 1 or not self._show_scaled(view, scale, out):
            resample(self.whole(), *view, *pad, out)

    def shrunk(self, size: Pair) -> Picture:
        """Return the whole picture resized with antialiasing to `size`, uint8 `[h, w, C]`."""
        height, width = self.look.upright
        if (height, width) == size:
            return self.whole()
        out: Picture = self.memory.take((*size, self.channels), np.uint8)
        self.show(View((0, 0, height, width), size, (0, 0)), out)
        return out

    def _frame(self, scale: int) -> Four:
        # A stored side that is no whole number of blocks is short at its end, which may come first
        # in the upright picture.
        height, width = self.look.upright
        held = self.look.held
        short_y = -height % scale if held in _FROM_BELOW else 0
        short_x = -width % scale if held in _FROM_RIGHT else 0
        return height, width, short_y, short_x

    def _show_scaled(self, view: View, scale: int, out: NDArray[Any]) -> bool:
        # Whether it worked: if not, the decoders of whole pictures judge the file.
        header = self.look.header
        if header is None:
            return False
        picture = decode_jpeg(self.data, header, self.channels, self.memory, scale)
        if picture is None:
            return False
        box, inner = scaled_box(view.box, self._frame(scale), scale)
        picture = upright(picture, self.look.held)
        resample_part(picture, box, inner, view.resized, view.offset, out)
        return True
