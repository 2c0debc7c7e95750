"""One encoded image to a frame: of a JPEG what its window needs, at the scale that it needs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import CONSTANT
from augfeed.kernels.resample import resample
from augfeed.kernels.resample_box import resample_parts
from augfeed.memory_pool import Memory
from augfeed.read.crop import Four, Pair, View, hull, needed, scale_for, scaled_box
from augfeed.read.decode import MAX_PIXELS, Channels, decode, decode_jpeg, read_image_header
from augfeed.read.decode_memory import decoded_bytes, decoding
from augfeed.read.exif import UPRIGHT, Picture, shortened, stored_box, upright
from augfeed.read.jpeg import Header
from augfeed.read.jpeg_crop import decode_window


class Encoded:
    """An encoded image whose header has been read."""

    __slots__ = ("channels", "data", "header", "max_pixels", "memory", "name")

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
        self.max_pixels, self.header = max_pixels, read_image_header(data, name, max_pixels)

    @property
    def in_lines(self) -> Header | None:
        """The header, if `decode_frames` may make frames of windows that need no padding."""
        header = self.header.jpeg
        if header is None or self.header.orientation != UPRIGHT or not header.runs_on(self.data):
            return None
        return header

    def decoded(self) -> Picture:
        """Return the image, uint8 `[h, w, C]`, upright; raise `ReadError` naming the file."""
        return decode(self.data, self.name, self.channels, self.memory, self.max_pixels)

    def show(self, view: View, out: NDArray[Any], pad: tuple[int, Any] | None = None) -> None:
        """Write what a window shows of the image to `out`, uint8 `[H, W, C]`.

        `pad` is the mode and fill of `resample`; without it black. Of a JPEG only what is shown is
        decoded where that can be, at 1/2, 1/4 or 1/8 of its size where that has the pixels that are
        shown. Raises `ReadError` naming the file.
        """
        if view.inside((out.shape[0], out.shape[1])) and self.header.jpeg is not None:
            scale = scale_for(view)
            with decoding(self.decoded_bytes(scale), self.name):
                if self._show_part(view, scale, out):
                    return
        # A damaged JPEG is found as such on the way, and then takes what other formats do.
        upto = decoded_bytes(self.header.size, None)
        with decoding(self.decoded_bytes(), self.name, upto):
            mode, fill = pad or (CONSTANT, np.zeros(self.channels))
            resample(self.decoded(), *view, mode, fill, out)

    def show_all(
        self,
        views: Sequence[View],
        outs: Sequence[NDArray[Any]],
        pad: tuple[int, Any],
        *,
        scale: int | None = None,
    ) -> None:
        """Write what each window shows to its array, as `show` does, of one decoded image.

        What any of them shows is decoded, at the smallest scale that serves all, or at `scale`.
        """
        fit = all(view.inside((out.shape[0], out.shape[1]))
                  for view, out in zip(views, outs, strict=True))  # fmt: skip
        if fit and self.header.jpeg is not None:
            scale = scale or min(map(scale_for, views))
            with decoding(self.decoded_bytes(scale), self.name):
                if self._show_parts(views, scale, outs):
                    return
        upto = decoded_bytes(self.header.size, None)
        with decoding(self.decoded_bytes(), self.name, upto):
            whole = self.decoded()
            for view, out in zip(views, outs, strict=True):
                resample(whole, *view, *pad, out)

    def decoded_bytes(self, scale: int = 1) -> int:
        """Return how many bytes its decoding takes at most, at 1 / `scale` of its size."""
        return decoded_bytes(self.header.size, self.header.jpeg, scale)

    def shrunk(self, size: Pair) -> Picture:
        """Return the whole image resized with antialiasing to `size`, uint8 `[h, w, C]`."""
        height, width = self.header.upright
        if (height, width) == size:
            return self.decoded()
        out: Picture = self.memory.take((*size, self.channels), np.uint8)
        self.show(View((0, 0, height, width), size, (0, 0)), out)
        return out

    def _show_part(self, view: View, scale: int, out: NDArray[Any]) -> bool:
        return self._show_parts([view], scale, [out])

    def _show_parts(self, views: Sequence[View], scale: int, outs: Sequence[NDArray[Any]]) -> bool:
        # Whether it worked: if not, the decoders of whole images judge the file.
        header, frame = self.header.jpeg, self._frame(scale)
        if header is None:
            return False
        boxes = [scaled_box(view.box, frame, scale) for view in views]
        windows = [needed(view, *box, (out.shape[0], out.shape[1]))
                   for view, box, out in zip(views, boxes, outs, strict=True)]  # fmt: skip
        part = self._part(header, scale, hull(windows))
        if part is None:
            return False
        picture, top, left = part
        whole = [
            (box[0] - top, box[1] - left, *box[2:], *view.resized, *view.offset, view.kind,
             *_written(out, picture))
            for view, (box, _), out in zip(views, boxes, outs, strict=True)
        ]  # fmt: skip
        inner = np.array([inner for _, inner in boxes])
        resample_parts(np.ascontiguousarray(picture), inner, np.array(whole, np.int64))
        return True

    def _frame(self, scale: int) -> Four:
        # A stored side that is not a whole number of blocks is short at its end, which may come
        # first in the upright image.
        height, width = self.header.upright
        short_y, short_x = shortened(self.header.orientation)
        return height, width, -height % scale * short_y, -width % scale * short_x

    def _part(self, header: Header, scale: int, window: Four) -> tuple[Picture, int, int] | None:
        # A part of the upright image with the window in it, and where its corner lies.
        orientation, (height, width) = self.header.orientation, self.header.upright
        size = -(-height // scale), -(-width // scale)
        if window[2:] != size:
            stored = stored_box(window, size, orientation)
            cut = decode_window(self.data, header, stored, scale, self.channels)
            if cut is not None:
                pixels, left = cut
                if orientation == UPRIGHT:
                    return pixels, window[0], left
                left = stored[1] - left
                return (
                    upright(pixels[:, left : left + stored[3]], orientation),
                    window[0],
                    window[1],
                )
        if scale == 1:
            return None
        picture = decode_jpeg(self.data, header, self.channels, self.memory, scale)
        return None if picture is None else (upright(picture, orientation), 0, 0)


def _written(out: NDArray[Any], picture: Picture) -> tuple[int, int, int]:
    # The address of a frame, its height and width.
    height, width, channels = out.shape
    if not out.flags.c_contiguous or out.dtype != np.uint8 or channels != picture.shape[2]:
        raise ValueError(f"{out.dtype} {out.shape} is not a frame without gaps of {picture.shape}")
    return out.__array_interface__["data"][0], height, width
