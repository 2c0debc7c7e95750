"""The draws of programs: which steps each sample gets, in which order, and by how much."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Drawn, Flags, Uniforms
from augfeed.operation.draws import index
from augfeed.operation.program import (
    Candidate,
    Chains,
    Choice,
    Graded,
    Magnitudes,
    Node,
    Op,
    Series,
    Some,
    weights_of,
)
from augfeed.philox import Stream, dirichlet, draw
from augfeed.plan.batch_rows import Ids

FIRST_STREAM = int(Stream.PROGRAMS)  # of the first program of a policy
BLOCKS = 64  # of four numbers each, that a node may draw
GAMMAS = 32  # that the weights of a node's chains are made of, at most


@dataclass(frozen=True, slots=True)
class Slots:
    """What the samples get, in the order it is done: `[M, K]` all.

    `leaf` int16 counts the leaves of a policy from 1 on, 0 stands for none. `bin` is -1 where there
    is none; `magnitude` float64, signed, is that of a law's candidate.
    """

    leaf: NDArray[np.int16]
    bin: NDArray[np.int16]
    magnitude: NDArray[np.float64]

    def where(self, wanted: Flags, other: "Slots | None" = None) -> "Slots":
        """Return these slots where they are wanted, and the others, or none, elsewhere."""
        width = max(self.leaf.shape[1], 0 if other is None else other.leaf.shape[1])
        rest = empty(len(wanted), width) if other is None else other.padded(width)
        own = self.padded(width)
        return Slots(*(np.where(wanted[:, None], mine, theirs)
                       for mine, theirs in zip(own.arrays, rest.arrays, strict=True)))  # fmt: skip

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All three."""
        return self.leaf, self.bin, self.magnitude

    def padded(self, width: int) -> "Slots":
        """Return slots of a width, with empty ones behind."""
        missing = width - self.leaf.shape[1]
        return joined([self, empty(len(self.leaf), missing)]) if missing else self


def empty(count: int, width: int) -> Slots:
    """Return slots without steps."""
    return Slots(
        np.zeros((count, width), np.int16),
        np.full((count, width), -1, np.int16),
        np.zeros((count, width)),
    )


def joined(parts: list[Slots]) -> Slots:
    """Return the slots of all parts, one part after another."""
    return Slots(*map(np.hstack, zip(*(part.arrays for part in parts), strict=True)))


