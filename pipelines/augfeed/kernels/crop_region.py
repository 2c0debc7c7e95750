"""Which pixels of an image a window needs, at the scale at which it is decoded; one side each."""

import numpy as np

from augfeed.constants import NEAREST
from augfeed.kernels import compiled
from augfeed.kernels.filters import radius

BESIDE, NARROW = 1, 8


@compiled(nogil=False)
def scale_for(height: int, width: int, resized_height: int, resized_width: int, kind: int) -> int:
    """Return the largest scale, 8, 4, 2 or 1, at which a box still has the pixels it is resized
    to, in both directions; 1 where a filter takes single pixels, which must be the image's own."""
    scale = 8 if kind != NEAREST else 1
    while scale > 1 and (scale * resized_height > height or scale * resized_width > width):
        scale //= 2
    return scale


@compiled(nogil=False)
def scaled_side(
    begin: int, span: int, length: int, shift: int, scale: int
) -> tuple[int, int, float, float]:
    """Return where `span` pixels from `begin` on lie in a side that is 1 / `scale` as long.

    First the whole pixels that they touch (the first, and how many), then, from there, begin and
    span in fractions of pixels. The side had `length` pixels; `shift` is how many of them earlier
    the smaller one begins.
    """
    low, high = (begin + shift) / scale, (begin + shift + span) / scale
    first = int(np.floor(low))
    end = min(int(np.ceil(high)), -(-(length + shift) // scale))
    return first, end - first, low - first, high - low


@compiled(nogil=False)
def reach(
    begin: float, span: float, length: int, resized: int, first: int, count: int, kind: int
) -> tuple[int, int]:
    """Return which of `length` pixels outputs `first` to `first + count - 1` are made of.

    `span` of them from `begin` on are resized to `resized` by a filter. The result is the first,
    and how many: as `kernels.resample` takes them, where weights come in fours, and a few more.
    """
    scale = span / resized
    support = max(scale, 1.0) * radius(kind)
    taps = -(-int(np.ceil(2.0 * support)) // 4) * 4
    low = int(np.floor(begin + (first + 0.5) * scale - support - 0.5))
    last = int(np.ceil(begin + (first + count - 0.5) * scale - support + 1.5))
    low, high = max(low, 0), min(max(last, 0) + taps, length)
    return low, high - low


@compiled(nogil=False)
def columns(left: int, width: int, length: int, unit: int) -> tuple[int, int]:
    """Return which columns, of `length`, libjpeg is to decode for `width` from `left` on.

    The result is the first, and how many. It begins with the first of a unit, so that libjpeg need
    not. It smoothes color across one more column on each side (`BESIDE`), and not at all in a very
    narrow image (`NARROW`), so there are more than are wanted.
    """
    end = min(max(left + width + BESIDE, NARROW), length)
    first = max(min(left - BESIDE, end - NARROW), 0) // unit * unit
    return first, end - first
