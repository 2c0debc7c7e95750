"""What a window shows of an encoded picture, and at which scale that is decoded."""

import math
from typing import NamedTuple

Four = tuple[int, int, int, int]
Pair = tuple[int, int]
Inner = tuple[float, float, float, float]
SCALES = (8, 4, 2)  # of the DCT, that libjpeg decodes at


class View(NamedTuple):
    """What is shown of one upright picture: a row of `plan.Windows`, as numbers."""

    box: Four
    resized: Pair
    offset: Pair

    def inside(self, size: Pair) -> bool:
        """Whether an output of `size` (height, width) needs no padding."""
        (y, x), (height, width) = self.offset, self.resized
        return min(y, x) >= 0 and y + size[0] <= height and x + size[1] <= width


def scale_for(view: View) -> int:
    """Return the largest scale, 8, 4, 2 or 1, at which a box still has the pixels it is resized
    to, in both directions."""
    height, width = view.box[2:]
    for scale in SCALES:
        if scale * view.resized[0] <= height and scale * view.resized[1] <= width:
            return scale
    return 1


def scaled_box(box: Four, whole: Four, scale: int) -> tuple[Four, Inner]:
    """Return a box of an upright picture in one that is `1 / scale` as large.

    First the whole pixels (top, left, height, width) that it touches, then, from their corner, its
    edges in fractions of pixels, between which they lie. `whole` is the picture's height and width,
    and how many pixels further up and to the left the smaller picture begins, 0 to `scale - 1`.
    """
    top, height, inner_top, inner_height = _side(box[0], box[2], whole[0], whole[2], scale)
    left, width, inner_left, inner_width = _side(box[1], box[3], whole[1], whole[3], scale)
    return (top, left, height, width), (inner_top, inner_left, inner_height, inner_width)


def needed(view: View, box: Four, inner: Inner, size: Pair) -> Four:
    """Return the pixels of a box that an output of `size` is made of, or a few more.

    `box` and `inner` are those of `scaled_box`; the result is (top, left, height, width) in the
    picture that `box` lies in. The output lies inside the resized box.
    """
    top, height = _reach(inner[0], inner[2], box[2], (view.resized[0], view.offset[0], size[0]))
    left, width = _reach(inner[1], inner[3], box[3], (view.resized[1], view.offset[1], size[1]))
    return box[0] + top, box[1] + left, height, width


def _reach(begin: float, span: float, length: int, shown: tuple[int, int, int]) -> Pair:
    # As `kernels.resample` does it, where weights come in fours, and a pixel more.
    resized, first, count = shown
    scale = span / resized
    support = max(scale, 1.0)
    taps = -(-math.ceil(2.0 * support) // 4) * 4
    low = math.floor(begin + (first + 0.5) * scale - support - 0.5)
    last = math.ceil(begin + (first + count - 0.5) * scale - support + 1.5)
    low, high = max(low, 0), min(max(last, 0) + taps, length)
    return low, high - low


def _side(
    begin: int, span: int, length: int, shift: int, scale: int
) -> tuple[int, int, float, float]:
    low, high = (begin + shift) / scale, (begin + shift + span) / scale
    first, end = math.floor(low), min(math.ceil(high), -(-(length + shift) // scale))
    return first, end - first, low - first, high - low
