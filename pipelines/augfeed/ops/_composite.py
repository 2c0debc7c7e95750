"""What operations that hold others share."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from augfeed.operation import Mixing
from augfeed.operation.program import MOST_CHILDREN, Node, Op

if TYPE_CHECKING:
    from augfeed.ops._registry import Part


def check_parts(operations: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return operations; raise `ValueError` for one that mixes samples."""
    for item in operations:
        if isinstance(item, Mixing) and item.program is None:
            raise ValueError(
                f"{item.op!r} of mixing operations mixes samples, and a program changes one: put "
                "it beside the program"
            )
    return operations


Parts = Annotated[
    tuple["Part", ...],
    Field(
        min_length=1, max_length=MOST_CHILDREN, description="operations, of one image and no window"
    ),
    AfterValidator(check_parts),
]
Weights = Annotated[
    tuple[Annotated[float, Field(ge=0)], ...],
    Field(description="relative weights, one for each operation; none: all the same"),
]


def nodes(operations: Iterable[Any]) -> tuple[Node, ...]:
    """Return the nodes of a tree that operations are."""
    return tuple(item.program or Op(item) for item in operations)


def check_weights(weights: tuple[float, ...], operations: tuple[Any, ...]) -> None:
    """Raise `ValueError` unless there is a weight for each operation, or none, and one above 0."""
    if weights and len(weights) != len(operations):
        raise ValueError(
            f"weights={weights!r} has {len(weights)} entries for "
            f"{len(operations)} operations: give one weight for each"
        )
    if weights and sum(weights) <= 0:
        raise ValueError(f"weights={weights!r} sum to 0: give one above 0")
