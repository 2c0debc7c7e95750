"""Label images: files whose pixels are numbers of classes, not colors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from augfeed.errors import InputError, ReadError
from augfeed.read import jpeg, png
from augfeed.read.decode import MAX_PIXELS, guarded, load_pixels, open_image, orientation_of
from augfeed.read.decode_memory import decoded_bytes, decoding
from augfeed.read.exif import upright

Numbers = NDArray[Any]
Colors = Mapping[tuple[int, int, int], int]
_GRAY = 0  # the color type of a PNG
# Pillow spreads gray levels of few bits over 0 to 255.
_SPREAD = {2: 85, 4: 17}


def decode_numbers(
    data: bytes, name: str, colors: Colors | None = None, max_pixels: int = MAX_PIXELS
) -> Numbers:
    """Return the numbers that the pixels of a label image hold: uint8 or int32 `[h, w]`.

    Of a file with a palette they are the indices, not the colors; gray levels are taken as they are
    stored, also with 1, 2, 4 or 16 bits; of three equal channels one counts. `colors` are the
    numbers of colors, for files that hold no numbers. The image is turned upright by its own EXIF
    orientation. Raises `ReadError`, naming the file, for a JPEG, which blurs numbers, for other
    colors, floats and alpha, and for what cannot be decoded.
    """
    if data.startswith(jpeg.MAGIC):
        raise ReadError(
            f"{name}: is a JPEG, which does not keep the numbers of classes as they are: save "
            "masks as PNG, from where they were made"
        )
    with guarded(name), open_image(data, name, max_pixels) as image:
        orientation = orientation_of(image, data)
        with decoding(decoded_bytes((image.height, image.width), None), name):
            load_pixels(image)
            numbers = _numbers(image, data, name, colors)
    turned: Numbers = upright(numbers[..., None], orientation)[..., 0]
    return turned


def _numbers(image: ImageFile, data: bytes, name: str, colors: Colors | None) -> Numbers:
    mode = image.mode
    if mode in ("RGB", "RGBA") or colors is not None:
        return _of_colors(image, name, colors)
    if mode == "1":
        return np.array(image).astype(np.uint8)
    if mode == "L":
        levels = np.array(image)
        spread = _SPREAD.get(data[24]) if _is_gray_png(data) else None
        return levels if spread is None else levels // spread
    if mode == "P":
        return np.array(image)
    if mode.startswith("I"):
        return np.array(image).astype(np.int32)
    raise ReadError(
        f"{name}: is an image of mode {mode!r}, whose pixels are not numbers of classes: save it "
        "with one channel of 8 or 16 bits, or with a palette"
    )


def _is_gray_png(data: bytes) -> bool:
    return data.startswith(png.MAGIC) and len(data) > 25 and data[25] == _GRAY


def _of_colors(image: ImageFile, name: str, colors: Colors | None) -> Numbers:
    plain: Image.Image = image.convert("RGB") if image.mode != "RGB" else image
    pixels = np.array(plain)
    if colors is None:
        first = pixels[..., 0]
        if image.mode == "RGB" and (pixels == first[..., None]).all():
            return np.ascontiguousarray(first)
        raise ReadError(
            f"{name}: is an image of mode {image.mode!r}, whose colors are not numbers of classes: "
            "say what they stand for, as colors={(128, 0, 0): 1}, or save it with one channel"
        )
    packed = (pixels.astype(np.int32) * np.array([1 << 16, 1 << 8, 1], np.int32)).sum(axis=2)
    known = np.array(sorted((r << 16 | g << 8 | b, number) for (r, g, b), number in colors.items()))
    at = np.minimum(np.searchsorted(known[:, 0], packed), len(known) - 1)
    wrong = known[at, 0] != packed
    if wrong.any():
        y, x = np.argwhere(wrong)[0].tolist()
        raise ReadError(
            f"{name}: has the color {tuple(pixels[y, x].tolist())} at x={x}, y={y}, which is not "
            "in colors: add it, or fix the mask"
        )
    found: Numbers = known[at, 1].astype(np.int32)
    return found


def check_colors(colors: Any) -> Colors | None:
    """Return numbers of colors; raise `InputError` for what is not a dict of them."""
    if colors is None:
        return None
    try:
        made = {(int(r), int(g), int(b)): int(number) for (r, g, b), number in colors.items()}
    except (AttributeError, TypeError, ValueError):
        made = {}
    if not made or any(not 0 <= part <= 255 for color in made for part in color):
        raise InputError(
            f"colors={colors!r} are not numbers of colors: give a dict as {{(128, 0, 0): 1}}, of "
            "red, green and blue from 0 to 255"
        )
    return made


__all__ = ["Colors", "Numbers", "check_colors", "decode_numbers"]
