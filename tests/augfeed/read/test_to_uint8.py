"""Floats: what rounding left outside of [0, 1] is put there, in every lane; all else is refused."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augfeed import DataLoader
from augfeed.errors import AugfeedError, InputError
from augfeed.read import ArraySource
from augfeed.read.decode import decode
from augfeed.read.to_uint8 import SLACK, clamped, of_floats, of_integers

SIDE = 9
# The numbers next above 1, and what a resize or a change of color space leaves.
ABOVE = {
    "float32": 1 + 2.0**-23, "float16": 1 + 2.0**-10, "bfloat16": 1 + 2.0**-7,
    "float64": 1 + 2.0**-52, "resized": 1 + 5e-7, "converted": 1 + 9e-4,
}  # fmt: skip


def dtype_of(name: str) -> torch.dtype:
    return getattr(torch, name) if hasattr(torch, name) else torch.float32


def planes(value: float, dtype: torch.dtype) -> torch.Tensor:
    image = torch.full((3, SIDE, SIDE), 0.5, dtype=torch.float64)
    image[:, 4, 4] = value
    image[:, 0, 0] = 1 - value  # as far below black
    return image.to(dtype)


def loader(data: Any, **options: Any) -> torch.Tensor:
    images: torch.Tensor = next(iter(DataLoader(data, 2, policy="hflip(p=0.0)", **options)))[0]
    return images


def stacked(batch: Any) -> Any:
    return torch.stack([image for image, _ in batch]), torch.tensor([label for _, label in batch])


LANES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "own dataset": lambda image: loader([(image, 0)] * 2),
    "own collate": lambda image: loader([(image, 0)] * 2, collate_fn=stacked),
    "arrays": lambda image: loader((torch.stack([image] * 2), torch.zeros(2).long())),
}


@pytest.mark.parametrize("lane", list(LANES))
@pytest.mark.parametrize("name", list(ABOVE))
def test_what_rounding_left_outside_is_put_inside(name: str, lane: str) -> None:
    images = LANES[lane](planes(ABOVE[name], dtype_of(name)))
    assert float(images.min()) == 0 and float(images.max()) == 1
    assert (images[:, :, 2, 2] == 0.5).all()


@pytest.mark.parametrize("lane", list(LANES))
@pytest.mark.parametrize("value", [1.002, 1.5, 255.0, -0.002, float("nan"), float("inf")])
def test_what_lies_outside_otherwise_is_refused(value: float, lane: str) -> None:
    with pytest.raises(AugfeedError, match=r"NaN|inf|not in"):
        LANES[lane](planes(value, torch.float32))


@pytest.mark.parametrize("value", [1 + 2.0**-23, 1 + 5e-7, -1e-7])
def test_arrays_and_pil_images_of_floats_are_treated_alike(value: float) -> None:
    values = np.full((SIDE, SIDE), np.float32(value))
    expected = float(value > 0)
    assert (ArraySource(values[None]).images == expected).all()
    assert (loader([(Image.fromarray(values), 0)] * 2) == expected).all()
    assert (loader([(values[..., None], 0)] * 2) == expected).all()


def test_the_caller_keeps_the_values_that_it_gave() -> None:
    values = np.full((2, SIDE, SIDE), np.float32(1 + 2.0**-23))
    ArraySource(values)
    assert (values > 1).all()


@pytest.mark.parametrize("value", [1 + 2.0**-23, 1 + 5e-7, 1 + 9e-4, -1e-7])
def test_a_file_of_floats_is_treated_alike(value: float) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((SIDE, SIDE), np.float32(value))).save(file, "TIFF")
    assert (decode(file.getvalue(), "a.tif", 1) == 255 * (value > 0)).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-0.5, 1.5, width=32), min_size=1, max_size=8))
def test_values_are_clamped_or_refused_and_never_wrapped(values: list[float]) -> None:
    array = np.array(values, np.float32)
    inside = clamped(array)
    assert (inside is None) == bool((array < -SLACK).any() or (array > 1 + SLACK).any())
    if inside is None:
        with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
            of_floats(array)
        return
    np.testing.assert_array_equal(inside, np.clip(array, 0, 1))
    assert np.abs(of_floats(array) - 255.0 * np.clip(array, 0, 1)).max() <= 0.5


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_wide_integers_keep_their_upper_8_bits(bits: int) -> None:
    values = np.array([0, 1, (1 << bits) // 2, (1 << bits) - 1])
    assert of_integers(values, bits)[[0, 2, 3]].tolist() == [0, 128, 255]
    for outside in (-1, 1 << bits):
        with pytest.raises(ValueError, match=f"do not fit {bits} bits"):
            of_integers(np.array([outside]), bits)


def test_integers_are_no_floats() -> None:
    with pytest.raises(InputError, match="not uint8, uint16 or float"):
        loader((np.zeros((2, SIDE, SIDE), np.int32), [0, 0]))


@pytest.mark.parametrize("lane", LANES)
def test_not_a_number_is_called_so(lane: str) -> None:
    with pytest.raises(InputError, match="NaN"):
        LANES[lane](planes(float("nan"), torch.float32))


def test_a_file_of_floats_with_nan_is_called_so() -> None:
    values = np.zeros((SIDE, SIDE), np.float32)
    values[2, 3] = np.nan
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    with pytest.raises(AugfeedError, match=r"a\.tif: it has NaN"):
        decode(file.getvalue(), "a.tif", 3)
