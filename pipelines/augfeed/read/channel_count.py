"""How many channels an image has by itself, as Pillow would open it."""

from augfeed.errors import ReadError
from augfeed.read import jpeg
from augfeed.read.decode import Channels, guarded, open_image

# Color types of PNG whose mode is the same at all depths: palette and color, and gray without
# alpha, which at 16 bits is wide.
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {(0, 16): "I;16", (0, 8): "L", (2, 8): "RGB", (3, 8): "P", (6, 8): "RGBA"}
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def mode_channels(mode: str) -> Channels:
    """Return the channels of an image of a mode of Pillow: 1 if it is gray, 3 for all others."""
    return 1 if mode in ("1", "L", "LA", "I") or mode.startswith("I;16") else 3


def picture_mode(data: bytes, name: str) -> str:
    """Return the mode in which Pillow opens an encoded image, such as "L" or "RGB".

    Only the header is read. Raises `ReadError` that names the file.
    """
    if data.startswith(jpeg.MAGIC):
        header = jpeg.read_header(data)
        if header is None or header.components not in _JPEG_MODES:
            raise ReadError(
                f"{name}: its JPEG header is malformed: fetch the file again, or remove it"
            )
        return _JPEG_MODES[header.components]
    if data.startswith(_PNG) and len(data) > 25 and (mode := _PNG_MODES.get((data[25], data[24]))):
        return mode
    with guarded(name), open_image(data, name) as image:
        return str(image.mode)


__all__ = ["mode_channels", "picture_mode"]
