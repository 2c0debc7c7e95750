"""Weighted sums of rows of bytes, in registers, against NumPy's."""

from typing import Any

import numba
import numpy as np
import pytest

from augfeed.kernels.place import U
from augfeed.kernels.weigh_rows import BITS, BLOCK, weigh_rows


@numba.njit
def weighed(source: Any, start: int, weights: Any, first: int, taps: int, out: Any) -> None:
    width = source.shape[1]
    weigh_rows(source.reshape(source.size), U(start * width), U(width), weights, U(first), U(taps),
               out, U(3), width)  # fmt: skip


@pytest.mark.parametrize("width", [BLOCK, BLOCK + 1, 3 * BLOCK - 1, 96, 672])
@pytest.mark.parametrize("taps", [1, 2, 3, 8, 13])
def test_sums_are_rounded_and_held_as_bytes(width: int, taps: int) -> None:
    rng = np.random.default_rng(width + taps)
    source = rng.integers(0, 256, (taps + 4, width), np.uint8)
    weights = rng.normal(1.0 / taps, 0.4, taps + 5)
    wholes = np.rint(weights * 2**BITS).astype(np.int32)
    out = np.full(width + 6, 7, np.uint8)
    weighed(source, 2, wholes, 4, taps, out)
    total = (source[2 : 2 + taps].astype(np.int64) * wholes[4 : 4 + taps, None]).sum(axis=0)
    expected = np.clip((total + (1 << (BITS - 1))) >> BITS, 0, 255)
    assert np.array_equal(out[3:-3], expected)
    assert out[:3].tolist() == out[-3:].tolist() == [7, 7, 7]  # nothing else is written
