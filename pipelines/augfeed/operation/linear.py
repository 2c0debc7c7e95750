"""Steps of linear color operations: what they are composed of, a matrix a sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Scaled = tuple[Any, Any]
Row = tuple[Any, Any, Any]
Matrix = tuple[Row, Row, Row]


@dataclass(frozen=True, slots=True)
class Step:
    """One linear step of an operation, on values from 0 to 1, in float64.

    `body` takes the columns `reads` of a sample and, where `mean_unless` names a column, its mean
    gray last. It returns a factor and a summand for every channel alike; with `rgb`, the
    matrix `[3][3]` that three channels are multiplied with, and images of one channel stay as
    they are. A sample whose first column is neutral is left out. Where the column that
    `mean_unless` names holds, no mean is needed.
    """

    body: Callable[..., Any]
    reads: tuple[str, ...]
    rgb: bool = False
    mean_unless: str = ""
