"""Files of more than 8 bits, and of every mode of Pillow's, come out alike in every lane."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.errors import AugfeedError, InputError, ReadError
from augfeed.read.decode import decode
from tests.augfeed.read.test_huggingface import Dataset as HuggingFace
from tests.augfeed.read.test_huggingface import Image as ImageFeature
from tests.augfeed.read.test_huggingface import rows
from tests.augfeed.read.test_png import COLOR, COLOR_ALPHA, GRAY, GRAY_ALPHA, SAMPLES, written
from tests.augfeed.read.test_tar import shard
from tests.augfeed.read.tiffs import (
    BLACK_IS_ZERO,
    CMYK,
    COMPRESSIONS,
    FLOAT,
    PALETTE,
    RGB,
    SIGNED,
    WHITE_IS_ZERO,
    Tiff,
)

SIDE, POLICY = 12, "center_crop(12) | vflip(p=1.0)"
Wide = NDArray[np.int64]


def samples(count: int, below: int = 65536) -> Wide:
    """Return whole numbers `[h, w, count]` below a bound, the largest among them."""
    values = np.random.default_rng(count).integers(0, below, (SIDE, SIDE, count))
    values[3, 4] = below - 1
    return values


# How many samples a pixel has, how many of them are colors, and the file that holds them.
Form = tuple[int, int, Callable[[Wide], bytes]]
FORMS: dict[str, Form] = {
    f"PNG {name}": (SAMPLES[kind], colors, lambda values, kind=kind: written(kind, 16, values))
    for name, kind, colors in (
        ("gray", GRAY, 1), ("color", COLOR, 3), ("gray with alpha", GRAY_ALPHA, 1),
        ("color with alpha", COLOR_ALPHA, 3),
    )
} | {
    f"TIFF {order}{name} {compression}": (count, colors, Tiff(
        photometric, 16, order=order, extra=extra, compression=compression
    ).holding)
    for name, photometric, count, colors, extra in (
        ("gray", BLACK_IS_ZERO, 1, 1, ()), ("color", RGB, 3, 3, ()),
        ("color with alpha", RGB, 4, 3, (2,)),
    )
    for order in "<>"
    for compression in COMPRESSIONS
} | {
    "PGM": (1, 1, lambda values: b"P5 12 12 65535\n" + values.astype(">u2").tobytes()),
}  # fmt: skip


class Opened(Dataset[Any]):
    """A dataset that opens files by Pillow, as most do."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return 1

    def __getitem__(self, k: int) -> Any:
        return Image.open(io.BytesIO(self.data)), k


def loaded(data: Any) -> NDArray[np.uint8]:
    """Return the one image of a dataset, uint8 `[H, W, C]`."""
    images = next(iter(DataLoader(data, 1, policy=POLICY, dtype=torch.uint8)))
    images = images["image"] if isinstance(images, dict) else images[0]
    return np.moveaxis(images[0].numpy()[:, ::-1], 0, -1)


def in_folder(data: bytes, folder: Path) -> NDArray[np.uint8]:
    (folder / "one").mkdir()
    (folder / "one" / ("a.tif" if data[:2] in (b"II", b"MM") else "a.png")).write_bytes(data)
    return loaded(str(folder))


def in_shard(data: bytes, folder: Path) -> NDArray[np.uint8]:
    ending = "tif" if data[:2] in (b"II", b"MM") else "png"
    return loaded(str(shard(folder / "a.tar", [(f"0.{ending}", data), ("0.cls", b"0")])))


