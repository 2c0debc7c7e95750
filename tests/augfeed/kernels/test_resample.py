"""The resampler against Pillow's `crop` and `resize`, and NumPy's `pad`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT, EDGE, FILTERS, NEAREST, REFLECT
from augfeed.kernels.resample import _resample_window, resample

Array = NDArray[Any]
Box = tuple[int, int, int, int]
Pair = tuple[int, int]

# Sources, boxes, sizes: single pixels, single rows, primes, both directions, many taps.
CASES: list[tuple[Pair, Box, Pair]] = [
    ((1, 1), (0, 0, 1, 1), (1, 1)),
    ((1, 1), (0, 0, 1, 1), (7, 5)),
    ((1, 97), (0, 0, 1, 97), (1, 13)),
    ((97, 1), (0, 0, 97, 1), (13, 3)),
    ((31, 37), (0, 0, 31, 37), (17, 19)),
    ((31, 37), (3, 5, 23, 29), (61, 67)),
    ((64, 48), (0, 0, 64, 48), (32, 24)),
    ((33, 47), (1, 2, 32, 17), (32, 40)),
    ((375, 500), (40, 60, 277, 370), (224, 224)),
    ((211, 307), (0, 0, 211, 307), (3, 2)),
    ((211, 307), (210, 306, 1, 1), (32, 32)),
    ((500, 20), (0, 0, 500, 20), (1, 1)),
]


def make_image(size: Pair, channels: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    return values if dtype == np.uint8 else (values / np.float32(255)).astype(np.float32)


PILLOW = {
    NEAREST: Image.Resampling.NEAREST,
    BILINEAR: Image.Resampling.BILINEAR,
    BICUBIC: Image.Resampling.BICUBIC,
}


def pillow(image: Array, box: Box, resized: Pair, kind: int = BILINEAR) -> Array:
    top, left, height, width = box
    planes = []
    for c in range(image.shape[2]):
        cut = np.ascontiguousarray(image[top : top + height, left : left + width, c])
        # One axis at a time: since Pillow 13 the order of the passes depends on the sizes.
        narrow = Image.fromarray(cut).resize((resized[1], height), PILLOW[kind])
        small = narrow.resize((resized[1], resized[0]), PILLOW[kind])
        planes.append(np.asarray(small))
    return np.stack(planes, axis=2)


def padded(image: Array, offset: Pair, size: Pair, mode: int, fill: float) -> Array:
    value = round(fill * 255) if image.dtype == np.uint8 else np.float32(fill)
    options: dict[str, Any] = {"mode": ("constant", "edge", "reflect")[mode]}
    if mode == CONSTANT:
        options["constant_values"] = value
    width = [
        (max(-first, 0), max(first + out - length, 0))
        for first, out, length in zip(offset, size, image.shape[:2], strict=True)
    ]
    big = np.pad(image, [*width, (0, 0)], **options)
    top, left = (max(first, 0) for first in offset)
    return big[top : top + size[0], left : left + size[1]]


def run(image: Array, box: Box, resized: Pair, offset: Pair, mode: int, fill: float,
        size: Pair, kind: int = BILINEAR) -> Array:  # fmt: skip
    channels = image.shape[2]
    out = np.full((*size, channels), 77, image.dtype)
    resample(image, box, resized, offset, kind, mode, np.full(channels, fill), out)
    return out


@pytest.mark.parametrize("kind", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("source", "box", "resized"), CASES)
def test_resample_equals_pillow(
    source: Pair, box: Box, resized: Pair, channels: int, kind: int
) -> None:
    image = make_image(source, channels)
    got = run(image, box, resized, (0, 0), CONSTANT, 0.0, resized, kind)
    np.testing.assert_array_equal(got, pillow(image, box, resized, kind))


@pytest.mark.parametrize("kind", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize(("source", "box", "resized"), CASES)
def test_resample_is_within_one_step_of_pillow_in_one_call(
    source: Pair, box: Box, resized: Pair, kind: int
) -> None:
    # The order of Pillow's passes depends on sizes, and shows where a value is clipped in between:
    # so values from which no filter leaves 0 to 255.
    image = make_image(source, 3) // 2 + 64
    top, left, height, width = box
    cut = Image.fromarray(image).crop((left, top, left + width, top + height))
    expected = np.asarray(cut.resize((resized[1], resized[0]), PILLOW[kind]))
    got = run(image, box, resized, (0, 0), CONSTANT, 0.0, resized, kind)
    assert np.abs(got.astype(int) - expected).max() <= (kind != NEAREST)


@pytest.mark.parametrize("kind", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("source", "box", "resized"), CASES)
def test_resample_of_floats_equals_pillow(
    source: Pair, box: Box, resized: Pair, channels: int, kind: int
) -> None:
    image = make_image(source, channels, np.float32)
    if kind == BICUBIC:  # ours stay between 0 and 1, Pillow's floats do not
        image = image / 2 + np.float32(0.25)
    got = run(image, box, resized, (0, 0), CONSTANT, 0.0, resized, kind)
    # Pillow sums in float64, we in float32: a few units of the last place.
    np.testing.assert_allclose(got, pillow(image, box, resized, kind), rtol=0, atol=1e-6)


def test_floats_stay_between_0_and_1_where_a_filter_overshoots() -> None:
    image = np.zeros((9, 9, 1), np.float32)
    image[3:6, 3:6] = 1.0
    got = run(image, (0, 0, 9, 9), (31, 17), (0, 0), CONSTANT, 0.0, (31, 17), BICUBIC)
    assert got.min() == 0 and got.max() == 1
    assert (got != run(image, (0, 0, 9, 9), (31, 17), (0, 0), CONSTANT, 0.0, (31, 17))).any()


def test_padding_has_a_value_for_each_channel() -> None:
    image, fill = make_image((5, 6), 3), np.array([0.1, 0.5, 0.9])
    out = np.empty((9, 8, 3), np.uint8)
    for resized in ((5, 6), (7, 4)):  # cut alone, and resized as well
        resample(image, (0, 0, 5, 6), resized, (-1, -1), BILINEAR, CONSTANT, fill, out)
        beyond = np.pad(np.zeros(resized), 1, constant_values=1)[:9, :8] == 1
        rest = np.pad(beyond, [(0, 9 - len(beyond)), (0, 8 - beyond.shape[1])], constant_values=1)
        assert (out[rest] == np.round(fill * 255)).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_any_window_equals_crop_resize_pad(data: st.DataObject, seed: int) -> None:
    side = st.integers(1, 40)
    source, size, resized = (data.draw(st.tuples(side, side)) for _ in range(3))
    height, width = (data.draw(st.integers(1, length)) for length in source)
    top, left = (data.draw(st.integers(0, a - b)) for a, b in zip(source, (height, width),
                                                               strict=True))  # fmt: skip
    if data.draw(st.booleans()):
        resized = (height, width)
    offset = data.draw(st.tuples(st.integers(-60, 60), st.integers(-60, 60)))
    mode = data.draw(st.sampled_from([CONSTANT, EDGE, REFLECT]))
    fill = data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    kind = data.draw(st.sampled_from([NEAREST, BILINEAR, BICUBIC]))
    image = make_image(source, data.draw(st.sampled_from([1, 3])), seed=seed)
    box = (top, left, height, width)
    expected = pillow(image, box, resized, kind)
    # NumPy pads what is there, so that a window wholly outside needs the image moved into it.
    whole = padded(expected, (-100, -100), (240, 240), mode, fill)
    y, x = offset[0] + 100, offset[1] + 100
    expected = whole[y : y + size[0], x : x + size[1]]
    got = run(image, box, resized, offset, mode, fill, size, kind)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("mode", [CONSTANT, EDGE, REFLECT])
def test_padding_equals_numpy_for_both_dtypes(dtype: Any, mode: int) -> None:
    image = make_image((5, 7), 3, dtype)
    got = run(image, (0, 0, 5, 7), (5, 7), (-13, 2), mode, 0.3, (31, 23))
    np.testing.assert_array_equal(got, padded(image, (-13, 2), (31, 23), mode, 0.3))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_box_of_the_same_size_is_an_exact_copy(dtype: Any) -> None:
    image = make_image((37, 41), 3, dtype)
    got = run(image, (3, 5, 31, 29), (31, 29), (2, 4), CONSTANT, 0.0, (23, 19))
    np.testing.assert_array_equal(got, image[5:28, 9:28])


@pytest.mark.parametrize("kind", FILTERS.values(), ids=FILTERS)
def test_no_pixel_outside_the_box_is_used(kind: int) -> None:
    image = make_image((40, 40), 3)
    other = 255 - image
    other[7:29, 9:34] = image[7:29, 9:34]
    args: Any = ((7, 9, 22, 25), (11, 60), (-3, -3), REFLECT, 0.0, (20, 70), kind)
    np.testing.assert_array_equal(run(image, *args), run(other, *args))


def test_read_only_images_and_windows_from_arrays_are_taken() -> None:
    image = make_image((20, 30), 3)
    expected = run(image, (1, 2, 18, 20), (9, 9), (0, 0), CONSTANT, 0.0, (9, 9))
    image.setflags(write=False)
    out = np.empty_like(expected)
    box, resized, offset = (np.array(part, np.int32) for part in ((1, 2, 18, 20), (9, 9), (0, 0)))
    resample(image, box, resized, offset, BILINEAR, CONSTANT, np.zeros(3), out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 6, 5), (0, 3, 5, 3), (0, 0, 0, 5)])
def test_a_box_outside_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="not inside the image"):
        run(make_image((5, 5), 3), box, (4, 4), (0, 0), CONSTANT, 0.0, (4, 4))


def test_different_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="channels differ"):
        resample(make_image((5, 5), 3), (0, 0, 5, 5), (5, 5), (0, 0), BILINEAR, CONSTANT,
                 np.zeros(3), np.empty((5, 5, 1), np.uint8))  # fmt: skip


def test_windows_in_tuples_and_arrays_are_compiled_once() -> None:
    image, made = make_image((20, 30), 3), []
    numbers: list[Any] = [(2, 3, 15, 20), (8, 9), (-1, 2)]
    forms: list[Any] = [tuple, list, *(lambda each, kind=kind: np.array(each, kind) for kind in
                                       (np.int32, np.int64, np.uint16))]  # fmt: skip
    kinds = [BILINEAR, np.int32(BILINEAR), np.int64(BILINEAR), BILINEAR, np.uint8(BILINEAR)]
    for form, kind in zip(forms, kinds, strict=True):
        given = [form(each) if min(each) >= 0 else each for each in numbers]
        out = np.empty((9, 8, 3), np.uint8)
        resample(image, *given, kind, np.int32(CONSTANT), np.zeros(3), out)
        made.append(out)
        if len(made) == 1:
            known = list(_resample_window.signatures)
    assert all((out == made[0]).all() for out in made)
    assert _resample_window.signatures == known
