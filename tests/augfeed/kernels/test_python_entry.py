"""Functions that compiled code alone calls: no crash where Python does."""

from typing import Any

import pytest
from numba import njit

from augfeed.kernels import inner


def test_a_function_without_an_entry_for_python_is_called_from_compiled_code_alone() -> None:
    @inner()
    def doubled(value: int) -> int:
        return 2 * value

    def calling(value: int) -> int:
        return doubled(value) + 1

    caller: Any = njit(calling)

    with pytest.raises(TypeError, match="doubled' is called from compiled code alone"):
        doubled(3)
    assert caller(3) == 7
    with pytest.raises(TypeError, match="give it an entry for Python by @njit"):
        doubled(3)  # compiled by now, for this very type
    assert caller(2.5) == 6
