"""Which tests a usual run leaves out: the rest of a product, which `pytest --all` runs, too.

What is left out is marked `slow`. The rules look at names and values alone, so that a test is in
every usual run or in none.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # not imported: a machine with a GPU may have none, and goes through tables too
    import pytest

ALL = "--all"  # the option that runs slow tests, too
T = TypeVar("T")
Combination = tuple[Any, ...]


def slow(*values: Any, id: str | None = None) -> Any:
    """Return values of parameters that only `--all` tries."""
    import pytest

    return pytest.param(*values, marks=pytest.mark.slow, id=id)


def chosen(name: str, options: Sequence[T]) -> T:
    """Return the option that the hash of a name stands for: the same in every process."""
    return options[zlib.crc32(name.encode()) % len(options)]


def sampled(
    kept: Callable[..., bool], axes: Mapping[str, Iterable[Any]], *,
    ids: Callable[[Any], str | None] | None = None,
) -> "pytest.MarkDecorator":  # fmt: skip
    """Return a mark that tries every combination with `--all`, and otherwise those that are kept.

    `axes` are the values of each parameter; `kept` takes a combination by position.
    """
    import pytest

    every = [row if kept(*row) else slow(*row) for row in product(*axes.values())]
    return pytest.mark.parametrize([*axes], every, ids=ids)


def together(
    kept: Callable[..., bool], axes: Mapping[str, Iterable[Any]], *,
    ids: Callable[[Any], str | None] | None = None,
) -> "pytest.MarkDecorator":  # fmt: skip
    """Return a mark as `sampled` does, but for one test of all values of the last axis.

    The test takes them as a list, for `each`; those that only `--all` tries are another test. To
    collect, share out and report thousands of tests takes longer than what many of them do.
    """
    import pytest

    *others, last = axes
    rows = []
    for row in product(*(axes[name] for name in others)):
        lists: dict[bool, list[Any]] = {True: [], False: []}
        for value in axes[last]:
            lists[bool(kept(*row, value))].append(value)
        rows += [pytest.param(*row, lists[True], id=_id(row, ids))] if lists[True] else []
        rows += [slow(*row, lists[False], id=f"{_id(row, ids)}-rest")] if lists[False] else []
    return pytest.mark.parametrize([*axes], rows)


def _id(row: Combination, ids: Callable[[Any], str | None] | None) -> str:
    return "-".join((ids(value) if ids else None) or str(value) for value in row)


def each(values: Iterable[T], check: Callable[[T], object]) -> None:
    """Check all values; fail with the names of all that fail, after the last of them."""
    failed = []
    for value in values:
        try:
            check(value)
        except AssertionError as error:
            failed.append(f"{value}: {error}")
        except Exception as error:
            error.add_note(f"for {value}")
            raise
    assert not failed, "\n".join(failed)


def pairwise(
    axes: Mapping[str, Iterable[Any]], *, ids: Callable[[Any], str | None] | None = None
) -> "pytest.MarkDecorator":
    """Return a mark that tries every combination with `--all`, and otherwise every pair of values.

    Whatever two values do together is seen by the usual run, in one combination at least.
    """
    rows = covering(axes)
    return sampled(lambda *row: row in rows, axes, ids=ids)


def each_value(*axes: Iterable[Any]) -> list[Combination]:
    """Return as few combinations as there are in which every value of every axis comes."""
    values = [[*one] for one in axes]
    count = max(len(one) for one in values)
    return [tuple(one[place % len(one)] for one in values) for place in range(count)]


def covering_names(parts: Mapping[str, Set[Any]], wanted: Set[Any] | None = None) -> list[str]:
    """Return few names that have, together, all parts that any has, or all of those `wanted`.

    Of names with as many that are wanted, the one with the fewest others.
    """
    left = {*wanted} if wanted is not None else {part for each in parts.values() for part in each}
    names = []
    while left:  # greedy, too
        names.append(max(parts, key=lambda name: (len(parts[name] & left), -len(parts[name]))))
        left -= parts[names[-1]]
    return names


def covering(axes: Mapping[str, Iterable[Any]]) -> list[Combination]:
    """Return combinations in which every pair of values of two parameters comes, and few others."""
    values = [[*one] for one in axes.values()]
    every = list(product(*(range(len(one)) for one in values)))
    pairs = {row: set(combinations(enumerate(row), 2)) for row in every}
    missing = set().union(*pairs.values())
    rows = []
    while missing:  # greedy: the one with most pairs that were in none before, the first of those
        best = max(every, key=lambda row: len(pairs[row] & missing))
        missing -= pairs[best]
        rows.append(tuple(one[place] for one, place in zip(values, best, strict=True)))
    return rows
