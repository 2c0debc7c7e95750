"""The plan: every random decision of a batch, drawn before any pixel is touched."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import CUTMIX, MIXUP, NONE
from augfeed.operation import Frame, Geometry, Mixing, Scene
from augfeed.ops.random_erasing import boxes_of
from augfeed.philox import check_key
from augfeed.plan._columns import Columns
from augfeed.plan.batch_rows import GROUP, BatchRows, Ids
from augfeed.plan.draws import DRAWN, Draws
from augfeed.plan.filters import moved_by
from augfeed.plan.frames import FrameSteps, steps_of
from augfeed.plan.geometry import Decisions, compose, flipped
from augfeed.plan.mixing import Mixes, draw_mixes, unmixed
from augfeed.plan.neutral import DrawnColumns
from augfeed.plan.program import Program, draw_program, with_flips
from augfeed.plan.scenes import Scenes, draw_scenes
from augfeed.plan.sharing import Sharing, rows_of_views, without_views
from augfeed.plan.windows import WindowDraws, Windows
from augfeed.policy import Policy

UNMOVED = np.eye(3, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Plan:
    """Every decision about a batch: a struct of arrays, one row a sample.

    Of the `M` rows the first `count` come out; the others are only partners in mixing. Pixels and
    labels follow the same plan. `size` is `(height, width)` of the output. `columns` are what
    operations declare, neutral where one is not applied; `decisions` the same in their own terms,
    for people.
    """

    policy: Policy
    seed: int
    epoch: int
    ids: Ids
    count: int
    size: tuple[int, int]
    window: WindowDraws
    frames: FrameSteps  # what is done to the frame before its pixels move
    warped: NDArray[np.bool_]  # whether anything but flips moves the pixels
    filters: NDArray[np.int32]  # [M] by which they move, of `augfeed.constants`
    inverse: NDArray[np.float32]  # [M, 3, 3] output pixel (x, y, 1) -> source pixel, flips included
    columns: Columns
    mixes: Mixes
    decisions: Decisions
    program: Program | None = None  # steps of each sample's own; None for a policy without
    scenes: Scenes | None = None  # who is shown in whose frame; None for a policy without

    def __len__(self) -> int:
        return self.count

    def shown(self, rows: Ids) -> Ids:
        """Return the rows whose frames are made for some output rows: themselves, partners of those
        that are mixed, and donors of objects."""
        needed = self.mixes.needed(rows)
        return needed if self.scenes is None else self.scenes.shown(needed)

    def seen(self, rows: Ids) -> Ids:
        """Return the rows whose images are seen in some output rows."""
        shown = self.shown(rows)
        return shown if self.scenes is None else self.scenes.seen(shown)

    @property
    def joins(self) -> bool:
        """Whether frames show several samples, so that they are made by groups."""
        return self.scenes is not None and self.scenes.join

    @property
    def made(self) -> NDArray[np.bool_]:
        """Whether the frame of a row is made before its pixels are read: bool `[M]`."""
        return self.frames.made if self.program is None else self.frames.made | self.program.framed

    def read(self, *kinds: type[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield name and values `[M, ...]` of what engines read of the operations of some kinds.

        Without kinds, of those that the one pass carries out, but for mixing.
        """
        for item in self.policy.operations:
            if isinstance(item, kinds) if kinds else not isinstance(item, Mixing | Frame | Scene):
                for column in item.read_columns():
                    made = column.of and column.of(self.columns)
                    yield column.name, getattr(self.columns, column.name) if made is None else made

    @property
    def colors(self) -> Columns:
        """The columns, of which color operations have some."""
        return self.columns

    @property
    def flip_x(self) -> NDArray[np.bool_]:
        """Which samples are mirrored left and right."""
        return self.columns.flip_x

    @property
    def flip_y(self) -> NDArray[np.bool_]:
        """Which samples are mirrored top and bottom."""
        return self.columns.flip_y

    @property
    def cutout(self) -> NDArray[np.int32]:
        """Int32 `[M, 4]` top, left, bottom, right; empty where not applied."""
        return self.columns.cutout

    @property
    def erased(self) -> NDArray[np.int32]:
        """Int32 `[M, 4]` top, left, bottom, right of the first box; empty where not applied."""
        return self.columns.erased

    @property
    def all_erased(self) -> NDArray[np.int32]:
        """Int32 `[M, 4, 4]` of all boxes of random erasing; empty where there are fewer."""
        return boxes_of(self.columns.erased, self.columns.erased_more)

    @property
    def sigma(self) -> NDArray[np.float32]:
        """Standard deviation of the noise, 0 where not applied."""
        return self.columns.sigma

    @property
    def salt(self) -> NDArray[np.uint32]:
        """Pixels whose 16 random bits lie in [pepper, salt) turn white."""
        return self.columns.salt

    @property
    def pepper(self) -> NDArray[np.uint32]:
        """Pixels whose 16 random bits lie in [0, pepper) turn black."""
        return self.columns.pepper


