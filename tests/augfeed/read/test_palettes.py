"""GIF and lossless WebP: the colors that were written come out, of every kind of image."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from augfeed.read.decode import decode

SHAPE = (13, 21)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(*shape: int, high: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(len(shape)).integers(0, high, shape, np.uint8)


def assert_holds(data: bytes, colors: NDArray[Any]) -> None:
    np.testing.assert_array_equal(decode(data, "a", 3), colors)
    luma = colors @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode(data, "a", 1)[..., 0] - luma).max() <= 1


@pytest.mark.parametrize("count", [2, 4, 8, 16, 64, 256])
@pytest.mark.parametrize("transparent", [None, 1])
@pytest.mark.parametrize("interlace", [0, 1])
def test_a_gif_has_the_colours_of_its_palette(
    count: int, transparent: int | None, interlace: int
) -> None:
    numbers, palette = noise(*SHAPE, high=count), noise(count, 3)
    image = Image.fromarray(numbers)
    image.putpalette(palette.tobytes())
    options = {} if transparent is None else {"transparency": transparent}
    data = encoded(image, "GIF", interlace=interlace, optimize=False, **options)
    assert_holds(data, palette[numbers])


@pytest.mark.parametrize("mode", ["L", "1"])
def test_a_gif_of_greys_has_its_greys(mode: str) -> None:
    gray = noise(*SHAPE) if mode == "L" else noise(*SHAPE, high=2) * np.uint8(255)
    image = Image.fromarray(gray)
    data = encoded(image if mode == "L" else image.convert("1"), "GIF")
    assert_holds(data, gray[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_lossless_webp_has_its_pixels_with_and_without_alpha(channels: int) -> None:
    pixels = noise(*SHAPE, channels)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    data = encoded(image, "WEBP", lossless=True, exact=True)
    assert_holds(data, np.broadcast_to(pixels[..., :3], (*SHAPE, 3)))


def test_black_and_white_stay_so_in_a_lossy_webp() -> None:
    for level in (0, 255):
        data = encoded(Image.new("RGB", SHAPE[::-1], (level,) * 3), "WEBP", quality=90)
        assert np.abs(decode(data, "a", 3).astype(int) - level).max() <= 1
