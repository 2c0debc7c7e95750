"""The steps of programs, by the numbers that engines know them by."""

from collections.abc import Iterable, Iterator
from typing import Any

from augfeed.operation import Declaration, Frame, Pointwise
from augfeed.operation.kinds import frame_codes
from augfeed.ops import _chains, _enhance

NONE = 0
POINTWISE, ENHANCE = 64, 128  # of the first of them
MATRIX, LINEAR = 200, 201
CHAINS = 202  # of the first that mixes chains


def step_codes(classes: Iterable[type[Declaration]]) -> dict[int, type[Any]]:
    """Return the classes of steps by their numbers, but for `MATRIX` and `LINEAR`."""
    classes = tuple(classes)
    points = sorted((cls for cls in classes if issubclass(cls, Pointwise)), key=_stream)
    return {
        **frame_codes(classes),
        **dict(enumerate(points, POINTWISE)),
        **dict(enumerate(_enhance.STEPS, ENHANCE)),
        **dict(enumerate(_chains.STEPS, CHAINS)),
    }


def table_steps(classes: Iterable[type[Declaration]]) -> Iterator[tuple[int, type[Any]]]:
    """Yield the steps that make a table of 256 levels, by their numbers."""
    for code, cls in step_codes(classes).items():
        if issubclass(cls, Pointwise) or (issubclass(cls, Frame) and hasattr(cls, "table")):
            yield code, cls


def _stream(cls: type[Declaration]) -> int:
    return int(cls.stream or 0)