def draw_plan(
    policy: Policy, rows: BatchRows, *, seed: int, epoch: int, size: tuple[int, int],
    sharing: Sharing | None = None,
) -> Plan:  # fmt: skip
    """Return the plan of some samples; a pure function of its arguments.

    `size` is `(height, width)` of the output; `sharing` says what views draw together. Raises
    `InputError` for a seed or an epoch out of range and for operations that do not fit the size.
    """
    check_key(seed, epoch)
    policy = policy.at(epoch)
    draws = Draws(policy, seed, epoch, rows.ids, sharing)
    columns, decisions = _draw_columns(policy, draws, size)
    warped, inverse = _moved(policy, columns, decisions, size)
    program, mixer = draw_program(policy, draws, size), policy.mixer
    if program is not None:
        program, columns = with_flips(program, columns)
        warped, inverse = program.after(warped, inverse, size)
    return Plan(
        policy, seed, epoch, rows.ids, rows.count, size,
        WindowDraws(policy, seed, epoch, rows.ids, sharing), steps_of(policy, columns),
        warped, moved_by(policy, seed, epoch, _geometry_keys(rows, sharing)), inverse, columns,
        draw_mixes(mixer, draws, rows, size) if mixer else unmixed(len(rows)), decisions,
        program, draw_scenes(policy, decisions, rows, seed, epoch) if policy.scenes else None,
    )  # fmt: skip


def _geometry_keys(rows: BatchRows, sharing: Sharing | None) -> Ids:
    shared = sharing is not None and sharing.geometry
    return without_views(rows.ids) if shared else rows.ids


def _draw_columns(policy: Policy, draws: Draws, size: tuple[int, int]) -> tuple[Columns, Decisions]:
    decisions: Decisions = {}
    drawn: dict[str, Any] = {}
    for item in policy.operations:
        if type(item) in DRAWN and not isinstance(item, Mixing) and item.program is None:
            applied = draws.applied(item)
            made = item.draw(draws.of(item), applied, size)
            decisions[item.op] = {"applied": applied, **made.values}
            drawn |= made.columns
    return DrawnColumns.of(len(draws.ids), drawn), decisions


def _moved(
    policy: Policy, columns: Columns, decisions: Decisions, size: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    count = len(columns.flip_x)
    geometry = [item for item in policy.operations if isinstance(item, Geometry)]
    warped = np.zeros(count, np.bool_)
    for item in geometry:
        if item.warps:
            warped |= decisions[item.op]["applied"]
    if any(item.warps for item in geometry):
        return warped, compose(policy, decisions, size).astype(np.float32)
    if geometry:
        return warped, flipped(columns.flip_x, columns.flip_y, size)
    return warped, np.broadcast_to(UNMOVED, (count, 3, 3))


__all__ = [
    "CUTMIX",
    "GROUP",
    "MIXUP",
    "NONE",
    "BatchRows",
    "Columns",
    "FrameSteps",
    "Mixes",
    "Plan",
    "Program",
    "Scenes",
    "Sharing",
    "WindowDraws",
    "Windows",
    "draw_plan",
    "rows_of_views",
    "without_views",
]
