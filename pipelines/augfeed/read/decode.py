"""Encoded images to arrays: JPEG through libjpeg-turbo, every other format through Pillow."""

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
import simplejpeg
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import __version__ as pillow_version
from PIL.ImageFile import ImageFile

from augfeed.errors import ReadError
from augfeed.memory_pool import Memory
from augfeed.read import jpeg, low_bytes, pil_image, png, tiff, to_uint8
from augfeed.read.decode_memory import decoded_bytes, decoding
from augfeed.read.exif import UPRIGHT, Picture, stated, stated_by_xmp, upright, upright_size
from augfeed.read.jpeg import Header as JpegHeader

Channels = Literal[1, 3]
MAX_PIXELS = 178_956_970  # declared by one file; Pillow's own limit
READER = 2  # rises when the same file would give other pixels
MAX_SCANS = 100  # of a progressive JPEG: each goes over all pixels; encoders write about ten

# Pillow's `open` would warn of large images, through state that all threads share, and would try
# formats that run other programs; so its readers are called here. TGA has no mark of its own.
_READERS: dict[str, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "TGA": TgaImagePlugin.TgaImageFile,
}
_QUIET = threading.Lock()
_REMOVE = "fetch the file again, or remove it"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an encoded image says.

    `size` is (height, width) as stored, `orientation` that of EXIF, 1 to 8, `jpeg` that of a
    JPEG, else None.
    """

    size: tuple[int, int]
    orientation: int
    jpeg: JpegHeader | None

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) after the EXIF orientation."""
        return upright_size(self.size, self.orientation)


