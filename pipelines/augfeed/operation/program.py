"""What a program is drawn from: a tree of choices and sequences, whose leaves are operations.

A program is what one sample gets: a few steps in drawn order. A composite operation, or a law such
as RandAugment, is a `Program` that returns its tree; everything else follows from that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation.draws import Uniforms, between, index
from augfeed.operation.effects import Effect, Setting
from augfeed.operation.parameter_types import Sides

MOST_CHILDREN = 64  # of a node
Magnitudes = NDArray[np.float64]
Bins = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FixedBin:
    """The magnitude of one bin, from 0 on."""

    bin: int
    uniforms: int = 0

    def draw(self, u: Uniforms, count: int) -> Magnitudes:
        """Return the number of the bin of `count` samples."""
        return np.full(count, float(self.bin))


@dataclass(frozen=True, slots=True)
class UniformBins:
    """The magnitude of one of `bins` bins, each as often."""

    bins: int
    uniforms: int = 1

    def draw(self, u: Uniforms, count: int) -> Magnitudes:
        """Return the numbers of bins, from uniforms `[1, count]`."""
        return index(u[0], self.bins).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Uniform:
    """A strength that is uniform from `low` to `high`."""

    low: float
    high: float
    uniforms: int = 1

    def draw(self, u: Uniforms, count: int) -> Magnitudes:
        """Return strengths, from uniforms `[1, count]`."""
        return between(u[0], self.low, self.high)


@dataclass(frozen=True, slots=True)
class Normal:
    """A strength that is normal, held between `low` and `high`."""

    mean: float
    std: float
    low: float
    high: float
    uniforms: int = 2

    def draw(self, u: Uniforms, count: int) -> Magnitudes:
        """Return strengths, from uniforms `[2, count]` (Box and Muller)."""
        normal = np.sqrt(-2.0 * np.log(1.0 - u[0])) * np.cos(2.0 * np.pi * u[1])
        made: Magnitudes = np.clip(self.mean + self.std * normal, self.low, self.high)
        return made


Law = FixedBin | UniformBins | Uniform | Normal


def _no_effects(low: float, high: float, setting: Setting) -> Iterator[Effect]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One step that a law may draw, whose numbers follow from a magnitude.

    `step` is `Geometry`, or the class of a step on frames, of a pointwise or a linear operation.
    `numbers(magnitudes, size)` takes float64 `[n]` and `(height, width)`, and returns float64
    `[n, P]`: what a step on frames reads, the columns of a pointwise or linear operation, in their
    order, or for `Geometry` inverse matrices `[n, 3, 3]`.
    `signed`: the magnitude is negated with a probability of one half. `words` says what a magnitude
    did; `effects(low, high, setting)` yields what magnitudes from `low` to `high` may do to labels,
    the parameter of each named after the candidate. `moves`: whether pixels change places;
    `reach`: how far the kernel of a neighborhood reaches. Geometry of candidates is affine.
    """

    name: str
    step: type[Any]
    numbers: Callable[[Magnitudes, Sides], NDArray[np.float64]]
    signed: bool = False
    words: Callable[[float], str] = "{:g}".format
    effects: Callable[[float, float, Setting], Iterator[Effect]] = _no_effects
    moves: bool = False
    reach: int = 0

    def __post_init__(self) -> None:
        if hasattr(self.step, "taps") and not self.reach:
            # Kernels on a GPU are compiled for it, and would cut the weights off in silence.
            raise TypeError(f"{self.name}: say how far the kernel of a neighborhood reaches")


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate in a slot, None for no step; `p` is the probability that it is done.

    `values` are the magnitudes of the bins, or a function from strengths to magnitudes, float64
    `[n]` both. `bin` is one of its own, whatever the law.
    """

    candidate: Candidate | None
    values: tuple[float, ...] | Callable[[Magnitudes], Magnitudes] = (0.0,)
    p: float = 1.0
    bin: int | None = None

    def magnitudes(self, drawn: Magnitudes) -> Magnitudes:
        """Return the magnitudes, unsigned, for what the law drew."""
        if callable(self.values):
            return self.values(drawn)
        table = np.array(self.values)
        if len(table) == 1:
            return np.full(len(drawn), table[0])
        bins = drawn.astype(np.int64) if self.bin is None else np.full(len(drawn), self.bin)
        made: Magnitudes = table[bins]
        return made

    def bins(self, drawn: Magnitudes) -> Bins:
        """Return the bins, -1 where there are none."""
        if callable(self.values) or len(self.values) == 1:
            return np.full(len(drawn), -1)
        return drawn.astype(np.int64) if self.bin is None else np.full(len(drawn), self.bin)

    def bounds(self, law: Law) -> tuple[float, float]:
        """Return the least and the most magnitude that may come, unsigned."""
        match law:
            case Uniform() | Normal():
                reached = self.magnitudes(np.linspace(law.low, law.high, 101))
            case UniformBins():
                reached = self.magnitudes(np.arange(law.bins, dtype=np.float64))
            case _:
                reached = self.magnitudes(law.draw(np.empty((0, 1)), 1))
        return float(reached.min()), float(reached.max())


@dataclass(frozen=True, slots=True)
class Op:
    """An operation, by its own law: its `p` says how often."""

    operation: Any


@dataclass(frozen=True, slots=True)
class Graded:
    """One of several entries, each a few slots that are done in order.

    `groups` are the entries of each slot, each once, with the numbers that it is chosen by.
    """

    entries: tuple[tuple[Entry, ...], ...]
    magnitude: Law = FixedBin(0)
    weights: tuple[float, ...] = ()
    p: float = 1.0
    groups: tuple[tuple[tuple[Entry, tuple[int, ...]], ...], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        groups = []
        for slot in range(max(map(len, self.entries), default=0)):
            found: dict[Entry, list[int]] = {}
            for k, slots in enumerate(self.entries):
                if slot < len(slots):
                    found.setdefault(slots[slot], []).append(k)
            groups.append(tuple((entry, tuple(numbers)) for entry, numbers in found.items()))
        object.__setattr__(self, "groups", tuple(groups))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the children, by weight."""

    children: tuple["Node", ...]
    weights: tuple[float, ...] = ()
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class Some:
    """From `least` to `most` of the children, each once at most, in the order they are drawn."""

    children: tuple["Node", ...]
    least: int
    most: int
    weights: tuple[float, ...] = ()
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class Series:
    """All children, in the order given."""

    children: tuple["Node", ...]
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class Chains:
    """`width` chains, mixed with one another and with the image that each of them starts from.

    A chain is a draw of `child` of its own, in which there are no chains. Their weights are from
    Dirichlet(`alpha`, ...), the share of the mixture is from Beta(`alpha`, `alpha`). `steps` keep
    the image, end a chain, and end the last one: see `augfeed.ops._chains`. `weigh` takes weights
    float64 `[width, n]` and shares `[n]`, and returns the magnitudes of these steps: `[n]`,
    `[width, n]` and `[n]`.
    """

    child: "Node"
    width: int
    alpha: float
    steps: tuple[Candidate, Candidate, Candidate]
    weigh: Callable[[Magnitudes, Magnitudes], tuple[Magnitudes, Magnitudes, Magnitudes]]
    p: float = 1.0


