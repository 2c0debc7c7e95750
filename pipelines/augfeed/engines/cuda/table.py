"""A plan as the kernel reads it: one row of 32-bit words a sample, behind a head for all of them.

Only the parts that a policy uses are filled and copied; where a part begins is in `Layout`, which
the kernel is compiled for.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import CUTMIX, LUMA
from augfeed.engines import check_places
from augfeed.engines.cuda import _pointwise
from augfeed.engines.cuda.frame_steps import fill_steps, words_of_steps
from augfeed.engines.cuda.program_layout import fill_programs, words_of_programs
from augfeed.engines.cuda.spec import Color, Spec
from augfeed.kernels import _table
from augfeed.kernels._table import fill_rows
from augfeed.kernels.color_matrices import fill_color_maps
from augfeed.kernels.types import COLORS, neutral
from augfeed.operation import Linear, Pointwise
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants

# Words of the head.
SEED, EPOCH = 0, 2
CUTOUT_FILL, ERASE_FILL = 5, 6
# Three channels each.
LOW, HIGH, GAIN, SIGMA_SCALE, PLAIN, PAD_FILL, BORDER_FILL = 8, 11, 14, 17, 20, 23, 26
HEAD = 32

# Parts of a row: those that `fill_rows` writes, in its order; matrix, colors; pointwise colors;
# steps on its frame; its program.
PLAIN_PARTS = ("base", "mixing", "patch", "id", *_table.WORDS)
PARTS = (*PLAIN_PARTS, "matrix", "color", "points", "made", "program")
WORDS = {"base": 4, "mixing": 3, "patch": 4, "id": 2, **_table.WORDS, "matrix": 10, "color": 16}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a row begin; -1 for those that are not there. `width` is a row's words."""

    starts: tuple[int, ...]
    width: int

    @staticmethod
    @cache
    def of(spec: Spec) -> "Layout":
        """Return the layout of the rows that a kernel reads."""
        points = sum(_pointwise.WORDS.get(name, 0) for name in spec.parts)
        words = {**WORDS, "points": points, "made": words_of_steps(spec),
                 "program": words_of_programs(spec)}  # fmt: skip
        wanted = {
            "base": True,
            "mixing": bool(spec.mix),
            "patch": bool(spec.mix & CUTMIX),
            "id": spec.noise or spec.salt or spec.erase > 1,
            **{name: name in spec.parts for name in _table.WORDS},
            "matrix": spec.warp,
            "color": spec.color > Color.PLAIN,
            "points": spec.points > 0,
            "made": bool(spec.slots or spec.program),
            "program": bool(spec.program),
        }
        starts, width = [], 0
        for part in PARTS:
            starts.append(width if wanted[part] else -1)
            width += words[part] if wanted[part] else 0
        return Layout(tuple(starts), -(-width // 4) * 4)

    def start(self, part: str) -> int:
        """Return the first word of a part, -1 without it."""
        return self.starts[PARTS.index(part)]

    def words(self, rows: int) -> int:
        """Return the size of a table."""
        return HEAD + rows * self.width


def fill_table(
    table: NDArray[np.int32],
    plan: Plan,
    fixed: PolicyConstants,
    spec: Spec,
    *,
    places: NDArray[np.int64] | None,
    offsets: NDArray[np.int32] | None,
    pictures: tuple[int, ...],
) -> None:
    """Write a plan to `table`, int32 `[Layout.words(M)]`.

    `pictures` is the shape `[N, h, w, C]`. Raises `InputError` for a place that is none of `N`.
    """
    layout, count = Layout.of(spec), len(plan.ids)
    if places is None:
        places = np.arange(count)
    check_places(places, pictures[0])
    sizes = pictures[1:3]
    scale = 1.0 if spec.float_in else 255.0
    _fill_head(table[:HEAD], plan, fixed, scale)
    rows = table[HEAD:].reshape(count, layout.width)
    floats = rows.view(np.float32)
    if offsets is None:
        offsets = np.zeros((1, 2), np.int32)
    mixes = plan.mixes
    fill_rows(
        np.array([layout.start(part) for part in PLAIN_PARTS]), places, offsets,
        plan.flip_x, plan.flip_y, mixes.mode, mixes.partner, mixes.lam, mixes.patch, plan.ids,
        *(getattr(plan.columns, name) for name in _table.COLUMNS), floats, rows,
    )  # fmt: skip
    if (first := layout.start("points")) >= 0:
        for k, (_, column) in enumerate(plan.read(Pointwise)):
            floats[:, first + k] = column
    if (first := layout.start("matrix")) >= 0:
        rows[:, first] = np.where(plan.warped, 1, -1) * (1 + plan.filters)
        floats[:, first + 1 : first + 10] = plan.inverse.reshape(-1, 9)
    if (first := layout.start("made")) >= 0:
        fill_steps(rows[:, first:], plan.frames, spec)
        if (own := layout.start("program")) >= 0:
            rows[:, first] = fill_programs(rows[:, own:], plan, spec)
    if (first := layout.start("color")) >= 0:
        maps = _color_maps(plan, fixed, spec, scale)
        if spec.mean and spec.pad == 0 and fixed.pad_fill.any():
            # What constant padding adds to a mean, whose sum is over the image's own pixels.
            share = _padded(plan.size, sizes, *offsets.T)
            share = np.where(plan.made, 0.0, share)  # these hold theirs
            maps[:, 9:12] += maps[:, 12:15] * (share * _gray(fixed.pad_fill))[:, None]
        floats[:, first : first + 16] = maps


def _gray(fill: NDArray[np.float64]) -> float:
    return float(fill[0] if (fill == fill[0]).all() else np.dot(LUMA, fill))


def _padded(
    size: tuple[int, int], sizes: tuple[int, ...], top: Any, left: Any
) -> NDArray[np.float64]:
    # The share of a frame's pixels that lie outside of the image.
    height = np.clip(np.minimum(top + size[0], sizes[0]) - np.maximum(top, 0), 0, None)
    width = np.clip(np.minimum(left + size[1], sizes[1]) - np.maximum(left, 0), 0, None)
    share: NDArray[np.float64] = 1 - height * width / (size[0] * size[1])
    return share


def _fill_head(head: NDArray[np.int32], plan: Plan, fixed: PolicyConstants, scale: float) -> None:
    head[SEED : SEED + 2] = np.array([plan.seed], "<u8").view(np.int32)
    head[EPOCH] = np.array([plan.epoch], np.uint32).view(np.int32)[0]
    floats, channels = head.view(np.float32), fixed.channels
    floats[CUTOUT_FILL], floats[ERASE_FILL] = fixed.cutout_fill, fixed.erase_fill
    for first, values in (
        (LOW, (0 - fixed.mean) / fixed.std), (HIGH, (1 - fixed.mean) / fixed.std),
        (GAIN, 1 / fixed.std), (SIGMA_SCALE, fixed.sigma_scale), (PLAIN, 1 / (scale * fixed.std)),
        (PAD_FILL, fixed.pad_fill * scale), (BORDER_FILL, fixed.border_fill * scale),
    ):  # fmt: skip
        floats[first : first + channels] = values


def _color_maps(
    plan: Plan, fixed: PolicyConstants, spec: Spec, scale: float
) -> NDArray[np.float32]:
    colors = neutral(len(plan.ids), COLORS)
    for name, column in plan.read(Linear):
        colors[name] = column
    # Colors stay in [0, 1], which holds them for no more than an addition; then they are scaled.
    statistics = np.stack([np.zeros_like(fixed.mean), np.ones_like(fixed.std)])
    maps = np.zeros((len(plan.ids), 16), np.float32)
    fill_color_maps(colors, scale, statistics, maps)
    return maps
