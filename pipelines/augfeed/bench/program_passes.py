"""What the kernels that carry out programs take: instructions of those whose turn it is."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.bench.kernel_pass import Grid, Pass, pass_of
from augfeed.bench.result import Shape
from augfeed.bench.sass import Listing
from augfeed.engines.cuda import spatial
from augfeed.engines.cuda.program_launch import LAST_CHAINS, PARTS, cut_constants, kernels_of
from augfeed.engines.cuda.program_layout import (
    COLOR,
    COUNTS,
    HUE,
    LINEAR,
    MATRIX,
    TABLES,
    program_bits,
)
from augfeed.engines.cuda.report import programs_code
from augfeed.engines.cuda.scratch import BLOCK
from augfeed.engines.cuda.spec import Spec
from augfeed.operation import Stencil
from augfeed.ops._steps import CHAINS
from augfeed.plan import Plan, Program
from augfeed.plan.frames import FRAMES, FrameSteps, is_spatial

THREADS = 128  # of a program of these kernels
# Bytes that a kernel moves for a value of a frame whose turn it is: frames are bytes, sums floats.
MOVES = {
    "cut_frames": 2, "count_drawn": 1, "look_up_drawn": 2, "combine_drawn": 2, "warp_drawn": 2,
    "bring_back": 2, "mix_drawn": 11, "weigh_drawn_across": 5, "weigh_drawn_down": 5,
    "make_stencils drawn": 5, "put_frames drawn": 5,
}  # fmt: skip
Rows = NDArray[np.bool_]


class Turn(NamedTuple):
    """A launch of a kernel: the rows whose turn it is, and how often their loop goes round."""

    kernel: str
    rows: Rows
    block: int
    trips: float = 1.0


def program_passes(
    plan: Plan, spec: Spec, shape: Shape, arch: int
) -> tuple[tuple[Pass, ...], bool]:
    """Return the kernels before the pass in their order, and whether some are not known.

    `fill_drawn`, one program a row, is left out: it makes 256 levels and no pixels.
    """
    if plan.program is None:
        return (), False
    code = {name: Listing.parse(text) for name, text in programs_code(spec, arch).items()
            if name in MOVES}  # fmt: skip
    found = []
    for turn in _turns(plan.program, spec, shape):
        pixels = shape.height * shape.width
        parts = PARTS if turn.kernel == "count_drawn" else -(-pixels // turn.block)
        grid = Grid(len(plan.ids) * parts, THREADS, shape.batch * pixels)
        shares = _shares(plan.program, turn)
        busy, idle = (pass_of(turn.kernel, code[turn.kernel], shares | {"turn": chance}, grid,
                              turn.trips) for chance in (1.0, 0.0))  # fmt: skip
        share = float(turn.rows.mean())
        found.append(_blended(busy, idle, share, share * MOVES[turn.kernel] * shape.channels))
    return tuple(found), _unknown(plan.program)


def _turns(program: Program, spec: Spec, shape: Shape) -> Iterator[Turn]:
    pixels = shape.height * shape.width
    yield Turn("cut_frames", program.framed, cut_constants(spec)["BLOCK"])
    bits = program_bits(program)
    for slot in range(len(spec.program)):
        codes = np.where(program.framed, program.code[:, slot], 0)
        chains = (codes >= CHAINS) & (codes <= LAST_CHAINS)
        rows = {
            "count_drawn": bits[:, slot] & COUNTS > 0, "look_up_drawn": bits[:, slot] & TABLES > 0,
            "combine_drawn": np.isin(codes, (LINEAR, COLOR, HUE)), "mix_drawn": chains,
            "warp_drawn": codes == MATRIX, "bring_back": codes == MATRIX,
        }  # fmt: skip
        for name, constants in kernels_of(spec, slot).items():
            if name.startswith("weigh_drawn"):
                whose = codes == constants["CODE"]
                trips = _reach(program, slot, whose)
                yield Turn(name, whose, constants["BLOCK"], trips)
            elif name in rows:
                trips = pixels / (PARTS * BLOCK) if name == "count_drawn" else 1.0
                yield Turn(name, rows[name], constants["BLOCK"], max(1.0, trips))
        for each in filter(_is_stencil, spec.program[slot]):
            for name in ("make_stencils drawn", "put_frames drawn"):
                yield Turn(name, codes == each, spatial.BLOCK)


def _is_stencil(code: int) -> bool:
    return bool(is_spatial(code)) and issubclass(FRAMES[code], Stencil)


def _unknown(program: Program) -> bool:
    codes = np.unique(program.code[program.framed]).tolist()
    return any(is_spatial(code) and not _is_stencil(code) for code in codes if code in FRAMES)


def _reach(program: Program, slot: int, rows: Rows) -> float:
    # Neighbors on one side that the kernels of these rows weigh, in the mean.
    if not rows.any():
        return 1.0
    taps = FrameSteps(program.code[rows][:, [slot]], program.value[rows][:, [slot]]).taps()
    return max(1.0, float((taps[:, 0, 0, 1:] > 0).sum(axis=1).mean()))


def _shares(program: Program, turn: Turn) -> dict[str, float]:
    # Of the rows whose turn it is to change colors, those by what.
    codes = program.code[turn.rows]
    combined = np.isin(codes, (LINEAR, COLOR, HUE)).sum()
    if turn.kernel != "combine_drawn" or not combined:
        return {}
    other = np.isin(codes, (COLOR, HUE)).sum()
    hue = (codes == HUE).sum() / max(1, other)
    return {"not linear": float(other / combined), "hue": float(hue)}


def _blended(busy: Pass, idle: Pass, share: float, moves: float) -> Pass:
    def mixed(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
        total: dict[str, float] = defaultdict(float)
        for part, weight in ((one, share), (other, 1 - share)):
            for name, value in part.items():
                total[name] += weight * value
        return dict(total)

    return busy.model_copy(update={
        "instructions": share * busy.instructions + (1 - share) * idle.instructions,
        "kinds": mixed(busy.kinds, idle.kinds), "cycles": mixed(busy.cycles, idle.cycles),
        "moves": moves, "share": share, "turn": busy.instructions,
    })  # fmt: skip