@dataclass(slots=True)
class Drawer:
    """Draws the trees of a policy's programs, and keeps what their operations decided.

    `leaves` are the operations and candidates, in the order they were met; `made` is what those
    operations drew of every sample, by their number, None for candidates.
    """

    seed: int
    epoch: int
    ids: Ids
    size: tuple[int, int]
    leaves: list[Any] = field(default_factory=list)
    made: list[Drawn | None] = field(default_factory=list)
    stream: int = FIRST_STREAM
    position: int = 0
    _known: dict[Candidate, int] = field(default_factory=dict)

    def program(self, node: Node) -> Slots:
        """Return the slots of one program of the policy; they are asked for in its order."""
        self.position = 0
        slots = self.node(node)
        self.stream += 1
        return slots

    def node(self, node: Node) -> Slots:
        """Return the slots of a node, whose draws are keyed by its place in the tree."""
        place = self.position
        self.position += 1
        match node:
            case Op():
                return self._operation(node.operation, place)
            case Graded():
                return self._graded(node, place)
            case Choice():
                u = self._uniforms(place, 2)
                children = [self.node(child) for child in node.children]
                chosen = _chosen(u[1], weights_of(node))
                made = empty(len(self.ids), 0)
                for k, child in enumerate(children):
                    made = child.where(chosen == k, made)
                return made.where(u[0] < node.p)
            case Some():
                return self._some(node, place)
            case Chains():
                return self._chains(node, place)
            case Series():
                u = self._uniforms(place, 1)
                return joined([self.node(child) for child in node.children]).where(u[0] < node.p)

    def _uniforms(self, place: int, count: int) -> Uniforms:
        return draw(self.seed, self.epoch, self.ids, [(self.stream, place * BLOCKS, count)])

    def _operation(self, operation: Any, place: int) -> Slots:
        u = self._uniforms(place, operation.uniforms)
        applied = u[0] < operation.p
        self.leaves.append(operation)
        drawn = operation.draw(u, applied, self.size)
        self.made.append(Drawn({"applied": applied, **drawn.values}, drawn.columns))
        made = empty(len(self.ids), 1)
        made.leaf[:, 0] = np.where(applied, len(self.leaves), 0)
        return made

    def _number(self, candidate: Candidate) -> int:
        if candidate not in self._known:
            self.leaves.append(candidate)
            self.made.append(None)
            self._known[candidate] = len(self.leaves)
        return self._known[candidate]

    def _graded(self, node: Graded, place: int) -> Slots:
        law, width = node.magnitude, len(node.groups)
        each = 2 + law.uniforms  # whether it is done, the sign, the magnitude
        u = self._uniforms(place, 2 + each * width)
        chosen = np.where(u[0] < node.p, _chosen(u[1], weights_of(node)), -1)
        counts = np.bincount(chosen + 1, minlength=len(node.entries) + 1)[1:].tolist()
        made = empty(len(self.ids), width)
        for s in range(width):
            own = u[2 + s * each : 2 + (s + 1) * each]
            drawn = law.draw(own[2:], len(self.ids))
            for entry, numbers in node.groups[s]:
                drawn_by = [k for k in numbers if counts[k]]
                if entry.candidate is None or not drawn_by:
                    continue
                rows = _rows(chosen, drawn_by)
                if entry.p < 1.0:
                    rows = rows[own[0][rows] < entry.p]
                if len(rows):
                    sign = np.where(own[1][rows] < 0.5, -1.0, 1.0)
                    magnitude = entry.magnitudes(drawn[rows])
                    made.leaf[rows, s] = self._number(entry.candidate)
                    made.bin[rows, s] = entry.bins(drawn[rows])
                    made.magnitude[rows, s] = (
                        sign * magnitude if entry.candidate.signed else magnitude
                    )
        return made

    def _some(self, node: Some, place: int) -> Slots:
        count = len(node.children)
        u = self._uniforms(place, 2 + node.most)
        children = [self.node(child) for child in node.children]
        wanted = node.least + index(u[1], node.most - node.least + 1)
        left = np.tile(np.array(weights_of(node)), (len(self.ids), 1))
        parts = []
        for k in range(node.most):
            edges = np.cumsum(left, axis=1)
            picked = np.minimum((edges <= u[2 + k][:, None] * edges[:, -1:]).sum(axis=1), count - 1)
            real = (k < wanted) & (edges[:, -1] > 0) & (u[0] < node.p)
            left[np.arange(len(left)), picked] = 0.0
            part = empty(len(self.ids), 0)
            for c, child in enumerate(children):
                part = child.where((picked == c) & real, part)
            parts.append(part)
        return joined(parts) if parts else empty(len(self.ids), 0)

    def _chains(self, node: Chains, place: int) -> Slots:
        u, stream = self._uniforms(place, 1), Stream.CHAINS + self.stream - FIRST_STREAM
        key = self.seed, self.epoch, self.ids, stream
        weights = dirichlet(*key, place * GAMMAS, node.alpha, node.width)
        share = dirichlet(*key, place * GAMMAS + node.width, node.alpha, 2)[1]
        kept, ended, mixed = node.weigh(weights, share)
        parts = [self._control(node.steps[0], kept)]
        for weight in ended:
            parts += [self.node(node.child), self._control(node.steps[1], weight)]
        parts.append(self._control(node.steps[2], mixed))
        return joined(parts).where(u[0] < node.p)

    def _control(self, candidate: Candidate, magnitude: Magnitudes) -> Slots:
        made = empty(len(self.ids), 1)
        made.leaf[:, 0] = self._number(candidate)
        made.magnitude[:, 0] = magnitude
        return made


def _chosen(u: Uniforms, weights: tuple[float, ...]) -> NDArray[np.int64]:
    edges = np.cumsum(weights)
    made: NDArray[np.int64] = np.searchsorted(edges[:-1] / edges[-1], u, side="right")
    return made


def _rows(chosen: NDArray[np.int64], numbers: list[int]) -> NDArray[np.int64]:
    wanted = chosen == numbers[0] if len(numbers) == 1 else np.isin(chosen, numbers)
    return np.flatnonzero(wanted)
