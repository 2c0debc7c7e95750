"""How often the branches of the CUDA kernel are taken, by the plan of a batch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.bench.sass import Line, Listing
from augfeed.engines.cuda.launch import SUMS, steps_of
from augfeed.engines.cuda.spec import Spec
from augfeed.plan import CUTMIX, MIXUP, Plan

# What decides a branch, by the line of the kernel's source that it stands in.
CONDITIONS = {
    "mixed": r"if mixes:",  # the partner is read in this step
    "cutout": r"if _meets\(cutout",  # this step meets the box that is cut out
    "erased": r"if _meets_any\(erased",  # this step meets the box that is erased
    "warped": r"if matrix\[9\]:",  # more than flips moves the pixels of this row
    "bordered": r"if clear:",  # this tile has pixels from near a border
    "either": r"if (flip|mode == MIXUP):",  # both sides do as much: the longer one is taken always
    "outside": r"if not _is_whole\(",  # the window reaches outside of the image
    "summed": r"for start in range",  # this part of a frame has pixels
    # The step of a row in a slot of its program is of the kind that the kernel is for.
    "turn": r"if (wanted:|word >= 0|\(word & |\(code & 255\)|\(code == LINEAR\) \||\(code >= KEEP\)"
    r"|\(tl\.load\(row \+ MADE)",
    "chains": r"if code == (KEEP|ADD):",  # the longest way is taken always
    "not linear": r"if code == LINEAR:",
    "hue": r"if code == HUE:",
    "weighed": r"for j in range",  # a kernel has neighbors
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
    rows, size = slice(plan.count), plan.size
    mode = plan.mixes.mode[rows, None]
    mixed = (mode == MIXUP) | ((mode == CUTMIX) & _met(plan.mixes.patch[rows], spec, size))
    parts = _parts(spec, plan.size)
    return {
        "mixed": float(mixed.mean()),
        "cutout": float(_met(plan.cutout[rows], spec, size).mean()),
        "erased": float(_met_any(plan.all_erased[rows], spec, size).mean()),
        "warped": float(plan.warped[rows].mean()),
        "outside": 0.0 if offsets is None else float((offsets[rows] != 0).any(axis=1).mean()),
        "bordered": _bordered(plan, spec, offsets),
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
            idle = condition(last.line) == "turn"
            taken[b] = 1.0 - shares.get("turn", 1.0) if idle else 0.0
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
    pixels, block = size[0] * size[1], spec.sum_block
    return np.array([len(range(part * block, pixels, SUMS * block)) for part in range(SUMS)])


def _met(boxes: NDArray[np.int32], spec: Spec, size: tuple[int, int]) -> NDArray[np.bool_]:
    # Which steps of an image look for pixels in a box, `[rows, steps]`.
    height, width = size
    step = np.arange(steps_of(spec, size))
    top, left, bottom, right = boxes.astype(np.int64).T[..., None]
    met: NDArray[np.bool_]
    if spec.tile:
        y, x, lines = *_corners(spec, size), spec.block // spec.tile
        met = (top < y + lines) & (y < bottom) & (left < x + spec.tile) & (x < right)
        return met
    first = step * spec.block
    if spec.lanes:
        first = step // spec.steps * spec.block + step % spec.steps * -(-height * width // 8)
    met = (top * width < first + spec.block) & (first < bottom * width)
    return met


def _met_any(boxes: NDArray[np.int32], spec: Spec, size: tuple[int, int]) -> NDArray[np.bool_]:
    # The same of several boxes a row, `[rows, boxes, 4]`.
    met = [_met(boxes[:, k], spec, size) for k in range(boxes.shape[1])]
    return np.asarray(np.any(met, axis=0))


def _corners(spec: Spec, size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # Top and left of the tiles.
    tile, across = np.arange(steps_of(spec, size)), -(-size[1] // spec.tile)
    return tile // across * (spec.block // spec.tile), tile % across * spec.tile


def _bordered(plan: Plan, spec: Spec, offsets: NDArray[np.int32] | None) -> float:
    # The share of the tiles of warped rows that do not come from inside of an image alone.
    rows = np.flatnonzero(plan.warped[: plan.count])
    if not spec.tile or spec.perspective or not rows.size:
        return 1.0
    top, left = _corners(spec, plan.size)
    y, x = (
        top + np.array([[0], [spec.block // spec.tile - 1]]),
        left + np.array([[0], [spec.tile - 1]]),
    )
    points = np.stack([*np.broadcast_arrays(x[None], y[:, None])], -1).reshape(-1, 2)
    places = points @ plan.inverse[rows, :2, :2].mT + plan.inverse[rows, None, :2, 2]
    places = places.reshape(len(rows), 4, -1, 2)
    far = np.array(plan.size[::-1]) - [1, 1 if spec.pad >= 0 else 2]
    low, high = np.zeros((len(rows), 2)), np.broadcast_to(far, (len(rows), 2))
    if offsets is not None:
        low, high = (
            np.maximum(low, -offsets[rows, ::-1]),
            np.minimum(high, far - offsets[rows, ::-1]),
        )
    inside = (places.min(1) >= low[:, None]) & (places.max(1) <= high[:, None])
    return float(1 - inside.all(-1).mean())
