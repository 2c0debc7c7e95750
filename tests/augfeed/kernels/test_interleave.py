"""Pixels taken apart and put together, against NumPy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augfeed.kernels import interleave
from augfeed.kernels.inner import for_python
from augfeed.kernels.interleave import BLOCK

U = np.uint64
join_planes, split_pixels = for_python(interleave.join_planes), for_python(interleave.split_pixels)
COUNTS = (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 3, 3 * BLOCK - 1)


@given(
    count=st.sampled_from(COUNTS), lines=st.integers(0, 3), channels=st.sampled_from([1, 3]),
    mirrored=st.booleans(), dtype=st.sampled_from([np.uint8, np.float32]),
    first=st.integers(0, 70), begin=st.integers(0, 20), gap=st.integers(0, 5), up=st.booleans(),
)  # fmt: skip
def test_pixels_become_planes_and_nothing_else_is_written(
    count: int, lines: int, channels: int, mirrored: bool, dtype: Any, first: int, begin: int,
    gap: int, up: bool,
) -> None:  # fmt: skip
    pitch = count * channels + gap
    flat = np.arange(first + 3 * pitch + 1).astype(dtype)
    stride = 3 * (count + gap)
    out = np.full(begin + channels * stride + 9, -1, np.float32)
    expected = out.copy()
    starts = [first + k * pitch for k in range(lines)][:: -1 if up else 1]
    for k, start in enumerate(starts):
        pixels = flat[start : start + count * channels].reshape(count, channels)
        for c in range(channels):
            to = begin + c * stride + k * (count + gap)
            expected[to : to + count] = pixels[:: -1 if mirrored else 1, c]
    shown = (U(-pitch % 2**64 if up else pitch), lines, count, channels)
    begin_at = U(starts[0] if starts else 0)
    split_pixels(flat, begin_at, shown, mirrored, out, U(begin), (U(stride), U(count + gap)))
    assert (out == expected).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", COUNTS)
def test_planes_become_pixels_and_nothing_else_is_written(count: int, dtype: Any) -> None:
    stride = count + 2
    planes = np.arange(5 + 3 * stride).astype(dtype)
    out = np.full(3 * count + 11, 99).astype(dtype)
    expected = out.copy()
    for c in range(3):
        start = 5 + c * stride
        expected[4 + c : 4 + 3 * count : 3] = planes[start : start + count]
    join_planes(planes, U(5), U(stride), count, out, U(4))
    assert (out == expected).all()
