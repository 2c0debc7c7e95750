"""What Pillow leaves out of the meaning of a TIFF: wide samples, planes, palettes of 8 bits."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile

from augfeed.read import to_uint8
from augfeed.read.exif import UPRIGHT, stated_by_xmp

_ORIENTATION, _XMP = 274, 700
_BITS, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES = 258, 262, 266, 277
_PLANES, _COLORS, _EXTRA, _FORMAT, _SUBSAMPLING = 284, 320, 338, 339, 530
_WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR, _LAB = 0, 2, 3, 6, 8
_SIGNED, _FLOAT = 2, 3
_SEPARATE = 2
UNKNOWN = "unknown pixel mode"  # what Pillow says of a sound file
NOT_READ = (
    "its samples are of a form that is not read (other bands than gray, RGB or CMYK, or floats of "
    "other than 32 bits in one band): save it as gray or RGB of 8 or 16 bits, or let a dataset of "
    "your own give it as an array [H, W, C]"
)
_CONVERT = "convert it to unsigned samples of 8 or 16 bits, pixel by pixel"


def check(image: TiffImageFile) -> None:
    """Raise `Unfit` for what has no agreed meaning, or what Pillow would read wrong."""
    tags = image.tag_v2
    bits, kind = _first(tags.get(_BITS), 1), _first(tags.get(_FORMAT), 1)
    if kind == _SIGNED:
        raise to_uint8.Unfit(
            f"its samples are signed, and white in them is not defined: {_CONVERT}"
        )
    if kind != _FLOAT and bits > 16:
        raise to_uint8.Unfit(f"its samples of {bits} bits have no agreed white: {_CONVERT}")
    photometric, raw = _photometric(image), image.info.get("compression") == "raw"
    if photometric == _YCBCR and raw:
        subsampled = tuple(tags.get(_SUBSAMPLING, (1, 1))) != (1, 1)
        if subsampled or image.mode != "YCbCr":  # older Pillow opens it as RGB
            raise to_uint8.Unfit("its YCbCr samples are not compressed: convert it to RGB")
    if tags.get(_PLANES) == _SEPARATE:
        count = tags.get(_SAMPLES, 1)
        plain = bits == 8 and tags.get(_FILL_ORDER, 1) == 1 and photometric != _WHITE_IS_ZERO
        undeclared = photometric == _RGB and count > 3 and _EXTRA not in tags
        mixed = count > 1 and (undeclared or photometric in (_PALETTE, _LAB))
        if mixed or (raw and not plain):
            raise to_uint8.Unfit("its samples lie in separate planes: store it pixel by pixel")


def orientation(image: TiffImageFile) -> int:
    """Return the orientation of a TIFF that is not loaded, but for what Pillow turns as it loads.

    It turns by the tag, and swaps the size when it opens. Without the tag it would turn by XMP, at
    a size that is not swapped: `prepare` keeps that from it.
    """
    if _ORIENTATION in image.tag_v2:
        return UPRIGHT
    text = image.tag_v2.get(_XMP, b"")
    text = text[0] if isinstance(text, tuple) and text else text
    return (stated_by_xmp(text) if isinstance(text, bytes) else None) or UPRIGHT


def prepare(image: TiffImageFile) -> None:
    """Leave turning by XMP to `orientation`; take floats in the order of bytes of libtiff."""
    image.info.pop("xmp", None)
    image.tile = [
        tile._replace(args=("F;32NF", *cast(Any, tile.args)[1:]))
        if tile.codec_name == "libtiff" and tile.args and tile.args[0] == "F;32BF"
        else tile
        for tile in image.tile
    ]


def gray(image: TiffImageFile) -> NDArray[np.uint8]:
    """Return the gray image in a loaded TIFF of wide samples, uint8 `[h, w]`, black at 0."""
    values = np.array(image)
    inverted = _photometric(image) == _WHITE_IS_ZERO
    if values.dtype.kind == "f":
        return to_uint8.of_floats(1 - values if inverted else values)
    found = to_uint8.of_integers(values, _first(image.tag_v2.get(_BITS), 16))
    return 255 - found if inverted else found


def colors(image: TiffImageFile) -> NDArray[np.uint8]:
    """Return the image in a loaded TIFF with a palette, uint8 `[h, w, 3]`.

    Palettes have 16 bits; one without a larger value than 255 was written with 8.
    """
    table = np.array(image.tag_v2[_COLORS], np.int64)
    numbers = np.array(image.getchannel(0))
    count = len(table) // 3
    if int(numbers.max()) >= count:
        raise ValueError(f"color {int(numbers.max())} is not among the {count} of its palette")
    wide = int(table.max()) > 255
    palette = (table >> 8 if wide else table).astype(np.uint8).reshape(3, count).T
    pixels: NDArray[np.uint8] = palette[numbers]
    return pixels


def _photometric(image: TiffImageFile) -> int:
    # Without the tag Pillow takes white for zero, at 8 bits too.
    return int(image.tag_v2.get(_PHOTOMETRIC, _WHITE_IS_ZERO))


def _first(value: Any, default: int) -> int:
    return int(value[0]) if isinstance(value, tuple) and value else int(value or default)
