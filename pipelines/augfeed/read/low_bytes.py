"""Colors of 16 bits, of which Pillow keeps the upper 8: files that hold no more than 8 bits."""

import sys
from collections.abc import Callable
from typing import Any

from PIL.ImageFile import ImageFile

from augfeed.read import to_uint8

# How Pillow names the order of the two bytes, and the name of the other one, by which it keeps the
# lower 8 bits. Of gray with alpha it knows one order: there both bytes come as colors of 8 bits.
_TURNED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_wide(image: ImageFile) -> bool:
    """Return whether the colors of an image that is not loaded yet have 16 bits in its file."""
    return any(";16" in _raw_mode(tile) for tile in image.tile) and not image.mode.startswith("I")


def check(image: ImageFile, again: Callable[[], ImageFile], load: Callable[[Any], None]) -> None:
    """Raise `Unfit` for a loaded image of 16 bits that is all black and was not meant so.

    `again` opens it once more, `load` decodes it.
    """
    colors = 4 if image.mode == "CMYK" else 3
    if any(high for _, high in _extremes(image)[:colors]):
        return
    low = again()
    gray = any(_raw_mode(tile).startswith("LA") for tile in low.tile)
    low.tile = [tile._replace(args=_low(tile)) for tile in low.tile]
    load(low)
    highs = [high for _, high in _extremes(low)]
    to_uint8.check_white(highs[1] if gray else max(highs[:colors]))


def _extremes(image: ImageFile) -> Any:
    return image.getextrema()


def _raw_mode(tile: Any) -> str:
    args = tile.args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _low(tile: Any) -> Any:
    mode, _, order = _raw_mode(tile).partition(";16")
    # What is multiplied by alpha is wanted as it is stored.
    turned = "RGBA" if mode == "LA" else f"{mode.replace('a', 'A')};16{_TURNED[order]}"
    return (turned, *tile.args[1:]) if isinstance(tile.args, tuple) else turned