LANES: dict[str, Callable[[bytes, Path], NDArray[np.uint8]]] = {
    "decode": lambda data, _: decode(data, "a", 3),
    "decode to gray": lambda data, _: decode(data, "a", 1),
    "folder": in_folder,
    "shard": in_shard,
    "Hugging Face": lambda data, _: loaded(
        HuggingFace({"image": ImageFeature()}, image=rows(data))
    ),
    "samples of PIL images": lambda data, _: loaded(Opened(data)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lane", LANES)
def test_the_upper_8_of_16_bits_come_out_of_every_lane(
    form: str, lane: str, tmp_path: Path
) -> None:
    count, colors, file = FORMS[form]
    if (lane, form) == ("Hugging Face", "PGM"):
        return  # is left to the dataset, which opens it by Pillow
    values = samples(count)
    found = LANES[lane](file(values), tmp_path)
    known = values[..., :colors] >> 8
    if found.shape[2] == 1 and colors == 3:
        assert np.abs(found[..., 0] - known @ [0.299, 0.587, 0.114]).max() <= 1
    else:
        np.testing.assert_array_equal(found, np.broadcast_to(known, found.shape))


@pytest.mark.parametrize("below", [256, 4])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lane", LANES)
def test_8_bits_in_16_are_refused_and_not_black(
    form: str, lane: str, below: int, tmp_path: Path
) -> None:
    count, colors, file = FORMS[form]
    if lane.startswith("samples") and (colors == 3 or count == 2):
        return  # Pillow has dropped the lower bytes before
    if (lane, form) == ("Hugging Face", "PGM"):
        return
    values = samples(count, below)
    values[..., colors:] = 65535  # what is opaque says nothing of colors
    message = f"have 16 bits and no value above {below - 1}, and white is 65535.*save it with 8"
    with pytest.raises(AugfeedError, match=message):
        LANES[lane](file(values), tmp_path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [0, 1])
def test_black_of_16_bits_is_black(form: str, value: int) -> None:
    count, _, file = FORMS[form]
    assert not decode(file(np.full((SIDE, SIDE, count), value)), "a", 3).any()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_ink_of_8_bits_in_16_is_refused_and_not_white(order: str, compression: str) -> None:
    form = Tiff(CMYK, 16, order=order, compression=compression)
    with pytest.raises(ReadError, match="no value above 255"):
        decode(form.holding(samples(4, 256)), "a.tif", 3)
    assert (decode(form.holding(samples(4, 1)), "a.tif", 3) == 255).all()


def test_a_cure_that_the_error_names_is_one() -> None:
    values = samples(1, 256)[..., 0].astype(np.uint16)
    for kind in (np.uint16, np.int32):
        image = Image.fromarray(values.astype(kind))
        with pytest.raises(InputError, match=r"image\.convert\('L'\) if white is 255 in it"):
            loaded([(image, 0)])
        np.testing.assert_array_equal(loaded([(image.convert("L"), 0)])[..., 0], values)
    floats = Image.fromarray(values.astype(np.float32))
    with pytest.raises(InputError, match=r"not in \[0, 1\].*image\.convert\('L'\)"):
        loaded([(floats, 0)])
    np.testing.assert_array_equal(loaded([(floats.convert("L"), 0)])[..., 0], values)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PHOTO = Image.fromarray(samples(3, 256).astype(np.uint8))
MODES: dict[str, Callable[[], bytes]] = {
    "JPEG, CMYK": lambda: saved(PHOTO.convert("CMYK"), "JPEG"),
    "palette": lambda: saved(PHOTO.convert("P")),
    "palette, a color transparent": lambda: saved(PHOTO.convert("P"), transparency=3),
    "palette with alpha": lambda: saved(PHOTO.convert("P"), transparency=bytes(range(256))),
    "GIF": lambda: saved(PHOTO.convert("P"), "GIF", transparency=3),
    "color, one transparent": lambda: saved(PHOTO, transparency=(3, 4, 5)),
    "color with alpha": lambda: saved(PHOTO.convert("RGBA")),
    "gray, one transparent": lambda: saved(PHOTO.convert("L"), transparency=3),
    "gray with alpha": lambda: saved(PHOTO.convert("LA")),
    "1 bit": lambda: saved(PHOTO.convert("1")),
    "1 bit, one transparent": lambda: saved(PHOTO.convert("1"), transparency=1),
    "TIFF, CMYK": lambda: saved(PHOTO.convert("CMYK"), "TIFF"),
    "TIFF, floats": lambda: Tiff(BLACK_IS_ZERO, 32, FLOAT).holding(samples(1) / 65535),
    "TIFF, floats inverted": lambda: Tiff(WHITE_IS_ZERO, 32, FLOAT).holding(samples(1) / 65535),
    "TIFF, 12 bits": lambda: Tiff(BLACK_IS_ZERO, 12).holding(samples(1, 4096)),
    "TIFF, 16 bits inverted": lambda: Tiff(WHITE_IS_ZERO, 16).holding(samples(1)),
    "TIFF, palette of 8 bits": lambda: Tiff(
        PALETTE, 8, tags={320: (3, samples(64, 256).ravel()[:768].tolist())}
    ).holding(samples(1, 256)),
    "TIFF, palette of 16 bits": lambda: Tiff(
        PALETTE, 8, tags={320: (3, samples(64).ravel()[:768].tolist())}
    ).holding(samples(1, 256)),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_pil_images_have_the_pixels_of_their_files(mode: str, tmp_path: Path) -> None:
    data = MODES[mode]()
    image = Image.open(io.BytesIO(data))
    info = {**image.info}
    found = loaded([(image, 0)])
    np.testing.assert_array_equal(found, decode(data, "a", 1 if found.shape[2] == 1 else 3))
    assert found.any() and {**image.info} == info  # the caller's image stays as it is
    colors = LANES["folder"](data, tmp_path)
    np.testing.assert_array_equal(colors, np.broadcast_to(found, colors.shape))


@pytest.mark.parametrize("kind", [SIGNED, FLOAT])
def test_a_pil_image_whose_file_says_nothing_of_white_is_refused(kind: int) -> None:
    bits, values = (16, samples(1, 3000)) if kind == SIGNED else (32, samples(1) * 1.0)
    data = Tiff(BLACK_IS_ZERO, bits, kind).holding(values)
    with pytest.raises(ReadError, match=r"signed|not in \[0, 1\]"):
        decode(data, "a.tif", 3)
    with pytest.raises(InputError, match=r"image of sample 0 of mode .*(signed|not in \[0, 1\])"):
        loaded(Opened(data))