def read_image_header(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Return what the header of an encoded image says; nothing else is read.

    Raises `ReadError` that names the file, also for one that declares more than `max_pixels`.
    """
    if data.startswith(jpeg.MAGIC):
        header = _jpeg_header(data, name, max_pixels)
        return ImageHeader((header.height, header.width), header.orientation, header)
    with guarded(name), open_image(data, name, max_pixels) as image:
        orientation = orientation_of(image, data)
        return ImageHeader((image.height, image.width), orientation, None)


def reader_version() -> str:
    """Return a text that names all that pixels depend on but the file: code and libraries."""
    libraries = {"simplejpeg": simplejpeg.__version__, "pillow": pillow_version}
    return f"reader {READER}, " + ", ".join(
        f"{name} {version}" for name, version in libraries.items()
    )


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Return `(height, width)` of an encoded image after its EXIF orientation.

    Only the header is read. Raises `ReadError` that names the file.
    """
    return read_image_header(data, name).upright


def decode(
    data: bytes,
    name: str,
    channels: Channels,
    memory: Memory | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Return an encoded image as uint8 `[h, w, channels]`, C-contiguous, turned upright by EXIF.

    Of several images in one file the first counts. Alpha is dropped, color profiles are not
    applied; 16 bits are cut to the upper 8, floats must lie in [0, 1]. Raises `ReadError`, naming
    the file, for what cannot be decoded in full, has no agreed white (integers that are signed or
    have 32 bits), has 8 bits in place of 16, or declares more than `max_pixels` pixels.
    A JPEG is decoded into a block of `memory`.
    """
    if not data.startswith(jpeg.MAGIC):
        with guarded(name), open_image(data, name, max_pixels) as image:
            orientation, wide = orientation_of(image, data), low_bytes.is_wide(image)
            with decoding(decoded_bytes((image.height, image.width), None), name):
                made = _pixels(image, channels)
                if wide:
                    again = partial(open_image, data, name, max_pixels)
                    low_bytes.check(image, again, load_pixels)
                return upright(made, orientation)
    header = _jpeg_header(data, name, max_pixels)
    size = header.height, header.width
    with decoding(decoded_bytes(size, header), name):
        pixels = decode_jpeg(data, header, channels, memory or Memory())
        if pixels is not None:
            return upright(pixels, header.orientation)
    # Rare encodings, and damage: Pillow says which, and what is wrong.
    with (
        decoding(decoded_bytes(size, None), name),
        guarded(name),
        JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image,
    ):
        return upright(_pixels(image, channels), header.orientation)


def decode_jpeg(
    data: bytes, header: JpegHeader, channels: Channels, memory: Memory, scale: int = 1
) -> Picture | None:
    """Return a JPEG as stored, uint8 `[ceil(h / scale), ceil(w / scale), channels]`.

    `scale` is 1, 2, 4 or 8. None if libjpeg-turbo refuses it, or finds damage, or it is CMYK.
    """
    if header.components == 4:
        return None
    height, width = -(-header.height // scale), -(-header.width // scale)
    pixels: Picture = memory.take((height, width, channels), np.uint8)
    space = "RGB" if channels == 3 else "GRAY"
    smallest = {} if scale == 1 else {"min_height": height, "min_width": width}
    try:
        made = simplejpeg.decode_jpeg(data, space, buffer=pixels, **smallest)
    except (ValueError, KeyError, RuntimeError):
        return None
    return pixels if made.shape == pixels.shape else None


def _jpeg_header(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> JpegHeader:
    header = jpeg.read_header(data)
    if header is None:
        raise ReadError(f"{name}: its JPEG header is cut short or malformed: {_REMOVE}")
    _check_size(header.height, header.width, name, max_pixels)
    if header.progressive and (count := jpeg.scans(data)) > MAX_SCANS:
        raise ReadError(
            f"{name}: has {count} scans, more than the {MAX_SCANS} that are decoded: {_REMOVE}"
        )
    if not header.fits(len(data)):
        raise ReadError(
            f"{name}: declares {header.width} x {header.height} pixels, more than its {len(data)} "
            f"bytes can hold: {_REMOVE}"
        )
    return header


def _check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ReadError(
            f"{name}: declares {width} x {height} pixels, more than the {max_pixels} that are "
            "decoded: scale the image down, remove it, or raise max_pixels"
        )


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a `ReadError`."""
    try:
        yield
    except ReadError:
        raise
    except to_uint8.Unfit as error:  # the file is as its writer meant it
        raise ReadError(f"{name}: {error}") from error
    except Exception as error:  # Pillow raises some dozen types on broken files
        raise ReadError(f"{name}: cannot be decoded ({error}): {_REMOVE}") from error


def open_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Return an image of any format but JPEG whose header is read; raise `ReadError`."""
    if not data:
        raise ReadError(f"{name}: is empty: {_REMOVE}")
    if data.startswith(png.MAGIC):
        data = png.without_words(data)
    reason = "is not an image in a format that is read"
    for kind, reader in _READERS.items():
        accept = Image.OPEN[kind][1]
        if accept is not None and not accept(data[:16]):
            continue
        try:
            image = reader(io.BytesIO(data))
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if str(error) == tiff.UNKNOWN:
                raise to_uint8.Unfit(tiff.NOT_READ) from error
            if accept is not None:
                reason = f"has a broken {kind} header ({error})"
            continue
        _check_size(image.height, image.width, name, max_pixels)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            tiff.check(image)
            tiff.prepare(image)
        return image
    raise ReadError(f"{name}: {reason}: {_REMOVE}, or convert it to JPEG or PNG")


def orientation_of(image: ImageFile, data: bytes) -> int:
    """Return the EXIF orientation of an image that is not loaded yet."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return tiff.orientation(image)
    if data.startswith(png.MAGIC):
        return png.orientation(data)
    found = stated(image.info.get("exif", b""))
    return found or stated_by_xmp(image.info.get("xmp", b"")) or UPRIGHT


def load_pixels(image: ImageFile) -> None:
    """Decode an image that is open, whatever its size."""
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or MAX_PIXELS):
        image.load()
        return
    with _QUIET, warnings.catch_warnings():  # the filters belong to all threads
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image.load()


def _pixels(image: ImageFile, channels: Channels) -> Picture:
    load_pixels(image)
    image.info.pop("transparency", None)  # else the image would be copied without it
    return pil_image.levels(cast(Image.Image, image), channels)
