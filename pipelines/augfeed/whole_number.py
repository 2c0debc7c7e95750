"""Whole numbers that callers give, of any integer type."""

import operator
from typing import Any

from augfeed.errors import InputError, InputTypeError


def whole_number(name: str, value: Any, lowest: int | None = None) -> int:
    """Return an integer of any type but bool as int.

    Raises `InputTypeError` for anything else, and `InputError` below `lowest`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise InputTypeError(f"{name}={value!r} is not an integer: give a whole number")
    if lowest is not None and number < lowest:
        raise InputError(f"{name}={value!r} is not {lowest} or more: give a larger number")
    return number
