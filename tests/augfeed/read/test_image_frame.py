"""Encoded images to frames: decoded at the scale that a window needs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT, EDGE, NEAREST
from augfeed.errors import ReadError
from augfeed.kernels.resample import resample
from augfeed.kernels.resample_box import resample_part
from augfeed.memory_pool import Memory
from augfeed.read.crop import View, scale_for, scaled_box
from augfeed.read.image_frame import Encoded
from augfeed.read.jpeg_crop import why_not

Pixels = NDArray[np.uint8]
PHOTO: Pixels = load_sample_image("china.jpg")


def jpeg(pixels: Pixels, held: int = 1, **options: Any) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = held
    Image.fromarray(pixels).save(file, "JPEG", quality=92, exif=exif.tobytes(), **options)
    return file.getvalue()


def shown(encoded: Encoded, view: View, size: tuple[int, int]) -> Pixels:
    out = np.full((*size, encoded.channels), 77, np.uint8)
    encoded.show(view, out)
    return out


def expected(whole: Pixels, view: View, size: tuple[int, int]) -> Pixels:
    out = np.empty((*size, whole.shape[2]), np.uint8)
    resample(whole, *view, CONSTANT, np.zeros(whole.shape[2]), out)
    return out


@st.composite
def views(draw: Any, height: int, width: int, smallest: int = 1) -> tuple[View, tuple[int, int]]:
    """Windows in an image, resized to more than half of their sides, and the output's size."""
    box_h, box_w = draw(st.integers(smallest, height)), draw(st.integers(smallest, width))
    top, left = draw(st.integers(0, height - box_h)), draw(st.integers(0, width - box_w))
    resized = tuple(draw(st.sampled_from([side, side // 2 + 1, side + 3, 7])) for side in
                    (box_h, box_w))  # fmt: skip
    size = tuple(draw(st.integers(1, side)) for side in resized)
    offset = tuple(draw(st.integers(0, side - out)) for side, out in zip(resized, size,
                                                                        strict=True))  # fmt: skip
    kind = draw(st.sampled_from([BILINEAR, BILINEAR, BICUBIC, NEAREST]))
    return View((top, left, box_h, box_w), resized, offset, kind), size


@pytest.mark.parametrize("held", range(1, 9))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_cut_has_the_pixels_of_the_whole_image(held: int, data: Any) -> None:
    encoded = Encoded(jpeg(PHOTO[:61, :83], held), "a.jpg", 3, Memory())
    whole = encoded.decoded()
    view, size = data.draw(views(*whole.shape[:2]))
    if scale_for(view) == 1:
        np.testing.assert_array_equal(shown(encoded, view, size), expected(whole, view, size))


@pytest.mark.parametrize("held", range(1, 9))
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_smaller_scale_shows_the_same_place(scale: int, held: int) -> None:
    # Sides that are not multiples of a block: the short one comes first in a turned image.
    encoded = Encoded(jpeg(PHOTO[:397, :603], held), "a.jpg", 3, Memory())
    whole = encoded.decoded()
    height, width = whole.shape[:2]
    for top, left, shrink in ((0, 0, 0), (7, 11, 20), (3, 2, 9)):
        box = (top, left, height - top - shrink, width - left - shrink)
        size = (box[2] * 4 // (scale * 5), box[3] * 4 // (scale * 5))
        view = View(box, size, (0, 0))
        assert scale_for(view) == scale
        ours = shown(encoded, view, size).astype(int)
        full = expected(whole, view, size).astype(int)
        assert np.abs(ours - full).mean() < 2.5
        for moved in (ours[:, 1:] - full[:, :-1], ours[1:] - full[:-1]):
            assert np.abs(moved).mean() > 3 * np.abs(ours - full).mean()


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_an_output_exactly_as_large_as_the_smaller_image_is_near(scale: int) -> None:
    encoded = Encoded(jpeg(PHOTO[:400, :640]), "a.jpg", 3, Memory())
    size = (400 // scale, 640 // scale)
    view = View((0, 0, 400, 640), size, (0, 0))
    assert scale_for(view) == scale
    ours, full = shown(encoded, view, size).astype(int), expected(encoded.decoded(), view, size)
    assert np.abs(ours - full).mean() < 5


def test_the_smallest_scale_that_covers_the_output_is_taken() -> None:
    for side, out, scale in ((223, 224, 1), (447, 224, 1), (448, 224, 2), (2000, 224, 8),
                             (1791, 224, 4), (9, 1, 8)):  # fmt: skip
        assert scale_for(View((0, 0, side, side), (out, out), (0, 0))) == scale
    assert scale_for(View((0, 0, 800, 448), (100, 224), (0, 0))) == 2


def test_a_scaled_image_is_near_pillows_antialiased_resize() -> None:
    big = np.asarray(Image.fromarray(PHOTO).resize((1280, 854), Image.Resampling.LANCZOS))
    encoded = Encoded(jpeg(big), "a.jpg", 3, Memory())
    box = (40, 100, 700, 900)
    view = View(box, (224, 224), (0, 0))
    assert scale_for(view) == 2
    top, left, height, width = box
    cut = Image.fromarray(encoded.decoded()[top : top + height, left : left + width])
    witness = np.asarray(cut.resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(shown(encoded, view, (224, 224)).astype(int) - witness).mean() < 1.5


@settings(max_examples=300, deadline=None)
@given(data=st.data(), scale=st.sampled_from([1, 2, 4, 8]), shifts=st.tuples(*[st.booleans()] * 2))
def test_a_box_lies_inside_the_smaller_image(
    data: Any, scale: int, shifts: tuple[bool, bool]
) -> None:
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    view, size = data.draw(views(height, width))
    short = tuple(-side % scale * shift for side, shift in zip((height, width), shifts,
                                                               strict=True))  # fmt: skip
    box, inner = scaled_box(view.box, (height, width, *short), scale)
    image = np.zeros((-(-height // scale), -(-width // scale), 3), np.uint8)
    assert min(box[:2]) >= 0 and min(box[2:]) >= 1 and min(inner[:2]) >= 0
    assert box[0] + box[2] <= image.shape[0] and box[1] + box[3] <= image.shape[1]
    out = np.empty((*size, 3), np.uint8)
    resample_part(image, box, inner, view.resized, view.offset, view.kind, out)


def test_the_kernel_refuses_an_image_without_the_pixels() -> None:
    out = np.empty((4, 4, 3), np.uint8)
    for shape in ((7, 8, 3), (8, 7, 3), (8, 8, 1)):
        with pytest.raises(ValueError):
            resample_part(
                np.zeros(shape, np.uint8),
                (0, 0, 8, 8),
                (0.0, 0.0, 8.0, 8.0),
                (4, 4),
                (0, 0),
                BILINEAR,
                out,
            )
    with pytest.raises(ValueError, match="inside the resized box"):
        resample_part(
            np.zeros((8, 8, 3), np.uint8),
            (0, 0, 8, 8),
            (0.0, 0.0, 8.0, 8.0),
            (4, 4),
            (1, 0),
            BILINEAR,
            out,
        )


def test_a_window_that_reaches_outside_is_padded() -> None:
    encoded = Encoded(jpeg(PHOTO[:20, :30]), "a.jpg", 3, Memory())
    view = View((0, 0, 20, 30), (20, 30), (-3, -2))
    out, full = (np.empty((24, 33, 3), np.uint8) for _ in range(2))
    encoded.show(view, out, (EDGE, np.zeros(3)))
    resample(encoded.decoded(), *view, EDGE, np.zeros(3), full)
    np.testing.assert_array_equal(out, full)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "CMYK", "progressive"])
def test_images_of_other_kinds_are_decoded_whole(kind: str, channels: Any) -> None:
    file = io.BytesIO()
    image = Image.fromarray(PHOTO[:50, :70])
    if kind == "PNG":
        image.save(file, "PNG")
    else:
        image = image.convert("CMYK") if kind == "CMYK" else image
        image.save(file, "JPEG", progressive=kind == "progressive")
    encoded = Encoded(file.getvalue(), "a", channels, Memory())
    view = View((5, 6, 40, 50), (30, 45), (2, 3))
    full = expected(encoded.decoded(), view, (20, 30))
    np.testing.assert_array_equal(shown(encoded, view, (20, 30)), full)


def test_a_file_cut_short_is_an_error_wherever_the_window_is() -> None:
    data = jpeg(PHOTO)
    for end in (len(data) // 2, len(data) - 3, len(data) - 1):
        encoded = Encoded(data[:end], "cut.jpg", 3, Memory())
        with pytest.raises(ReadError, match=r"cut\.jpg: cannot be decoded"):
            shown(encoded, View((0, 0, 20, 20), (20, 20), (0, 0)), (20, 20))


def test_too_many_declared_pixels_are_refused_at_the_bound() -> None:
    data = jpeg(PHOTO[:20, :30])
    Encoded(data, "a.jpg", 3, Memory(), max_pixels=600)
    with pytest.raises(ReadError, match=r"a\.jpg: declares 30 x 20 pixels, more than the 599"):
        Encoded(data, "a.jpg", 3, Memory(), max_pixels=599)


def test_an_image_is_shrunk_as_pillow_does_it() -> None:
    encoded = Encoded(jpeg(PHOTO), "a.jpg", 3, Memory())
    height, width = 427 * 5 // 9, 640 * 5 // 9
    witness = Image.fromarray(encoded.decoded()).resize((width, height), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(encoded.shrunk((height, width)), np.asarray(witness))
    assert encoded.shrunk((427, 640)).shape == (427, 640, 3)


def test_the_wheels_of_pillow_bring_what_decodes_windows_alone() -> None:
    if not Path(PIL.__file__).parent.with_name("pillow.libs").is_dir():
        pytest.skip("this Pillow is not a wheel for Linux: it has the libjpeg of the system")
    assert why_not() is None
