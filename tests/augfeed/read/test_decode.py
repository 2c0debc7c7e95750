"""Decoding: formats, EXIF, damage."""

import io
import json
import os
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

from augfeed.errors import ReadError
from augfeed.read.decode import MAX_PIXELS, decode, picture_size
from augfeed.read.exif import orientation, upright
from augfeed.read.jpeg import read_header

BAD = Path(os.environ.get("AUGFEED_BAD_IMAGES", ""))
BAD_LIST = BAD / "expectations.json"
# Files that Pillow decodes and we refuse, with the reason.
STRICTER = {
    "jpeg_declares_8000x8000.jpg": "most of its pixels are not in it: Pillow makes them gray"
}
TOO_LONG_FOR_A_TEST = {"png_large_10000x10000_1bit.png"}

Pixels = NDArray[np.uint8]


def photo(height: int = 21, width: int = 33) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)]
    return np.stack(planes, axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(**options: Any) -> bytes:
    return encoded(Image.fromarray(photo()), "JPEG", quality=95, **options)


def exif(value: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = value
    return block.tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_decodes_as_pillow_does(options: dict[str, Any]) -> None:
    data = jpeg(**options)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data, "a.jpg", 3), expected)
    assert picture_size(data, "a.jpg") == (21, 33)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(10))
def test_exif_orientation_is_applied_as_pillow_does(kind: str, value: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(photo()), kind, exif=exif(value), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    got = decode(data, "a", 3)
    np.testing.assert_array_equal(got, expected)
    assert picture_size(data, "a") == got.shape[:2]
    assert got.flags.c_contiguous


def xmp(held: int) -> bytes:
    packet = f'<x:xmpmeta><rdf:Description tiff:Orientation="{held}"/></x:xmpmeta>'
    return packet.encode()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("held", [None, 1, 6])
def test_xmp_gives_the_orientation_where_exif_does_not(
    kind: str, value: int, held: int | None
) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700] = xmp(value)
        if held:
            tags[0x0112] = held
        options["tiffinfo"] = tags
    else:
        options |= {"xmp": xmp(value)} | ({"exif": exif(held)} if held else {})
    data = encoded(Image.fromarray(photo()), kind, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    got = decode(data, "a", 3)
    np.testing.assert_array_equal(got, expected)
    assert picture_size(data, "a") == got.shape[:2]


def test_an_exif_chunk_behind_the_pixels_of_a_png_counts() -> None:
    data = encoded(Image.fromarray(photo()), "PNG", exif=exif(6))
    at = data.index(b"eXIf") - 4
    size = 12 + int.from_bytes(data[at : at + 4], "big")
    chunk, rest = data[at : at + size], data[:at] + data[at + size :]
    end = rest.index(b"IEND") - 4
    moved = rest[:end] + chunk + rest[end:]
    assert picture_size(moved, "a.png") == (33, 21)
    np.testing.assert_array_equal(decode(moved, "a.png", 3), np.rot90(photo(), -1))


def test_upright_undoes_every_orientation() -> None:
    image = photo(3, 2)
    held: list[Callable[[Pixels], Pixels]] = [
        lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud,
        lambda a: a.transpose(1, 0, 2), lambda a: np.rot90(a, 1),
        lambda a: np.rot90(a, 2).transpose(1, 0, 2), lambda a: np.rot90(a, -1),
    ]  # fmt: skip
    for value, turn in enumerate(held, start=1):
        np.testing.assert_array_equal(upright(turn(image), value), image)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_a_broken_exif_block_counts_as_upright(block: bytes) -> None:
    for header in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        assert 1 <= orientation(header + block) <= 8


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_a_broken_jpeg_header_is_none_or_a_header(rest: bytes) -> None:
    header = read_header(b"\xff\xd8\xff" + rest)
    assert header is None or header.height * header.width > 0


def test_every_prefix_of_a_jpeg_is_an_error_and_never_a_crash() -> None:
    data = jpeg(exif=exif(6))
    for end in [*range(0, 700, 7), *range(700, len(data) - 1, 97), len(data) - 2]:
        with pytest.raises(ReadError, match=r"cut\.jpg: "):
            decode(data[:end], "cut.jpg", 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_a_truncated_file_of_any_format_is_an_error(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ReadError, match="cut: "):
            decode(data[: int(len(data) * share)], "cut", 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "PA"])
def test_modes_convert_as_pillow_does(mode: str) -> None:
    image = Image.fromarray(photo()).convert(mode)
    data = encoded(image, "TIFF" if mode in ("CMYK", "PA") else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode(data, "a", 3), expected)
    gray = decode(data, "a", 1)
    assert gray.shape == (21, 33, 1)
    luma = expected @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[..., 0] - luma).max() <= 1


def test_transparency_of_a_palette_is_dropped_without_a_warning() -> None:
    image = Image.fromarray(photo()).convert("P")
    data = encoded(image, "PNG", transparency=bytes(range(256)))
    np.testing.assert_array_equal(decode(data, "a.png", 3), np.asarray(image.convert("RGB")))


