"""Images of Pillow, in any of its modes, as the pixels that are worked with."""

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from augfeed.read import tiff, to_uint8
from augfeed.read.exif import Picture


def is_wide(image: Image.Image) -> bool:
    """Return whether it is gray of more than 8 bits: integers of 16 or 32, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def levels(image: Image.Image, channels: int) -> Picture:
    """Return a loaded image as uint8 `[h, w, channels]`, of 1 or 3 channels; alpha is dropped.

    The image stays as it is. Raises `to_uint8.Unfit` for what has no agreed meaning.
    """
    as_tiff = image if isinstance(image, TiffImageFile) else None
    if is_wide(image):
        gray = tiff.gray(as_tiff) if as_tiff else to_uint8.levels(np.array(image))
        return np.stack([gray] * channels, axis=2)
    if as_tiff and image.mode in ("P", "PA"):
        image = Image.fromarray(tiff.colors(as_tiff))
    elif image.mode == "La":  # its colors are multiplied by alpha
        image = image.convert("LA")
    elif image.mode not in ("L", "LA", "1", "RGB", "RGBA"):
        image = _opaque(image).convert("RGB")
    plain = _opaque(image).convert("RGB" if channels == 3 else "L")
    pixels: Picture = np.array(plain)
    return pixels.reshape(plain.height, plain.width, channels)


def _opaque(image: Image.Image) -> Image.Image:
    # `convert` would warn that a transparent color is dropped.
    if "transparency" not in image.info:
        return image
    image = image.copy()
    del image.info["transparency"]
    return image
