"""Where the images of a mosaic lie in its frame."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from augfeed.constants import CONSTANT
from augfeed.fields.spatial_map import UNMOVED, SpatialMap
from augfeed.plan import Scenes

Sides = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """A part of a frame, from (top, left) on, that shows the image of a row; `where` is the map of
    that part, whose size is that of the part."""

    row: int
    top: int
    left: int
    where: SpatialMap

    @property
    def part(self) -> tuple[slice, slice]:
        """The lines and columns of the frame."""
        height, width = self.where.size
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def placements(scenes: Scenes, k: int, size: Sides, sizes: NDArray[Any]) -> list[Placement]:
    """Return where row `k`, a mosaic of `size` (height, width), shows which images.

    `sizes` `[M, 2]` are those of the images of all rows. Parts that show nothing are left out.
    """
    made = (placement(scenes, k, cell, size, sizes[row])
            for cell, row in enumerate(scenes.cells[k].tolist()))  # fmt: skip
    return [one for one in made if one is not None]


def placement(scenes: Scenes, k: int, cell: int, size: Sides, source: Any) -> Placement | None:
    """Return where cell 0 to 3 of a mosaic shows its image, of `source` (height, width); None where
    nothing of it is seen."""
    row, (y, x) = int(scenes.cells[k, cell]), scenes.point[k].tolist()
    height, width = int(source[0]), int(source[1])
    factor = min(size[0] / height, size[1] / width) * float(scenes.zoom[k])
    high, wide = max(round(height * factor), 1), max(round(width * factor), 1)  # as `fitting`
    first, last = _side(y, high, size[0], before=cell < 2)
    start, end = _side(x, wide, size[1], before=cell % 2 == 0)
    if first >= last or start >= end:
        return None
    offset = (
        first - (y - high if cell < 2 else y),
        start - (x - wide if cell % 2 == 0 else x),
    )
    where = _map((height, width), (high, wide), offset, (last - first, end - start))
    return Placement(row, first, start, where)


def _side(point: int, length: int, whole: int, *, before: bool) -> tuple[int, int]:
    # The pixels of a side of the frame in which an image that ends, or begins, at a point lies.
    low, high = (point - length, point) if before else (point, point + length)
    return max(low, 0), min(high, whole)


def _map(source: Sides, resized: Sides, offset: Sides, size: Sides) -> SpatialMap:
    box = (0, 0, *source)
    return SpatialMap(UNMOVED, box, resized, offset, source, size, False, CONSTANT, CONSTANT)
