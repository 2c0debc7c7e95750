"""Numba's `njit` for functions that only compiled functions call."""

from collections.abc import Callable
from typing import Any

import numba

# Any: options that the types of Numba leave out.
INNER: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return `numba.njit` without what Python calls a function by; a call is a `TypeError`.

    To unpack arguments from Python takes as much code as many a function: without it all compiles
    in four fifths of the time. A function that Python calls as well has `numba.njit` itself.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        made: Any = numba.njit(**(INNER | options))(function)
        if hasattr(made, "_insert"):  # else NUMBA_DISABLE_JIT
            # Numba would call what is not there.
            made._insert = _ignored
            made._compile_for_args = _refused
        return made

    return compile_


def _ignored(*overload: Any) -> None:
    pass


def _refused(*given: Any, **named: Any) -> Any:
    raise TypeError("only compiled functions call this one: decorate it with numba.njit")
