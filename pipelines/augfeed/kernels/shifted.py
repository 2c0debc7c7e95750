"""Places in frames that a displacement has moved, for what must not be blended, and for points.

A place is x and y in pixels, whose centers are whole numbers; it is not a number where nothing of
the image is shown.
"""

from typing import Any

import numpy as np

from augfeed.constants import CONSTANT, EDGE
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.elastic import displacement
from augfeed.kernels.inner import njit
from augfeed.kernels.nearest import blend, fold_place, source_of
from augfeed.kernels.types import Array, Floats, Ints

NOWHERE = np.nan
ROUNDS = 40  # of the fixed-point iteration
CLOSE = 0.001  # pixels: how far the place found may be from the one that shows a point
EDGE_OFF = 1e-6  # of a cell, for points between two


@njit(nogil=True)
def _bordered(u: float, side: int, border: int) -> float:
    if border == CONSTANT:
        near = np.floor(u + 0.5)
        return u if 0 <= near < side else NOWHERE
    if border == EDGE or side == 1:
        return min(max(u, 0.0), side - 1.0)
    period = 2.0 * (side - 1)
    u = u - np.floor(u / period) * period
    return min(u, period - u)


@njit(nogil=True)
def _cell(u: float, side: int) -> tuple[int, int, float]:
    # Two neighbors about a place, and how far it is from the first.
    held = min(max(u, 0.0), side - 1.0)
    low = int(held)
    return low, min(low + 1, side - 1), held - low


@njit(nogil=True)
def _field_at(field: Floats, c: int, u: float, v: float) -> float:
    # How far along x (c = 0) or y a place is displaced, linear between pixels, as their blend is.
    x0, x1, a = _cell(u, field.shape[2])
    y0, y1, b = _cell(v, field.shape[1])
    above = field[c, y0, x0] + a * (field[c, y0, x1] - field[c, y0, x0])
    below = field[c, y1, x0] + a * (field[c, y1, x1] - field[c, y1, x0])
    return above + b * (below - above)


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def draw_field(numbers: Floats, out: Floats) -> int:
        """Write float32 `[2, H, W]`: how far each pixel of a frame looks along x and y.

        `numbers` float32 `[5]` are what the step reads.
        """
        _, height, width = out.shape
        for c in range(2):
            drawn = displacement(c, (height, width, 1), numbers)
            for y in range(height):  # an array in one piece takes seconds to compile
                for x in range(width):
                    out[c, y, x] = drawn[y * width + x]
        return sources

    @compiled()
    def turn_places(inverse: Floats, border: int, places: Floats) -> int:
        """Move places float64 `[2, H, W]` by a matrix float64 `[9]`, in place."""
        _, height, width = places.shape
        for y in range(height):
            for x in range(width):
                u, v = source_of(inverse, places[0, y, x], places[1, y, x])
                u, v = _bordered(u, width, border), _bordered(v, height, border)
                lost = np.isnan(u) or np.isnan(v) or np.isnan(places[0, y, x])
                places[0, y, x], places[1, y, x] = (NOWHERE, NOWHERE) if lost else (u, v)
        return sources

    @compiled()
    def shift_places(field: Floats, places: Floats) -> int:
        """Move places float64 `[2, H, W]` by a field float32 `[2, H, W]`, in place."""
        _, height, width = places.shape
        for y in range(height):
            for x in range(width):
                u, v = places[0, y, x], places[1, y, x]
                if np.isnan(u):
                    continue
                # Sums of float32, as those by which images are moved.
                across = float(np.float32(u + _field_at(field, 0, u, v)))
                down = float(np.float32(v + _field_at(field, 1, u, v)))
                u, v = _bordered(across, width, CONSTANT), _bordered(down, height, CONSTANT)
                lost = np.isnan(u) or np.isnan(v)
                places[0, y, x], places[1, y, x] = (NOWHERE, NOWHERE) if lost else (u, v)
        return sources

    @compiled()
    def read_places(window: Ints, padding: int, places: Floats, out: Ints) -> int:
        """Turn places float64 `[2, H, W]` of a frame into those of its source, in place, and write
        to `out` int64 `[H, W]` the flat index of the source pixel of each, -1 outside.

        `window` is box (top, left, height, width), resized (height, width), offset (y, x), width of
        the source.
        """
        height, width = out.shape
        for y in range(height):
            for x in range(width):
                out[y, x] = 0 if not np.isnan(places[0, y, x]) else -1
                for c in range(2):
                    axis = 1 - c
                    begin, length = window[axis], window[2 + axis]
                    resized, offset = window[4 + axis], window[6 + axis]
                    if out[y, x] < 0:
                        continue
                    at = places[c, y, x] + offset + 0.5
                    near = fold_place(int(np.floor(at)), resized, padding)
                    if near < 0:
                        out[y, x] = -1
                        continue
                    if near != int(np.floor(at)):
                        at = near + 0.5
                    at = at * length / resized
                    place = begin + min(max(int(np.floor(at)), 0), length - 1)
                    places[c, y, x] = begin + at - 0.5
                    out[y, x] += place * (window[8] if axis == 0 else 1)
        return sources

    @compiled()
    def bilinear_at(image: Array, places: Floats, fill: float, shown: Ints, out: Array) -> int:
        """Sample floats `[H, W, C]` at places float64 `[2, h, w]`; `out` is `[h, w, C]`.

        `shown` int64 `[h, w]` is what `read_places` finds: see `augfeed.kernels.nearest.bilinear`.
        """
        for y in range(out.shape[0]):
            for x in range(out.shape[1]):
                blend(image, places[0, y, x], places[1, y, x], fill, shown[y, x], out[y, x])
        return sources

    @compiled()
    def find_points(field: Floats, points: Floats, found: Floats, seen: Array) -> int:
        """Write float64 `[N, 2]`: where points `[N, 2]` of a frame are after its displacement.

        That is q with `q + field(q)` within `CLOSE` of the point, by a fixed-point iteration from
        the point on. Where that does not come to rest in the frame, as with a field that folds the
        image, it is the nearest of all such places there; `seen` is False where there is none.
        """
        far = 0.0
        for off in field.flat:
            far = max(far, abs(float(off)))
        for k in range(len(points)):
            u, v = points[k]
            rests = False
            for _ in range(ROUNDS):
                off_x = u + _field_at(field, 0, u, v) - points[k, 0]
                off_y = v + _field_at(field, 1, u, v) - points[k, 1]
                rests = max(abs(off_x), abs(off_y)) < CLOSE
                if rests:
                    break
                u, v = u - off_x, v - off_y
            found[k, 0], found[k, 1] = u, v
            seen[k] = (rests and _shows(field, u, v)) or _search(field, points[k], far, found[k])
        return sources

    return draw_field, turn_places, shift_places, read_places, bilinear_at, find_points


