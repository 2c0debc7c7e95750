"""Functions of levels, compiled, against NumPy's."""

from typing import Any

import numba
import numpy as np
import pytest

from augfeed.kernels.levels import floor_divide


def _divided(values: Any, by: int) -> Any:
    return floor_divide(values, by)


COMPILED: Any = numba.njit(_divided)


@pytest.mark.parametrize("by", [1, 3, 7, 255, 2**31 - 1, 2**40 + 1, 2**52 - 1])
def test_quotients_next_to_whole_ones_are_rounded_down(by: int) -> None:
    multiples = np.unique(np.linspace(0, 2**52 // by, 200, dtype=np.int64)) * by
    values = np.concatenate([multiples, multiples + 1, np.maximum(multiples - 1, 0)])

    assert (COMPILED(values, by) == values // by).all()
