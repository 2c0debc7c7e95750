"""Where the pixels of an output image come from in its source image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import CONSTANT
from augfeed.fields.shifted import shifted_places, shifted_points
from augfeed.plan import Plan, Windows
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.plan.shifts import Shift, shifts_of

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]
UNMOVED: Matrix = np.eye(3)


@dataclass(frozen=True, slots=True)
class SpatialMap:
    """The map of one sample, from output pixels to pixels of its source image.

    `inverse` float64 `[3, 3]` takes an output pixel (x, y, 1), with centers at whole numbers, to a
    pixel of the frame; `box` (top, left, height, width) of the source is resized to `resized`, of
    which the frame begins at `offset` (y, x). `source` and `size` are (height, width). `border` and
    `padding` are the rules outside the frame and outside what was resized: see
    `augfeed.constants.EDGES`. `earlier` are maps of the same kind, and displacements, by which the
    frame was sampled before, in that order.
    """

    inverse: Matrix
    box: tuple[int, int, int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    source: tuple[int, int]
    size: tuple[int, int]
    warped: bool
    border: int = 0
    padding: int = 0
    earlier: tuple[Matrix | Shift, ...] = ()

    @property
    def total(self) -> Matrix:
        """Float64 `[3, 3]`: output pixels (x, y, 1) -> pixels of the frame as it is cut out,
        without what displacements do."""
        made: Matrix = self.inverse
        for step in reversed(self.earlier):
            made = made if isinstance(step, Shift) else step @ made
        return made

    @property
    def shifted(self) -> bool:
        """Whether a displacement is among the maps, so that no matrix says all."""
        return any(isinstance(step, Shift) for step in self.earlier)

    @property
    def steps(self) -> list[Matrix | Shift]:
        """All maps by which the frame was sampled, or mirrored, in that order."""
        last = self.warped or any(self.flips)
        return [*self.earlier, *([self.inverse] if last else [])]

    @property
    def to_source(self) -> Matrix:
        """Float64 `[3, 3]`: output edges (x, y, 1) -> source edges."""
        top, left, height, width = self.box
        y, x = height / self.resized[0], width / self.resized[1]
        window = np.array([[x, 0, self.offset[1] * x + left], [0, y, self.offset[0] * y + top],
                           [0, 0, 1]])  # fmt: skip
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        back = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        total: Matrix = window @ half @ self.total @ back
        return total

    @property
    def straight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Scale and shift, float64 `[4]`, of boxes xyxy in edges of the source to those of the
        output before it is mirrored; None where the image is warped."""
        if self.warped or self.earlier:
            return None
        (top, left, height, width), (high, wide) = self.box, self.resized
        x, y = wide / width, high / height
        dx, dy = -left * x - self.offset[1], -top * y - self.offset[0]
        return np.array([x, y, x, y]), np.array([dx, dy, dx, dy])

    @property
    def forward(self) -> Matrix:
        """Float64 `[3, 3]`: source edges (x, y, 1) -> output edges.

        Its last row is positive for what the output shows, also under a perspective.
        """
        back = self.to_source
        matrix = np.linalg.inv(back)
        middle = back @ np.array([self.size[1] / 2, self.size[0] / 2, 1])
        forward: Matrix = matrix * np.sign(middle[2] or 1)
        return forward

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The part of the source that the frame shows: (left, top, right, bottom) in edges."""
        low, high = [], []
        for axis in (1, 0):
            start, scale = self.box[axis], self.box[2 + axis] / self.resized[axis]
            first = max(self.offset[axis], 0)
            last = min(self.offset[axis] + self.size[axis], self.resized[axis])
            low.append(start + scale * first)
            high.append(start + scale * max(first, last))
        return low[0], low[1], high[0], high[1]

    @property
    def mirrored(self) -> bool:
        """Whether left and right have changed places."""
        return bool(np.linalg.det(self.total) < 0)

    def indices(self) -> Indices:
        """Return int64 `[h, w]`: the flat index of the source pixel that each output pixel shows,
        -1 outside the image."""
        if self.shifted:
            return self.places()[0]
        if (sides := self.sides()) is None:
            return self._sampled([step for step in self.earlier if not isinstance(step, Shift)]
                                 + [self.inverse] * self.warped)  # fmt: skip
        rows, columns = sides
        flat = rows[:, None] * self.source[1] + columns[None]
        flat[rows < 0] = -1
        flat[:, columns < 0] = -1
        return flat

    def places(self) -> tuple[Indices, NDArray[np.float64]]:
        """Return what `indices` does, and float64 `[2, h, w]`, x and y of the places in the source
        that they are nearest to, in pixels; of a map that is `shifted`."""
        return shifted_places(self.steps, self.size, self.border, self.window, self.padding)

    def shifted_points(
        self, edges: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return where points float64 `[N, 2]`, in edges of the source, are in edges of the output,
        of a map that is `shifted`: see `augfeed.fields.shifted.shifted_points`."""
        (top, left, height, width), (high, wide) = self.box, self.resized
        scale = np.array([wide / width, high / height])
        frame = (edges - [left, top]) * scale - [self.offset[1], self.offset[0]]
        made, shown = shifted_points(self.steps, self.size, frame - 0.5)
        return made + 0.5, shown

    def sides(self) -> tuple[Indices, Indices] | None:
        """Return int64 `[h]` and `[w]`: the row and the column of the source that those of the
        output show, -1 outside the image; None where the image is warped."""
        from augfeed.kernels.nearest import fold_places

        if self.warped or self.earlier:
            return None
        sides: list[Indices] = []
        for axis, flip in enumerate(self.flips):
            places = np.arange(self.size[axis], dtype=np.int64)
            places = places[::-1].copy() if flip else places
            fold_places(places, self.offset[axis], self.resized[axis], self.padding)
            found = _nearest(self.box[2 + axis], self.resized[axis])
            sides.append(np.where(places < 0, -1, found[places] + self.box[axis]))
        return sides[0], sides[1]

    def _sampled(self, maps: list[Matrix]) -> Indices:
        # The first map reads the source, each of the others what the one before has made.
        from augfeed.kernels.nearest import nearest_indices

        # Where each of them has one color outside, what all show is where they say together: so
        # roundings do not add up.
        def nearest(matrix: Matrix, window: Indices) -> Indices:
            made = np.empty(self.size, np.int64)
            nearest_indices(matrix.ravel(), window, self.border, self.padding, made)
            return made

        found = nearest(maps[0], self.window)
        whole = np.array([0, 0, *self.size, *self.size, 0, 0, self.size[1]], np.int64)
        for matrix in maps[1:]:
            made = nearest(matrix, whole)
            found = np.where(made < 0, -1, found.ravel()[made])
        if len(maps) == 1 or self.border != CONSTANT:
            return found
        together = nearest(self.total, self.window)
        return np.where(found < 0, -1, together)

    @property
    def flips(self) -> tuple[bool, bool]:
        """Whether an image that is not warped is mirrored top and bottom, and left and right."""
        return bool(self.inverse[1, 1] < 0), bool(self.inverse[0, 0] < 0)

    @property
    def window(self) -> Indices:
        """Int64 `[9]`: box, resized, offset and the width of the source, for compiled loops."""
        return np.array([*self.box, *self.resized, *self.offset, self.source[1]], np.int64)