def test_a_cmyk_jpeg_decodes_as_pillow_does() -> None:
    data = encoded(Image.fromarray(photo()).convert("CMYK"), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode(data, "a.jpg", 3), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_jpeg_has_the_channels_asked_for(channels: Any) -> None:
    gray = photo()[..., 0]
    got = decode(encoded(Image.fromarray(gray), "JPEG", quality=100), "a.jpg", channels)
    assert got.shape == (21, 33, channels)
    assert np.abs(got[..., -1].astype(int) - gray).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_the_upper_eight(kind: str) -> None:
    values = np.linspace(0, 65535, 21 * 33).astype(np.uint16).reshape(21, 33)
    got = decode(encoded(Image.fromarray(values), kind), "a", 3)
    np.testing.assert_array_equal(got, (values >> 8)[:, :, None].repeat(3, axis=2))


def test_floats_from_zero_to_one_become_bytes() -> None:
    values = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    got = decode(encoded(Image.fromarray(values), "TIFF"), "a.tif", 1)
    np.testing.assert_array_equal(got[..., 0], np.rint(values * 255))


@pytest.mark.parametrize("values", [[0.0, 1.5], [-0.1, 1.0], [0.0, np.nan]])
def test_floats_out_of_range_are_an_error(values: list[float]) -> None:
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    with pytest.raises(ReadError, match=r"a\.tif: .*(not in \[0, 1\]|NaN)"):
        decode(data, "a.tif", 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: is empty"),
        (b"<html>not found</html>", "x: is not an image in a format that is read"),
        (bytes(4096), "x: is not an image"),
        (b"\xff\xd8\xff", "x: its JPEG header is cut short"),
        (b"\x89PNG\r\n\x1a\n", "x: has a broken PNG header"),
    ],
)
def test_what_is_not_an_image_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ReadError, match=message):
        picture_size(data, "x")
    with pytest.raises(ReadError, match=message):
        decode(data, "x", 3)


def declare(data: bytes, height: int, width: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize(("height", "width"), [(65500, 65500), (MAX_PIXELS // 60000 + 1, 60000)])
def test_an_image_that_declares_too_many_pixels_is_refused(height: int, width: int) -> None:
    for read in (picture_size, lambda data, name: decode(data, name, 3)):
        with pytest.raises(ReadError, match=rf"declares {width} x {height} pixels, more than the"):
            read(declare(jpeg(), height, width), "bomb.jpg")


def test_a_jpeg_too_short_for_its_pixels_is_refused_before_any_memory_is_taken() -> None:
    with pytest.raises(ReadError, match="declares 8000 x 8000 pixels, more than its"):
        decode(declare(jpeg(), 8000, 8000), "short.jpg", 3)


def test_the_densest_jpeg_is_not_taken_for_a_short_one() -> None:
    plain = Image.new("L", (4000, 4000), 128)
    for progressive in (False, True):
        data = encoded(plain, "JPEG", optimize=True, progressive=progressive)
        assert decode(data, "plain.jpg", 1).shape == (4000, 4000, 1)


def test_a_large_image_raises_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)  # 21 x 33 is more
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF"):
        data = encoded(Image.fromarray(photo()), kind)
        assert decode(data, "a", 3).shape == (21, 33, 3)


def bad_files() -> list[str]:
    return sorted(json.loads(BAD_LIST.read_text())["files"]) if BAD_LIST.is_file() else [""]


@pytest.mark.parametrize("name", bad_files())
def test_unusual_and_broken_files_decode_or_name_themselves(name: str) -> None:
    if not name:
        pytest.skip("AUGFEED_BAD_IMAGES names no folder with expectations.json")
    expected = json.loads(BAD_LIST.read_text())["files"][name]
    data = (BAD / "files" / name).read_bytes()
    if not expected["decodable_by_pillow"] or name in STRICTER:
        with pytest.raises(ReadError) as caught:
            decode(data, name, 3)
        assert str(caught.value).startswith(f"{name}: ")
        return
    width, height = expected["size_after_exif"]
    assert picture_size(data, name) == (height, width)
    if name in TOO_LONG_FOR_A_TEST:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = decode(data, name, 3)
    assert got.shape == (height, width, 3)
    mean = expected.get("mean_rgb_scaled_to_8bit", expected.get("mean_rgb"))
    np.testing.assert_allclose(got.mean(axis=(0, 1), dtype=np.float64), mean, atol=0.1)
    corners = expected.get("corner_rgb_after_exif", {})
    for corner, color in corners.items():
        y, x = (-4 if side in corner else 4 for side in ("bottom", "right"))
        assert np.abs(got[y, x].astype(int) - color).max() < 40


def _exif(held: int) -> bytes:
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, held, 0)
    block = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block


def test_the_first_exif_block_that_turns_an_image_counts() -> None:
    file = io.BytesIO()
    Image.new("RGB", (5, 3)).save(file, "JPEG")
    plain = file.getvalue()
    for blocks, held in (([], 1), ([1], 1), ([6], 6), ([1, 6], 6), ([3, 6], 3), ([1, 1, 8], 8)):
        header = read_header(plain[:2] + b"".join(map(_exif, blocks)) + plain[2:])
        assert header is not None and header.orientation == held


def test_very_many_exif_blocks_take_no_time_squared() -> None:
    file = io.BytesIO()
    Image.new("RGB", (5, 3)).save(file, "JPEG")
    header = read_header(file.getvalue()[:2] + _exif(1) * 200_000 + file.getvalue()[2:])
    assert header is not None and header.orientation == 1


@pytest.mark.parametrize(("sampling", "unit"), [("4:4:4", 8), ("4:2:2", 16), ("4:2:0", 16)])
def test_a_header_shows_how_wide_a_unit_is(sampling: str, unit: int) -> None:
    for mode, wanted in (("RGB", unit), ("L", 8)):
        file = io.BytesIO()
        options = {"subsampling": sampling} if mode == "RGB" else {}
        Image.new(mode, (50, 30)).save(file, "JPEG", **options)
        header = read_header(file.getvalue())
        assert header is not None and header.unit == wanted and header.interleaved