Node = Op | Graded | Choice | Some | Series | Chains


def shuffled(children: tuple[Node, ...], p: float = 1.0) -> Some:
    """Return all children, in a drawn order."""
    return Some(children, len(children), len(children), p=p)


def weights_of(node: Graded | Choice | Some) -> tuple[float, ...]:
    """Return the weights of a node, all 1 where none are given."""
    count = len(node.entries) if isinstance(node, Graded) else len(node.children)
    return node.weights or (1.0,) * count


def slots_of(node: Node) -> int:
    """Return how many slots a node takes at most."""
    match node:
        case Op():
            return 1
        case Graded(entries=entries):
            return max(map(len, entries))
        case Choice(children=children):
            return max(map(slots_of, children))
        case Some(children=children, most=most):
            return most * max(map(slots_of, children))
        case Chains(child=child, width=width):
            return 2 + width * (slots_of(child) + 1)
    return sum(map(slots_of, node.children))


def parts_of(node: Node, p: float = 1.0) -> Iterator[tuple[Any, float]]:
    """Yield the operations, and the (entry, law) pairs, that a sample may get, each with `p`.

    `p` is 0 for one that no sample gets, and else a probability above 0, though not the exact one.
    """
    match node:
        case Op(operation=operation):
            yield operation, p * operation.chance
        case Graded(entries=entries):
            for slots, weight in zip(entries, weights_of(node), strict=True):
                for entry in slots:
                    if entry.candidate is not None:
                        yield (entry, node.magnitude), p * node.p * weight * entry.p
        case Choice() | Some():
            some = 0 if isinstance(node, Some) and not node.most else 1
            for child, weight in zip(node.children, weights_of(node), strict=True):
                yield from parts_of(child, p * node.p * weight * some)
        case Series():
            for child in node.children:
                yield from parts_of(child, p * node.p)
        case Chains():
            yield from parts_of(node.child, p * node.p)
