"""PNG: every depth, texts of any size, and the orientation in each place where one may stand."""

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from augfeed.errors import ReadError
from augfeed.read import png
from augfeed.read.decode import decode, picture_size, read_image_header

GRAY, COLOR, PALETTE, GRAY_ALPHA, COLOR_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GRAY: 1, COLOR: 3, PALETTE: 1, GRAY_ALPHA: 2, COLOR_ALPHA: 4}
DEPTHS = [
    *((GRAY, depth) for depth in (1, 2, 4, 8, 16)),
    *((PALETTE, depth) for depth in (1, 2, 4, 8)),
    *((kind, depth) for kind in (COLOR, GRAY_ALPHA, COLOR_ALPHA) for depth in (8, 16)),
]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed(values: NDArray[Any], depth: int) -> bytes:
    """Samples `[h, w, n]` as the lines of a PNG, most significant bit first."""
    bits = (values[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    lines = np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + line.tobytes() for line in lines)


def written(kind: int, depth: int, values: NDArray[Any], palette: bytes = b"") -> bytes:
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", palette) if palette else b""]
    parts += [chunk(b"IDAT", zlib.compress(packed(values, depth))), chunk(b"IEND", b"")]
    return png.MAGIC + b"".join(parts)


@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
def test_every_kind_and_depth_has_the_levels_that_its_samples_state(kind: int, depth: int) -> None:
    rng = np.random.default_rng(depth)
    values = rng.integers(0, 1 << depth, (13, 21, SAMPLES[kind]))
    values[0, :2, 0] = 0, (1 << depth) - 1  # black and white
    palette = rng.integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    data = written(kind, depth, values, palette.tobytes() if kind == PALETTE else b"")
    levels = values >> 8 if depth == 16 else values * 255 // ((1 << depth) - 1)
    expected = palette[values[..., 0]] if kind == PALETTE else levels[..., : SAMPLES[kind] | 1]
    expected = expected[..., :3] if kind in (COLOR, COLOR_ALPHA, PALETTE) else levels[..., :1]
    np.testing.assert_array_equal(decode(data, "a.png", 3), np.broadcast_to(expected, (13, 21, 3)))
    gray = decode(data, "a.png", 1)
    luma = np.broadcast_to(expected, (13, 21, 3)) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[..., 0] - luma).max() <= 1


PIXELS = np.arange(40 * 24 * 3, dtype=np.uint8).reshape(24, 40, 3)


def plain() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


def with_chunk(body: bytes, *, last: bool = False) -> bytes:
    data = plain()
    at = data.index(b"IEND") - 4 if last else data.index(b"IDAT") - 4
    return data[:at] + body + data[at:]


def text_chunk(kind: bytes, key: bytes, text: bytes) -> bytes:
    """A text in one of the three kinds; `iTXt+` is the compressed form of iTXt."""
    match kind:
        case b"tEXt":
            body = key + b"\0" + text
        case b"zTXt":
            body = key + b"\0\0" + zlib.compress(text)
        case b"iTXt":
            body = key + b"\0\0\0\0\0" + text
        case _:
            body = key + b"\0\1\0\0\0" + zlib.compress(text)
    return chunk(kind[:4], body)


