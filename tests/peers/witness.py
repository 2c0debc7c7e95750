"""What is ours of an automatic policy, in the terms that peers draw in, and tests of likeness."""

from collections import Counter
from collections.abc import Hashable, Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from augfeed.notation import parse_policy
from augfeed.operation import Geometry
from augfeed.operation.program import Candidate
from augfeed.plan import BatchRows, Plan, draw_plan

SIZE = (224, 192)  # height, width
OURS, THEIRS = 60_000, 8_000  # samples drawn
LEAST_P = 1e-3  # seeds are fixed: the numbers are the same in every run
FEWEST = 5.0  # expected in a cell of a table
Step = tuple[str, float]  # its name, and how strong it is, in the terms of `strength`


@cache
def plan_of(line: str, count: int = OURS, size: tuple[int, int] = SIZE, seed: int = 7) -> Plan:
    """Return the plan of `count` samples under a policy in one line."""
    return draw_plan(
        parse_policy(line), BatchRows.of(np.arange(count)), seed=seed, epoch=1, size=size
    )


def strength(candidate: Candidate, magnitudes: Any, size: tuple[int, int]) -> Any:
    """Return what pixels are changed by: a shift in pixels, a factor, degrees, bits, a level."""
    numbers = candidate.numbers(magnitudes, size)
    if candidate.name.startswith("translate"):
        assert candidate.step is Geometry
        return -numbers[:, "xy".index(candidate.name[-1]), 2]
    if candidate.name in ("brightness", "color", "contrast", "sharpness", "desaturate"):
        return numbers[:, 0]
    return magnitudes


def steps_of(plan: Plan, digits: int = 5) -> list[tuple[Step, ...]]:
    """Return the steps of every sample, in the order they are done."""
    program = plan.program
    assert program is not None
    leaf, found = program.slots.leaf, np.zeros(program.slots.leaf.shape)
    names = [""]
    for number, item in enumerate(program.leaves, 1):
        where = leaf == number
        names.append(item.name if isinstance(item, Candidate) else item.op)
        if isinstance(item, Candidate):
            found[where] = strength(item, program.slots.magnitude[where], plan.size)
    found = np.round(found, digits) + 0.0  # no zero below zero
    return [
        tuple((names[leaf[row, k]], float(found[row, k])) for k in np.flatnonzero(leaf[row]))
        for row in range(len(leaf))
    ]


def strengths_of(chains: Iterable[tuple[Step, ...]], name: str) -> list[float]:
    """Return how strong a step was, each time that it was done."""
    return [value for chain in chains for step, value in chain if step == name]


def names_of(chains: Iterable[tuple[Step, ...]]) -> Counter[tuple[str, ...]]:
    """Return how often each chain of steps came, whatever their strength."""
    return Counter(tuple(name for name, _ in chain) for chain in chains)


def assert_alike(ours: Counter[Any], theirs: Counter[Any]) -> None:
    """Hold that both counted draws of one law (chi-square); rare things are counted together."""
    own, other = ours.total(), theirs.total()
    table: list[tuple[int, int]] = []
    rest = np.zeros(2, np.int64)
    for key in sorted(ours | theirs, key=repr):
        pair = np.array([ours[key], theirs[key]])
        if pair.sum() * min(own, other) / (own + other) < FEWEST:
            rest += pair
        else:
            table.append((int(pair[0]), int(pair[1])))
    if rest.sum() * min(own, other) / (own + other) >= FEWEST:
        table.append((int(rest[0]), int(rest[1])))
    assert table, "something was counted"
    if len(table) == 1:
        return
    p_value = float(stats.chi2_contingency(np.array(table)).pvalue)
    assert p_value > LEAST_P, (p_value, ours.most_common(5), theirs.most_common(5))


def assert_same_values(ours: Iterable[Hashable], theirs: Iterable[Hashable]) -> None:
    """Hold that both drew the same values, none more and none less."""
    own, other = set(ours), set(theirs)
    assert own == other, (sorted(own - other, key=repr)[:9], sorted(other - own, key=repr)[:9])


def assert_one_law(ours: ArrayLike, theirs: ArrayLike) -> None:
    """Hold that numbers come from one distribution (Kolmogorov and Smirnov)."""
    own, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert len(own) > 100 and len(other) > 100
    p_value = float(stats.ks_2samp(own, other).pvalue)
    assert p_value > LEAST_P, (
        p_value,
        np.quantile(own, (0, 0.5, 1)),
        np.quantile(other, (0, 0.5, 1)),
    )
