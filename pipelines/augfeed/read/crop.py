"""What a window shows of an encoded image, and at which scale that is decoded."""

from collections.abc import Sequence
from typing import NamedTuple

from augfeed.constants import BILINEAR
from augfeed.kernels import crop_region

Four = tuple[int, int, int, int]
Pair = tuple[int, int]
Inner = tuple[float, float, float, float]


class View(NamedTuple):
    """What is shown of one upright image: a row of `plan.Windows`, as numbers."""

    box: Four
    resized: Pair
    offset: Pair
    kind: int = BILINEAR  # the filter

    def inside(self, size: Pair) -> bool:
        """Whether an output of `size` (height, width) needs no padding."""
        (y, x), (height, width) = self.offset, self.resized
        return min(y, x) >= 0 and y + size[0] <= height and x + size[1] <= width


def scale_for(view: View) -> int:
    """Return the largest scale, 8, 4, 2 or 1, at which a box still has the pixels it is resized
    to, in both directions; 1 where a filter takes single pixels, which must be the image's own."""
    return int(crop_region.scale_for(*view.box[2:], *view.resized, view.kind))


def scaled_box(box: Four, whole: Four, scale: int) -> tuple[Four, Inner]:
    """Return a box of an upright image in one that is `1 / scale` as large.

    First the whole pixels (top, left, height, width) that it touches, then, from their corner, its
    edges in fractions of pixels, between which they lie. `whole` is the image's height and width,
    and how many pixels further up and to the left the smaller image begins, 0 to `scale - 1`.
    """
    top, height, *inner_y = crop_region.scaled_side(box[0], box[2], whole[0], whole[2], scale)
    left, width, *inner_x = crop_region.scaled_side(box[1], box[3], whole[1], whole[3], scale)
    return (top, left, height, width), (inner_y[0], inner_x[0], inner_y[1], inner_x[1])


def needed(view: View, box: Four, inner: Inner, size: Pair) -> Four:
    """Return the pixels of a box that an output of `size` is made of, or a few more.

    `box` and `inner` are those of `scaled_box`; the result is (top, left, height, width) in the
    image that `box` lies in. The output lies inside the resized box.
    """
    (y, x), resized = view.offset, view.resized
    top, height = crop_region.reach(inner[0], inner[2], box[2], resized[0], y, size[0], view.kind)
    left, width = crop_region.reach(inner[1], inner[3], box[3], resized[1], x, size[1], view.kind)
    return box[0] + top, box[1] + left, height, width


def hull(windows: Sequence[Four]) -> Four:
    """Return the smallest (top, left, height, width) that holds all windows."""
    top, left = min(window[0] for window in windows), min(window[1] for window in windows)
    bottom = max(window[0] + window[2] for window in windows)
    right = max(window[1] + window[3] for window in windows)
    return top, left, bottom - top, right - left
