"""Compiled functions without an entry for Python: a call from there is an error, and no crash."""

from typing import Any


def refuse_python(dispatcher: Any) -> Any:
    """Let calls of a compiled function from Python raise `TypeError`; return the function.

    Numba would jump to an entry that is not there: its table of entries stays empty instead.
    """
    if not hasattr(dispatcher, "overloads"):  # NUMBA_DISABLE_JIT
        return dispatcher

    def keep(result: Any) -> None:
        dispatcher.overloads[tuple(result.signature.args)] = result

    def refuse(*_: Any, **__: Any) -> None:
        name = dispatcher.py_func.__qualname__
        raise TypeError(f"{name!r} is called from compiled code alone: give it an entry for Python "
                        "by @njit(nogil=True) in place of @inner()")  # fmt: skip

    dispatcher.add_overload, dispatcher._compile_for_args = keep, refuse
    return dispatcher
