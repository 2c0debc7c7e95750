"""The part of an image that a sample was cut from, as a region of the image."""

from augfeed.philox import Stream, uniforms, words
from augfeed.plan import Plan, Windows

Region = tuple[float, float, float, float]
Sides = tuple[int, int]


def window_of(plan: Plan, row: int, source: Sides) -> Windows:
    """Return the window of one row, whose image has `source` (height, width)."""
    return plan.window.take([row]).at(*source)


def region(windows: Windows, size: Sides) -> Region:
    """Return where the output comes from in the image: top, left, bottom, right, in its pixels.

    It may reach outside, where there is padding.
    """
    top, left, height, width = map(int, windows.box[0])
    y, x = height / int(windows.resized[0, 0]), width / int(windows.resized[0, 1])
    first, start = int(windows.offset[0, 0]), int(windows.offset[0, 1])
    return (
        top + first * y,
        left + start * x,
        top + (first + size[0]) * y,
        left + (start + size[1]) * x,
    )


def chosen(plan: Plan, row: int, p: float) -> bool:
    """Return whether a row gets a window that is drawn with probability `p`."""
    u = words(plan.seed, plan.epoch, plan.ids[row : row + 1], [(Stream.CROP, 0)])
    return bool(uniforms(u)[0, 0, 0] < p)
