"""How often the branches of the CUDA kernel are taken, by the plan of a batch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.bench.sass import Line, Listing
from augfeed.engines.cuda.launch import SUMS, programs
from augfeed.engines.cuda.spec import Spec
from augfeed.plan import CUTMIX, MIXUP, Plan

# What decides a branch, by the line of the kernel's source that it stands in.
CONDITIONS = {
    "mixed": r"if mixed:",  # the partner is read in this step
    "erased": r"if \(erased\[0\]",  # this step meets the box that is erased
    "warped": r"if tl\.load\(row \+ WARP\)",  # more than flips moves the pixels of this row
    "outside": r"if not whole:",  # the window reaches outside of the picture
    "summed": r"for start in range",  # this part of a frame has pixels
    "wanted": r"tl\.(store|load)\(",  # an access that is masked: taken to be made always
}
SOURCES = Path(__file__).resolve().parents[1] / "engines" / "cuda"

Shares = Mapping[str, float]


class Odds(NamedTuple):
    """How likely the jumps behind blocks are, and the lines of those that nothing is known of."""

    taken: dict[int, float]
    unknown: tuple[str, ...]


def shares_of(plan: Plan, spec: Spec, offsets: NDArray[np.int32] | None) -> dict[str, float]:
    """Return how often the conditions of the kernel hold: a share of rows, or of rows' steps."""
    rows = slice(plan.count)
    low, high = _lines(spec, plan.size)

    def met(boxes: NDArray[np.int32]) -> NDArray[np.bool_]:
        met: NDArray[np.bool_] = (boxes[rows, :1] <= high) & (low < boxes[rows, 2:3])
        return met

    mode = plan.mixes.mode[rows, None]
    mixed = (mode == MIXUP) | ((mode == CUTMIX) & met(plan.mixes.patch))
    parts = _parts(spec, plan.size)
    return {
        "mixed": float(mixed.mean()),
        "erased": float(met(plan.erased).mean()),
        "warped": float(plan.warped[rows].mean()),
        "outside": 0.0 if offsets is None else float((offsets[rows] != 0).any(axis=1).mean()),
        "summed": float(np.mean(parts > 0)),
    }


def odds_of(listing: Listing, shares: Shares) -> Odds:
    """Return how likely the jumps of a kernel are whose conditions hold as often as `shares` say.

    A condition is what more is done for: its side is the one that costs more. What is not known
    is taken to hold always; a thread is taken to go on where it might end outside of a loop.
    """
    taken: dict[int, float] = {}
    unknown = []
    once = {loop.head: 1.0 for loop in listing.loops}
    costs = np.array([len(block) for block in listing.blocks])
    for b in set(listing.choices) - {loop.exit for loop in listing.loops}:
        last = listing.blocks[b][-1]
        if last.ends:
            taken[b] = 0.0
            continue
        name = condition(last.line)
        if name is None:
            unknown.append(_place(last.line))
        share = 1.0 if name is None else shares.get(name, 1.0)
        jumping, going_on = (costs @ listing.counts(once, {b: chance}) for chance in (1.0, 0.0))
        taken[b] = share if jumping > going_on else 1.0 - share
    return Odds(taken, tuple(sorted(unknown)))


def condition(line: Line | None) -> str | None:
    """Return what decides a branch of a line of the kernel's source, None if that is not known."""
    path = SOURCES / Path(line.file).name if line else None
    if line is None or path is None or not path.exists():
        return None
    text = path.read_text(encoding="utf-8").splitlines()[line.number - 1].strip()
    return next((name for name, start in CONDITIONS.items() if re.match(start, text)), None)


def trips_of_sums(spec: Spec, size: tuple[int, int]) -> float:
    """Return how often the loop of `sum_frames` goes round, where it does at all."""
    parts = _parts(spec, size)
    return float(parts[parts > 0].mean())


def _place(line: Line | None) -> str:
    return f"{Path(line.file).name}:{line.number}" if line else "a line that is not told"


def _parts(spec: Spec, size: tuple[int, int]) -> NDArray[np.int64]:
    pixels, stride = size[0] * size[1], SUMS * spec.block
    return np.array([len(range(part * spec.block, pixels, stride)) for part in range(SUMS)])


def _lines(spec: Spec, size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # The first line of every step of a picture, and the line of the pixel behind its last.
    height, width = size
    program = np.arange(programs(spec, size))[:, None]
    step = np.arange(spec.steps)[None, :]
    if spec.tile:
        lines = spec.block // spec.tile
        low = (program * spec.steps + step) // -(-width // spec.tile) * lines
        return low.ravel(), low.ravel() + lines
    if spec.lanes:
        first = program * spec.block + step * (-(-height * width // 8))
    else:
        first = (program * spec.steps + step) * spec.block
    return (first // width).ravel(), ((first + spec.block) // width).ravel()