@njit(nogil=True)
def _search(field: Floats, point: Floats, far: float, found: Floats) -> bool:
    # Among the cells between four pixels, and those about the frame: the nearest that shows it.
    _, height, width = field.shape
    reach, best = int(far) + 2, np.inf
    px, py = point
    first, last = max(int(py) - reach, -1), min(int(py) + reach + 1, height)
    start, end = max(int(px) - reach, -1), min(int(px) + reach + 1, width)
    for y in range(first, last):
        for x in range(start, end):
            away = (x + 0.5 - px) ** 2 + (y + 0.5 - py) ** 2
            if away >= best or not _spans(field, x, y, px, py):
                continue
            u, v = _within(field, x, y, px, py)
            if not np.isnan(u) and _shows(field, u, v):
                found[0], found[1], best = u, v, away
    return best < np.inf


@njit(nogil=True)
def _shows(field: Floats, u: float, v: float) -> bool:
    _, height, width = field.shape
    return -0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5


@njit(nogil=True)
def _corner(field: Floats, c: int, x: int, y: int) -> float:
    _, height, width = field.shape
    at = field[c, min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    return (x if c == 0 else y) + at


@njit(nogil=True)
def _spans(field: Floats, x: int, y: int, px: float, py: float) -> bool:
    # Whether a point is between the places that the corners of a cell show.
    for c in range(2):
        p = px if c == 0 else py
        one, other = _corner(field, c, x, y), _corner(field, c, x + 1, y)
        three, four = _corner(field, c, x, y + 1), _corner(field, c, x + 1, y + 1)
        if p < min(one, other, three, four) - CLOSE or p > max(one, other, three, four) + CLOSE:
            return False
    return True


@njit(nogil=True)
def _within(field: Floats, x: int, y: int, px: float, py: float) -> tuple[float, float]:
    # The place x + s, y + t in a cell that shows a point: what the cell shows is a + s b + t c +
    # s t d, so that (p - a - t c) x (b + t d) = 0, which is quadratic in t.
    ax, ay = _corner(field, 0, x, y), _corner(field, 1, x, y)
    bx, by = _corner(field, 0, x + 1, y) - ax, _corner(field, 1, x + 1, y) - ay
    cx, cy = _corner(field, 0, x, y + 1) - ax, _corner(field, 1, x, y + 1) - ay
    dx = _corner(field, 0, x + 1, y + 1) - ax - bx - cx
    dy = _corner(field, 1, x + 1, y + 1) - ay - by - cy
    ax, ay = px - ax, py - ay
    first, last = cy * dx - cx * dy, ax * by - ay * bx
    middle = ax * dy - ay * dx - cx * by + cy * bx
    root = middle * middle - 4 * first * last
    if root < 0:
        return NOWHERE, NOWHERE
    part = -0.5 * (middle + (np.sqrt(root) if middle >= 0 else -np.sqrt(root)))
    for k in range(2):
        over, under = (part, first) if k == 0 else (last, part)
        if under == 0:
            continue
        t = over / under
        ux, uy = bx + t * dx, by + t * dy
        whole = ux * ux + uy * uy
        if whole == 0 or not -EDGE_OFF <= t <= 1 + EDGE_OFF:
            continue
        s = ((ax - t * cx) * ux + (ay - t * cy) * uy) / whole
        if -EDGE_OFF <= s <= 1 + EDGE_OFF:
            return x + s, y + t
    return NOWHERE, NOWHERE


draw_field, turn_places, shift_places, read_places, bilinear_at, find_points = _compile(SOURCES)
