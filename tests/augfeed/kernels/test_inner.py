"""Functions that compiled code alone calls: no crash where Python does."""

from typing import Any

import numba
import pytest

from augfeed.kernels.inner import njit


def test_a_function_without_an_entry_for_python_is_called_from_compiled_code_alone() -> None:
    def double(value: int) -> int:
        return 2 * value

    doubled: Any = njit(nogil=True)(double)

    def calling(value: Any) -> Any:
        return doubled(value) + 1

    caller: Any = numba.njit(calling)
    with pytest.raises(TypeError, match="only compiled functions call this one"):
        doubled(3)
    assert caller(3) == 7
    with pytest.raises(TypeError, match=r"decorate it with numba\.njit"):
        doubled(3)  # compiled by now, for this very type
    assert caller(2.5) == 6
