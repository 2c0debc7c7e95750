"""TIFF: every form of samples comes out as it states, or is refused; never black in silence."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import OPEN_INFO

import augfeed
from augfeed.errors import ReadError
from augfeed.read.decode import decode, picture_size
from tests.augfeed.read.tiffs import (
    BLACK_IS_ZERO,
    CMYK,
    COMPRESSIONS,
    FLOAT,
    LAB,
    PALETTE,
    RGB,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    Tiff,
)

HEIGHT, WIDTH = 19, 37


def samples(form: Tiff, count: int, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    if form.kind == FLOAT:
        values: NDArray[Any] = rng.random((HEIGHT, WIDTH, count), np.float32)
    else:
        low, high = (-(1 << form.bits - 1), 1 << form.bits - 1) if form.kind == SIGNED else (
            0, 1 << form.bits)  # fmt: skip
        values = rng.integers(low, high, (HEIGHT, WIDTH, count))
    return values


def expected(form: Tiff, values: NDArray[Any]) -> NDArray[Any]:
    """What TIFF 6.0 says, computed without Pillow; of CMYK and YCbCr what Pillow converts."""
    if form.kind == FLOAT:
        levels = np.rint(values * 255.0).astype(np.int64)
    elif form.bits >= 8:
        levels = values >> (form.bits - 8)
    else:
        levels = values * 255 // ((1 << form.bits) - 1)
    match form.photometric:
        case 0 | None:
            levels = 255 - levels[..., :1]
        case 1:
            levels = levels[..., :1]
        case 5 | 6:
            used = levels[..., : 4 if form.photometric == CMYK else 3].astype(np.uint8)
            mode = "CMYK" if form.photometric == CMYK else "YCbCr"
            image = Image.frombytes(mode, (WIDTH, HEIGHT), used.tobytes())
            levels = np.asarray(image.convert("RGB"))
        case _:
            levels = levels[..., :3]
    return np.broadcast_to(levels, (HEIGHT, WIDTH, 3)).astype(np.int64)


def count_of(form: Tiff) -> int:
    return {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}.get(form.photometric or 0, 1) + len(form.extra)


def forms() -> Iterator[Tiff]:
    """All that may be stated of samples, in all ways of storing them."""
    gray = [(bits, UNSIGNED) for bits in (1, 2, 4, 8, 12, 16, 24, 32)]
    gray += [(8, SIGNED), (16, SIGNED), (32, SIGNED), (16, FLOAT), (32, FLOAT), (64, FLOAT)]
    for order in "<>":
        for photometric in (None, WHITE_IS_ZERO, BLACK_IS_ZERO):
            for bits, kind in gray:
                yield Tiff(photometric, bits, kind, order)
            yield Tiff(photometric, 8, order=order, extra=(2,))
            yield Tiff(photometric, 16, order=order, extra=(0,))
        for photometric in (RGB, CMYK, YCBCR):
            tags = {530: (3, [1, 1])} if photometric == YCBCR else {}
            for bits in (8, 16):
                for extra in ((), (0,), (2,)):
                    yield Tiff(photometric, bits, order=order, extra=extra, tags=tags)
        yield Tiff(RGB, 32, FLOAT, order)


STORED = [
    {"compression": compression, "layout": layout, "separate": separate, "reversed": reversed_}
    for compression in COMPRESSIONS
    for layout in ("one", "strips", "tiles")
    for separate in (False, True)
    for reversed_ in (False, True)
]


@pytest.mark.parametrize("form", list(forms()), ids=str)
def test_samples_come_out_as_they_are_stated_or_are_refused(form: Tiff) -> None:
    read = 0
    for way in STORED:
        stored = replace(form, **way)  # type: ignore[arg-type]
        values = samples(form, count_of(form))
        try:
            found = decode(stored.holding(values), "a.tif", 3)
        except ReadError as error:
            assert str(error).startswith("a.tif: ")
            continue
        read += 1
        wrong = np.abs(found - expected(form, values)).max()
        assert wrong <= 1, (str(stored), wrong)
    if form.kind == UNSIGNED and form.bits in (1, 2, 4, 8) and not form.extra:
        assert read >= 9  # the refusals are not all that there is


@pytest.mark.parametrize(("form", "count"), [
    (Tiff(BLACK_IS_ZERO, 16, extra=(0,)), 2), (Tiff(BLACK_IS_ZERO, 8, extra=(0,) * 4), 5),
    (Tiff(BLACK_IS_ZERO, 16, extra=(0,) * 4), 5), (Tiff(RGB, 32, FLOAT), 3),
    (Tiff(BLACK_IS_ZERO, 64, FLOAT), 1), (Tiff(BLACK_IS_ZERO, 10), 1),
])  # fmt: skip
def test_a_sound_file_that_is_not_read_is_not_called_broken(form: Tiff, count: int) -> None:
    data = form.holding(samples(form, count))
    for look in (lambda: decode(data, "a.tif", 3), lambda: picture_size(data, "a.tif")):
        with pytest.raises(ReadError, match=r"^a\.tif: its samples are of a form that is not read.*"
                           r"array \[H, W, C\]$"):  # fmt: skip
            look()


@pytest.mark.parametrize(("photometric", "bits", "kind"), [
    (WHITE_IS_ZERO, 16, UNSIGNED), (None, 16, UNSIGNED), (WHITE_IS_ZERO, 32, FLOAT),
    (BLACK_IS_ZERO, 12, UNSIGNED), (BLACK_IS_ZERO, 16, UNSIGNED), (BLACK_IS_ZERO, 32, FLOAT),
])  # fmt: skip
@pytest.mark.parametrize("compression", list(COMPRESSIONS))
def test_wide_samples_are_read_and_not_only_refused(
    photometric: int | None, bits: int, kind: int, compression: str
) -> None:
    form = Tiff(photometric, bits, kind, compression=compression)
    values = samples(form, 1)
    found = decode(form.holding(values), "a.tif", 1)
    assert np.abs(found - expected(form, values)[..., :1]).max() <= 1


@pytest.mark.parametrize("compression", list(COMPRESSIONS))
@pytest.mark.parametrize("value", [0.5, 1.0, 0.25])
def test_floats_of_either_order_of_bytes_are_the_same(value: float, compression: str) -> None:
    values = np.full((HEIGHT, WIDTH, 1), value, np.float32)
    for order in "<>":
        data = Tiff(BLACK_IS_ZERO, 32, FLOAT, order, compression=compression).holding(values)
        assert (decode(data, "a.tif", 1) == round(value * 255)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(8, SIGNED), (16, SIGNED), (32, SIGNED), (32, UNSIGNED)]),
    st.integers(0, 127),
    st.sampled_from("<>"),
    st.sampled_from(sorted(COMPRESSIONS)),
)
def test_integers_without_an_agreed_white_are_refused_with_a_cure(
    depth: tuple[int, int], value: int, order: str, compression: str
) -> None:
    form = Tiff(BLACK_IS_ZERO, *depth, order, compression=compression)
    data = form.holding(np.full((3, 5, 1), value))
    for read in (picture_size, lambda data, name: decode(data, name, 3)):
        with pytest.raises(ReadError, match=r"scan\.tif: .*"):
            read(data, "scan.tif")


@pytest.mark.parametrize("dtype", [np.int32, np.int16])
@pytest.mark.parametrize("largest", [1, 255, 4095, 32767])
def test_what_numpy_integers_become_in_a_tiff_is_never_black_in_silence(
    dtype: Any, largest: int
) -> None:
    form = Tiff(BLACK_IS_ZERO, np.dtype(dtype).itemsize * 8, SIGNED)
    data = form.holding(np.full((4, 4, 1), largest, dtype))
    with pytest.raises(ReadError, match=r"a\.tif: its samples are signed, .*: convert it to"):
        decode(data, "a.tif", 1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("largest", [255, 65535])
def test_a_palette_of_8_or_of_16_bits_has_its_colours(bits: int, largest: int) -> None:
    rng = np.random.default_rng(bits)
    table = rng.integers(0, largest + 1, (3, 1 << bits))
    table[:, 0] = largest
    form = Tiff(PALETTE, bits, tags={320: (3, table.ravel().tolist())})
    values = samples(form, 1)
    for way in STORED:
        stored = replace(form, **way)  # type: ignore[arg-type]
        try:
            found = decode(stored.holding(values), "a.tif", 3)
        except ReadError:
            assert way["reversed"] or way["separate"]
            continue
        colors = (table >> 8 if largest > 255 else table).T[values[..., 0]]
        np.testing.assert_array_equal(found, colors)


def test_cielab_becomes_rgb_by_its_definition() -> None:
    values = np.zeros((HEIGHT, WIDTH, 3), np.int64)
    values[..., 0] = np.linspace(0, 255, WIDTH).astype(int)
    light = values[0, :, 0] / 255 * 100
    y = np.where(light > 8, ((light + 16) / 116) ** 3, light / 903.3)
    levels = 255 * np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)
    found = decode(Tiff(LAB).holding(values), "a.tif", 3)
    assert np.abs(found[0] - levels[:, None]).max() < 2


def test_colours_multiplied_by_alpha_are_divided_by_it() -> None:
    colors, alpha = np.full((HEIGHT, WIDTH, 3), 64), np.full((HEIGHT, WIDTH, 1), 128)
    values = np.concatenate([colors, alpha], axis=2)
    forms_ = [(Tiff(RGB, extra=(1,)), values)]
    if "La" in {mode for mode, _ in OPEN_INFO.values()}:  # Pillow from 12 on
        forms_.append((Tiff(extra=(1,)), values[..., 2:]))
    for form, shown in forms_:
        found = decode(form.holding(shown), "a.tif", 3)
        assert np.abs(found.astype(int) - 127).max() <= 1


def turned(held: int, *, by_xmp: bool) -> bytes:
    packet = f'<x:xmpmeta><d tiff:Orientation="{held}"/></x:xmpmeta>'
    tags = {700: (1, list(packet.encode()))} if by_xmp else {274: (3, [held])}
    values = np.arange(HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3) % 251
    return Tiff(RGB, tags=tags).holding(values)


@pytest.mark.parametrize("held", range(10))
@pytest.mark.parametrize("by_xmp", [False, True])
def test_the_size_in_the_header_is_that_of_the_turned_image(held: int, by_xmp: bool) -> None:
    data = turned(held, by_xmp=by_xmp)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    found = decode(data, "a.tif", 3)
    np.testing.assert_array_equal(found, upright)
    assert picture_size(data, "a.tif") == found.shape[:2]


def test_a_loader_names_the_file_that_it_cannot_read(tmp_path: Any) -> None:
    (tmp_path / "scan.tif").write_bytes(Tiff(bits=32, kind=SIGNED).holding(np.full((8, 8, 1), 200)))
    loader = augfeed.DataLoader(tmp_path, policy="resize(8) | center_crop(8)")
    with pytest.raises(ReadError, match=r"scan\.tif: its samples are signed"):
        next(iter(loader))
