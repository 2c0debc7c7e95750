"""Programs: the steps that each sample gets of its own, drawn and brought into an order to do."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Drawn, Frame, Geometry, Linear, Matrices, Pointwise, Statistics
from augfeed.operation.kinds import Stencil
from augfeed.operation.program import Candidate, Chains, Choice, Graded, Node, Op, Some
from augfeed.ops._enhance import Color
from augfeed.ops._registry import ALL
from augfeed.ops._steps import LINEAR, MATRIX, NONE, step_codes
from augfeed.plan._columns import Columns
from augfeed.plan.draws import Draws
from augfeed.plan.frames import FrameSteps
from augfeed.plan.program_draws import Drawer, Slots, joined
from augfeed.plan.shifts import DISPLACEMENTS, READS, Shift
from augfeed.policy import Policy

STEPS = step_codes(ALL)
CODES = {cls: code for code, cls in STEPS.items()}
MAPS = 18  # numbers of a linear step: of three channels 9, 3 and 3, of one 1, 1 and 1


@dataclass(frozen=True, slots=True)
class Program:
    """What the samples get, in drawn order, up to K steps each.

    `slots` are as drawn, of `leaves` (operations and a law's candidates), whose own draws are
    `made`. `code` uint8 `[M, K]` and `value` float32 `[M, K, P]` are what is done to frames that
    flips have been applied to already: neighbouring geometry has become one `MATRIX` step, and that
    at the end is not among them: it is `inverse`, float64 `[M, 3, 3]`, where `moved`.
    """

    slots: Slots
    leaves: tuple[Any, ...]
    made: tuple[Drawn | None, ...]
    code: NDArray[np.uint8]
    value: NDArray[np.float32]
    moved: NDArray[np.bool_]
    inverse: Matrices
    widths: tuple[int, ...]  # the slots of each program of the policy
    flip_x: NDArray[np.bool_]  # of the frames that are made; those of others are the pass's
    flip_y: NDArray[np.bool_]

    @property
    def framed(self) -> NDArray[np.bool_]:
        """Whether a frame has to be made for a row: bool `[M]`."""
        return np.asarray(self.code.any(axis=1))

    def after(
        self, warped: NDArray[np.bool_], inverse: NDArray[np.float32], size: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return whether pixels still move, and where from, once the steps on frames are done.

        `warped` and `inverse` are those of the policy's geometry, flips included.
        """
        made: Matrices = inverse.astype(np.float64)
        mirrored = mirrors(self.flip_x, self.flip_y, size)
        # The first of what is left acts on an image that has been flipped.
        made = self.inverse @ (mirrored @ made)
        frameless = ~self.framed
        made[frameless] = mirrored[frameless] @ made[frameless]
        changed = self.framed | self.moved
        return warped | self.moved, np.where(
            changed[:, None, None], made, inverse
        ).astype(np.float32)  # fmt: skip

    @property
    def flips(self) -> NDArray[np.bool_]:
        """Whether frames are mirrored left and right, and top and bottom, before: `[M, 2]`."""
        return np.stack([self.flip_x, self.flip_y], axis=1)

    def taps(
        self, which: NDArray[np.int64] | slice = slice(None), most: int | None = None
    ) -> NDArray[np.float32]:
        """Return the kernels of the steps of some rows: see `FrameSteps.taps`."""
        return FrameSteps(self.code, self.value).taps(which, most)

    def earlier(self, row: int, size: tuple[int, int]) -> tuple[list[Matrices | Shift], Matrices]:
        """Return the maps by which a row's frame was sampled before, and its mirror.

        Those are inverse maps float64 `[3, 3]` and displacements, in the order in which they were,
        the first from the frame as it is cut out, flips included; and `[3, 3]` for what the pass
        reads, the identity unless its frame was mirrored and not sampled.
        """
        steps: list[Matrices | Shift] = []
        for slot, code in enumerate(self.code[row].tolist()):
            if code == MATRIX:
                steps.append(self.value[row, slot, :9].reshape(3, 3).astype(np.float64))
            elif code in DISPLACEMENTS:
                steps.append(Shift(tuple(self.value[row, slot, :READS].tolist())))
        if not self.framed[row]:
            return steps, np.eye(3)
        mirror = mirrors(self.flip_x[[row]], self.flip_y[[row]], size)[0]
        if not steps:
            return steps, mirror
        if not isinstance(steps[0], Shift):
            steps[0] = mirror @ steps[0]
        elif self.flip_x[row] or self.flip_y[row]:
            steps.insert(0, mirror)
        return steps, np.eye(3)

    @property
    def applied(self) -> NDArray[np.bool_]:
        """Whether a row has any step: bool `[M]`."""
        return np.asarray(self.slots.leaf.any(axis=1))


def draw_program(policy: Policy, draws: Draws, size: tuple[int, int]) -> Program | None:
    """Return the programs of some samples, None for a policy that has none."""
    if not policy.programs:
        return None
    drawer = Drawer(draws.seed, draws.epoch, draws.ids, size)
    programs = []
    for item in policy.programs:
        drawer.ids = draws.keys(item)
        programs.append(drawer.program(item.program))
    slots, widths = joined(programs), tuple(part.leaf.shape[1] for part in programs)
    leaves, made = tuple(drawer.leaves), tuple(drawer.made)
    width = max((_numbers(code_of(leaf)) for leaf in leaves), default=1)
    code = np.zeros(slots.leaf.shape, np.uint8)
    value = np.zeros((*slots.leaf.shape, width), np.float32)
    matrices = np.broadcast_to(np.eye(3), (*slots.leaf.shape, 3, 3)).copy()
    for number, leaf in enumerate(leaves, 1):
        where = np.nonzero(slots.leaf == number)  # rows, and the slots of these
        if len(where[0]):
            code[where] = code_of(leaf)
            found = numbers_of(leaf, made[number - 1], slots, where, size)
            if code_of(leaf) == MATRIX:
                matrices[where] = found
            else:
                value[where[0], where[1], : found.shape[1]] = found
    moved, inverse = _compiled(code, value, matrices)
    still = np.zeros(len(draws.ids), np.bool_)
    return Program(slots, leaves, made, code, value, moved, inverse, widths, still, still)


def with_flips(program: Program, columns: Columns) -> tuple[Program, Columns]:
    """Return a program that knows the flips, and columns without those of frames that are made."""
    flips = columns.flip_x, columns.flip_y
    kept = [flip & ~program.framed for flip in flips]
    return (
        replace(program, flip_x=flips[0], flip_y=flips[1]),
        replace(columns, flip_x=kept[0], flip_y=kept[1]),
    )


def mirrors(x: NDArray[np.bool_], y: NDArray[np.bool_], size: tuple[int, int]) -> Matrices:
    """Return float64 `[M, 3, 3]` that mirror images left and right, and top and bottom."""
    made: Matrices = np.tile(np.eye(3), (len(x), 1, 1))
    for axis, flips in ((0, x), (1, y)):
        made[flips, axis, axis] = -1.0
        made[flips, axis, 2] = size[1 - axis] - 1.0
    return made


def code_of(leaf: Any) -> int:
    """Return the number of the step that an operation, or a candidate, is."""
    cls = leaf.step if isinstance(leaf, Candidate) else type(leaf)
    if issubclass(cls, Geometry):
        return MATRIX
    return LINEAR if issubclass(cls, Linear) else CODES[cls]


def _numbers(code: int) -> int:
    if code in (MATRIX, LINEAR):
        return MAPS if code == LINEAR else 9
    return len(STEPS[code].read_columns())


def numbers_of(
    leaf: Any, drawn: Drawn | None, slots: Slots, where: tuple[NDArray[np.int64], ...],
    size: tuple[int, int],
) -> NDArray[np.float64]:  # fmt: skip
    """Return what a step reads where it stands, in rows and their slots: `[n, P]`, or matrices
    `[n, 3, 3]`."""
    rows = where[0]
    if isinstance(leaf, Candidate):
        cls, found = leaf.step, np.asarray(leaf.numbers(slots.magnitude[where], size), np.float64)
        if issubclass(cls, Geometry):
            return found
        columns = SimpleNamespace(**columns_of(cls, found))
    else:
        assert drawn is not None
        cls = type(leaf)
        if isinstance(leaf, Geometry):
            return leaf.inverse({key: values[rows] for key, values in drawn.values.items()}, size)
        columns = SimpleNamespace(**{name: values[rows] for name, values in drawn.columns.items()})
    if issubclass(cls, Linear):
        return _map(cls, columns, len(rows))
    read = [column.of(columns) if column.of else getattr(columns, column.name)
            for column in cls.read_columns()]  # fmt: skip
    return np.array(read, np.float64).reshape(len(read), len(rows)).T


def columns_of(cls: type[Any], numbers: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Return the columns that the numbers of a candidate are, `[n]` each, by name."""
    known = cls.read_columns() if issubclass(cls, Frame) else cls.columns
    return {column.name: numbers[:, k].astype(column.dtype) for k, column in enumerate(known)}


def _map(leaf: type[Linear], columns: Any, count: int) -> NDArray[np.float64]:
    # The maps of three channels, and of one, on values from 0 to 1.
    from augfeed.kernels.color_matrices import fill_color_maps
    from augfeed.kernels.types import COLORS, neutral

    colors = neutral(count, COLORS)
    for column in leaf.columns:
        colors[column.name] = getattr(columns, column.name)
    made = np.empty((count, MAPS))
    for channels, part in ((3, slice(0, 15)), (1, slice(15, 18))):
        maps = np.zeros((count, 16), np.float32)
        fill_color_maps(colors, 1.0, np.stack([np.zeros(channels), np.ones(channels)]), maps)
        made[:, part] = maps[:, :15] if channels == 3 else maps[:, [0, 9, 12]]
    return made


def _compiled(
    code: NDArray[np.uint8], value: NDArray[np.float32], matrices: Matrices
) -> tuple[NDArray[np.bool_], Matrices]:
    # Neighbouring matrices become one, in the slot of the last of them; those at the end of a row
    # are taken off, and returned.
    count, slots = code.shape
    ahead = np.broadcast_to(np.eye(3), (count, 3, 3)).copy()  # of a run that no step has ended yet
    last = np.full(count, -1)  # the slot of the run's last matrix, -1 without a run
    moved, inverse = np.zeros(count, np.bool_), ahead.copy()
    for k in range(slots):
        here = code[:, k] == MATRIX
        ahead[here] = ahead[here] @ matrices[here, k]
        last[here] = k
        code[here, k] = NONE
        ends = np.flatnonzero((code[:, k] != NONE) & (last >= 0))
        if len(ends):
            code[ends, last[ends]] = MATRIX
            value[ends, last[ends], :9] = ahead[ends].reshape(-1, 9)
            ahead[ends], last[ends] = np.eye(3), -1
    moved[:] = last >= 0
    inverse[moved] = ahead[moved]
    return moved, inverse


@lru_cache(maxsize=64)  # asked for every batch
def codes_of(policy: Policy) -> tuple[tuple[int, ...], ...]:
    """Return, for each slot of a policy's programs, the codes that may stand there."""
    slots = [slot for item in policy.programs for slot in _codes(item.program)]
    return tuple(tuple(sorted(slot)) for slot in slots)


@lru_cache(maxsize=64)
def rarer(slots: tuple[tuple[int, ...], ...]) -> Literal[True] | None:
    """Return whether a slot, of the codes that may stand there, has other steps than common ones.

    None if not: see `augfeed.kernels.spatial_steps`.
    """
    codes = {code for slot in slots for code in slot}
    return True if any(not _is_common(code) for code in codes) else None


def _is_common(code: int) -> bool:
    # Tables, warps, Pillow's color, and stencils.
    cls = STEPS.get(code, Linear)
    return code == MATRIX or issubclass(cls, Statistics | Pointwise | Stencil | Color)


def most_numbers(codes: tuple[tuple[int, ...], ...]) -> int:
    """Return how many numbers any step of some codes reads."""
    return max((_numbers(code) for slot in codes for code in slot), default=0)


def _codes(node: Node) -> list[set[int]]:
    match node:
        case Op(operation=operation):
            return [{code_of(operation)}]
        case Graded(entries=entries):
            return _merged([
                [{code_of(entry.candidate)} if entry.candidate else set() for entry in slots]
                for slots in entries
            ])  # fmt: skip
        case Choice(children=children):
            return _merged([_codes(child) for child in children])
        case Some(children=children, most=most):
            return _merged([_codes(child) for child in children]) * most
        case Chains(child=child, width=width, steps=steps):
            first, end, last = ({code_of(step)} for step in steps)
            return [first, *[*_codes(child), end] * width, last]
    return [slot for child in node.children for slot in _codes(child)]


def _merged(parts: list[list[set[int]]]) -> list[set[int]]:
    return [set().union(*slots) for slots in zip_longest(*parts, fillvalue=set())]
