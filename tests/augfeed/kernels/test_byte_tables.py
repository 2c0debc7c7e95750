"""Bytes looked up 64 at a time, against NumPy's."""

from typing import Any

import numba
import numpy as np
import pytest

from augfeed.kernels import byte_tables
from augfeed.kernels.place import U


@numba.njit
def looked_up(values: Any, at: int, pixels: int, channels: int, tables: Any) -> None:
    byte_tables.look_up(values, U(at), pixels, channels, tables)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("pixels", [0, 1, 63, 64, 65, 127, 128, 191, 1000])
def test_each_channel_is_looked_up_in_its_table(channels: int, pixels: int) -> None:
    rng = np.random.default_rng(pixels)
    for at in (0, 5):
        tables = rng.integers(0, 256, (channels, 256), np.uint8)
        values = rng.integers(0, 256, at + pixels * channels + 7, np.uint8)
        inside = values[at : at + pixels * channels].reshape(pixels, channels)
        expected = values.copy()
        expected[at : at + inside.size] = tables[np.arange(channels), inside].ravel()
        looked_up(values, at, pixels, channels, tables.ravel())
        assert np.array_equal(values, expected)


def test_every_level_has_an_entry() -> None:
    tables = np.stack([np.roll(np.arange(256), k) for k in (1, 100, 200)]).astype(np.uint8)
    values = np.repeat(np.arange(256, dtype=np.uint8), 3)
    looked_up(values, 0, 256, 3, tables.ravel())
    assert np.array_equal(values.reshape(256, 3), tables.T)