KINDS = (b"tEXt", b"zTXt", b"iTXt", b"iTXt+")


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize("size", [3 << 20, 20 << 20])
@pytest.mark.parametrize("kind", KINDS)
def test_text_of_any_kind_and_size_touches_no_pixel(kind: bytes, size: int, last: bool) -> None:
    data = with_chunk(text_chunk(kind, b"workflow", b"node" * (size // 4)), last=last)
    assert picture_size(data, "a.png") == (24, 40)
    np.testing.assert_array_equal(decode(data, "a.png", 3), PIXELS)


def test_very_many_texts_touch_no_pixel() -> None:
    texts = text_chunk(b"zTXt", b"history", b"step" * 200_000) * 100  # 76 MiB unpacked
    np.testing.assert_array_equal(decode(with_chunk(texts), "a.png", 3), PIXELS)


def test_a_large_colour_profile_touches_no_pixel() -> None:
    profile = b"press\0\0" + zlib.compress(bytes(3 << 20))
    np.testing.assert_array_equal(decode(with_chunk(chunk(b"iCCP", profile)), "a", 3), PIXELS)


@cache
def bomb(kind: bytes) -> bytes:
    return text_chunk(kind, b"bomb", bytes(64 << 20))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt+"])
@pytest.mark.parametrize("last", [False, True])
def test_a_text_made_to_fill_a_memory_is_refused(kind: bytes, last: bool) -> None:
    data = with_chunk(bomb(kind), last=last)
    for read in (picture_size, lambda data, name: decode(data, name, 3)):
        with pytest.raises(ReadError, match=r"bomb\.png: a text in it takes more than 32 MiB"):
            read(data, "bomb.png")


def test_a_damaged_text_is_damage() -> None:
    data = bytearray(with_chunk(text_chunk(b"tEXt", b"note", b"abc")))
    data[data.index(b"note") + 6] ^= 1
    with pytest.raises(ReadError, match=r"a\.png: has a broken PNG header"):
        decode(bytes(data), "a.png", 3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"]),
                          st.binary(max_size=40)), max_size=4))  # fmt: skip
def test_any_sound_chunk_of_words_leaves_the_pixels(parts: list[tuple[bytes, bytes]]) -> None:
    data = with_chunk(b"".join(chunk(*part) for part in parts))
    np.testing.assert_array_equal(decode(data, "a.png", 3), PIXELS)
    assert 1 <= png.orientation(data) <= 8


def exif(held: int, order: str = "<") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, held, 0)
    return head + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def raw_profile(block: bytes) -> bytes:
    """As ImageMagick writes it: name, length, hexadecimal digits in lines of 72."""
    digits = block.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\nexif\n{len(block):8d}\n{lines}\n".encode()


XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description {}/></x:xmpmeta>"


def stating(held: int) -> dict[str, bytes]:
    """Chunks that state an orientation, by the form."""
    marked, key = b"Exif\0\0" + exif(held), b"Raw profile type exif"
    xmp = XMP.format(f'tiff:Orientation="{held}"').encode()
    found = {f"raw {kind.decode()}": text_chunk(kind, key, raw_profile(marked)) for kind in KINDS}
    return found | {
        "raw unmarked": text_chunk(b"zTXt", key, raw_profile(exif(held))),
        "raw big-endian": text_chunk(b"tEXt", key, raw_profile(b"Exif\0\0" + exif(held, ">"))),
        "raw upper case": text_chunk(b"tEXt", key, raw_profile(marked).upper()),
        "chunk": chunk(b"eXIf", exif(held)),
        "xmp": text_chunk(b"iTXt", b"XML:com.adobe.xmp", xmp),
        "xmp packed": text_chunk(b"iTXt+", b"XML:com.adobe.xmp", xmp),
    }


def assert_held_as_pillow_has_it(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode(data, "a.png", 3), expected)
    assert picture_size(data, "a.png") == expected.shape[:2]


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize("held", range(1, 9))
@pytest.mark.parametrize("form", list(stating(1)))
def test_an_orientation_in_any_chunk_turns_the_image(form: str, held: int, last: bool) -> None:
    data = with_chunk(stating(held)[form], last=last)
    assert read_image_header(data, "a.png").orientation == held
    assert_held_as_pillow_has_it(data)


@pytest.mark.parametrize("first", ["raw tEXt", "raw zTXt", "chunk", "xmp"])
@pytest.mark.parametrize("second", ["raw tEXt", "raw zTXt", "chunk", "xmp"])
def test_of_several_statements_the_one_counts_that_pillow_takes(first: str, second: str) -> None:
    for one, other in ((6, 3), (1, 8), (5, 1)):
        assert_held_as_pillow_has_it(with_chunk(stating(one)[first] + stating(other)[second]))


@pytest.mark.parametrize(
    "text",
    [b"", b"\nexif\n", b"\nexif\n  12\nzz", b"\nexif\n  12\nabc\n", b"\nexif\n  12\n49492a00\n",
     "\nexif\n  12\n\xff\n".encode("latin-1"), raw_profile(b"Exif\0\0" + exif(9))],
)  # fmt: skip
def test_a_broken_statement_counts_as_upright(text: bytes) -> None:
    data = with_chunk(text_chunk(b"tEXt", b"Raw profile type exif", text))
    np.testing.assert_array_equal(decode(data, "a.png", 3), PIXELS)
