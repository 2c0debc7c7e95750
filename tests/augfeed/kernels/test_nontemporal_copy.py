"""Copies past the caches, against NumPy."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from augfeed.kernels import nontemporal_copy
from augfeed.kernels.inner import for_python

stream_copy = for_python(nontemporal_copy.stream_copy)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8])
def test_stream_copy_writes_every_value_and_no_other(dtype: Any) -> None:
    source = np.arange(1, 250).astype(dtype)
    counts = (0, 1, 15, 16, 17, 63, 64, 79, 248)
    for offset, count, start in product(range(17), counts, (0, 1)):
        target = np.zeros(300, dtype)
        stream_copy(target, offset, source, np.uint64(start), count)
        expected = np.zeros(300, dtype)
        expected[offset : offset + count] = source[start : start + count]
        assert (target == expected).all(), (offset, count, start)