def _nearest(length: int, resized: int) -> Indices:
    # The input pixel of each output pixel, added up as Pillow does: that decides between two which
    # are equally near, and images are resized so.
    steps = np.full(resized, length / resized)
    steps[0] *= 0.5
    return np.minimum(np.cumsum(steps).astype(np.int64), length - 1)


def maps_of(
    plan: Plan,
    sizes: NDArray[Any],
    channels: int = 3,
    windows: Windows | None = None,
    rows: Indices | None = None,
) -> Iterator[SpatialMap]:
    """Yield the map of each row of a plan, or of some `rows`.

    `sizes` `[M, 2]` are the images' (height, width); `windows` are those of the rows, where they
    are not functions of the sizes alone.
    """
    constants = PolicyConstants.of(plan.policy, channels)
    chosen = np.arange(len(plan.ids)) if rows is None else rows
    if windows is None:
        windows = plan.window.take(chosen).at(sizes[:, 0], sizes[:, 1])
    parts = zip(
        chosen.tolist(), plan.inverse[chosen], windows.box, windows.resized, windows.offset, sizes,
        plan.warped[chosen], strict=True,
    )  # fmt: skip
    program = plan.program
    for row, inverse, box, resized, offset, size, warped in parts:
        earlier: tuple[Matrix | Shift, ...] = tuple(shifts_of(plan.frames, row))
        total: Matrix = inverse.astype(np.float64)
        if program is not None:
            before, mirror = program.earlier(row, plan.size)
            earlier, total = (*earlier, *before), mirror @ total
        yield SpatialMap(
            total, tuple(box.tolist()), tuple(resized.tolist()),
            tuple(offset.tolist()), tuple(size.tolist()), plan.size, bool(warped),
            constants.border_mode, constants.pad_mode, earlier,
        )  # fmt: skip
