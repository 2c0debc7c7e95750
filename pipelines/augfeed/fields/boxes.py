"""Boxes: corners through the map, upright hull, clipped; what is left of too little is dropped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.kinds import Boxes, BoxFormat
from augfeed.fields.spatial_map import SpatialMap

Corners = NDArray[np.float64]
_NEAR = 1e-6  # of the plane of the camera: nothing behind it is shown
MOST_POINTS = 128  # of a side of a box that a displacement bends
ROUNDED = 1e-6  # what rounding may take off a side, or a share
FAR = 2.0  # shares beyond it are of no image: a box may leave it, but not by its whole side


@dataclass(frozen=True, slots=True)
class BoxMoves:
    """What became of boxes: `hulls` xyxy `[N, 4]` before clipping, `boxes` after it, `kept` int64
    the numbers of those that stay, `shares` `[N]` how much of each is inside, and `growth` `[N]`
    what the area of an object is multiplied by: that of its moved corners, as far as it is
    inside."""

    hulls: Corners
    boxes: Corners
    kept: NDArray[np.int64]
    shares: NDArray[np.float64]
    growth: NDArray[np.float64]


def move_boxes(boxes: Corners, where: SpatialMap, field: Boxes) -> BoxMoves:
    """Return where boxes, xyxy `[N, 4]` in edges of the source, are in the output."""
    made, shares, growth = shown_of(boxes, where)
    kept = kept_boxes(made, shares, field)
    return BoxMoves(_moved(boxes, where)[0], made, kept, shares, growth)


def shown_of(
    boxes: Corners, where: SpatialMap
) -> tuple[Corners, NDArray[np.float64], NDArray[np.float64]]:
    """Return boxes as they are moved and clipped, the share of each that is left, and what the
    area of its object is multiplied by.

    What the window cuts off is not moved further, as what turns it shows nothing there.
    """
    seen = _clip(boxes, where.visible)
    hulls, quads = _moved(seen, where)
    made = _clip(hulls, (0, 0, where.size[1], where.size[0]))
    before, cut, left = areas_of(boxes), areas_of(seen), areas_of(made)
    inside = _ratio(left, areas_of(hulls))
    made[(cut <= 0) & (left > 0)] = 0  # the hull of a line
    return made, _ratio(cut, before) * inside, _ratio(quads, before) * inside


def kept_boxes(boxes: Corners, shares: NDArray[np.float64], field: Boxes) -> NDArray[np.int64]:
    """Return the numbers of boxes xyxy `[N, 4]` that are large enough for a field to stay."""
    sides = boxes[:, 2:] - boxes[:, :2]
    keep = (sides >= field.min_side - ROUNDED).all(axis=1) & (sides > 0).all(axis=1)
    keep &= shares >= field.min_share - ROUNDED
    if field.max_aspect is not None:
        keep &= sides.max(axis=1) <= (field.max_aspect + ROUNDED) * sides.min(axis=1)
    return np.flatnonzero(keep)


def areas_of(boxes: Corners) -> NDArray[np.float64]:
    """Return the areas of boxes xyxy `[N, 4]`; 0 where they end before they begin."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    made: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return made


def _ratio(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = np.divide(one, other, out=np.zeros_like(one), where=other > 0)
    return made


def _clip(boxes: Corners, limits: tuple[float, float, float, float]) -> Corners:
    left, top, right, bottom = limits
    low, high = np.array([left, top, left, top]), np.array([right, bottom, right, bottom])
    made: Corners = np.minimum(np.maximum(boxes, low), high)
    return made


def _moved(boxes: Corners, where: SpatialMap) -> tuple[Corners, NDArray[np.float64]]:
    # Upright hulls of moved corners, and the areas that the corners enclose.
    if (straight := where.straight) is not None:
        (scale, shift), (flip_y, flip_x) = straight, where.flips
        made: Corners = boxes * scale + shift
        if flip_x:
            made[:, 0], made[:, 2] = where.size[1] - made[:, 2], where.size[1] - made[:, 0]
        if flip_y:
            made[:, 1], made[:, 3] = where.size[0] - made[:, 3], where.size[0] - made[:, 1]
        return made, areas_of(made)
    if where.shifted:
        return _shifted(boxes, where)
    forward = where.forward
    x, y = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
    corners = np.stack([x, y, np.ones_like(x)], axis=-1) @ forward.T  # [N, 4, 3]
    if not forward[2, :2].any():
        points = corners[..., :2] / corners[..., 2:]
        hulls = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
        grown = abs(np.linalg.det(forward[:2, :2])) / forward[2, 2] ** 2
        return hulls, areas_of(boxes) * grown
    front = np.array([_in_front(one) for one in corners]).reshape(-1, 5)
    return front[:, :4], front[:, 4]


def _shifted(boxes: Corners, where: SpatialMap) -> tuple[Corners, NDArray[np.float64]]:
    # Hulls of moved points along the sides, and the areas that these enclose; 0 where all points
    # are behind the camera of a perspective.
    if not len(boxes):
        return boxes.copy(), areas_of(boxes)
    longest = float((boxes[:, 2:] - boxes[:, :2]).max())
    count = int(np.clip(np.ceil(longest), 1, MOST_POINTS))
    along = np.arange(count) / count
    zero, one = np.zeros(count), np.ones(count)
    x = np.concatenate([along, one, 1 - along, zero])  # around, clockwise
    y = np.concatenate([zero, along, one, 1 - along])
    sides = boxes[:, 2:] - boxes[:, :2]
    points = np.stack([boxes[:, :1] + x * sides[:, :1], boxes[:, 1:2] + y * sides[:, 1:]], axis=-1)
    moved = where.shifted_points(points.reshape(-1, 2))[0].reshape(len(boxes), -1, 2)
    found = [_enclosed(part[np.isfinite(part).all(axis=1)]) for part in moved]
    made = np.array(found).reshape(-1, 5)
    return made[:, :4], made[:, 4]


def _enclosed(points: NDArray[np.float64]) -> list[float]:
    # The upright hull of a polygon, and its area.
    if not len(points):
        return [0.0] * 5
    x, y = points.T
    area = abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2
    return [float(x.min()), float(y.min()), float(x.max()), float(y.max()), area]


def _in_front(corners: NDArray[np.float64]) -> list[float]:
    # The part of a quadrangle in front of the camera (Sutherland and Hodgman): points behind it
    # would come out on the other side.
    kept = []
    for k in range(4):
        one, other = corners[k], corners[(k + 1) % 4]
        if one[2] > _NEAR:
            kept.append(one)
        if (one[2] > _NEAR) != (other[2] > _NEAR):
            t = (_NEAR - one[2]) / (other[2] - one[2])
            kept.append(one + t * (other - one))
    points = np.array(kept).reshape(-1, 3)
    return _enclosed(points[:, :2] / points[:, 2:])


def to_corners(
    boxes: NDArray[Any], format_: BoxFormat, size: tuple[int, int], *, normalized: bool, name: str
) -> Corners:
    """Return boxes of a format as xyxy in pixels; raise `InputError` for what cannot be of it."""
    given = np.asarray(boxes, np.float64)
    given = given.reshape(0, 4) if given.size == 0 else given
    if given.ndim != 2 or given.shape[1] != 4:
        raise InputError(f"{name} has shape {list(given.shape)}, and boxes are [N, 4]")
    if not np.isfinite(given).all():
        raise InputError(f"{name} has boxes that are not finite: {given.tolist()}; leave them out")
    if normalized:
        _check_shares(given, name)
    made = given.copy()
    if format_ == "xywh":
        made[:, 2:] += made[:, :2]
    elif format_ == "cxcywh":
        made[:, :2] -= given[:, 2:] / 2
        made[:, 2:] = made[:, :2] + given[:, 2:]
    if normalized:
        made *= np.array([size[1], size[0], size[1], size[0]])
    elif are_shares(made):
        raise InputError(
            f"{name}[0] = {given[0].tolist()} is less than a pixel, as every box beside it: shares "
            "of the image are Boxes(normalized=True), or multiply them by width and height"
        )
    wrong = np.flatnonzero((made[:, 2:] < made[:, :2]).any(axis=1))
    if wrong.size:
        raise InputError(
            f"{name}[{wrong[0]}] = {given[wrong[0]].tolist()} ends before it begins as "
            f"{format_!r}: give another format, as Boxes(format='xywh'), or fix the box"
        )
    return made


def are_shares(boxes: Corners) -> bool:
    """Return whether boxes xyxy, given in pixels, are shares of the image.

    All of them lie within the first pixel, and one of them touches neither of its outer sides, as
    what is left of a box that was cut off does. As pixels they would be too small to be kept.
    """
    if not (boxes.size and boxes.max() <= 1 + ROUNDED and boxes.min() >= -ROUNDED):
        return False  # or not finite
    return bool((boxes[..., :2] > ROUNDED).all(axis=-1).any() and (boxes % 1).any())


def _check_shares(given: NDArray[np.float64], name: str) -> None:
    if given.size and np.abs(given).max() > FAR:
        k = int(np.abs(given).max(axis=1).argmax())
        raise InputError(
            f"{name}[{k}] = {given[k].tolist()} are not shares of an image, which are at most 1: "
            "leave out normalized=True for pixels, or divide them by width and height"
        )


def from_corners(
    boxes: Corners, format_: BoxFormat, size: tuple[int, int], *, normalized: bool
) -> Corners:
    """Return xyxy boxes in pixels of an image as another format."""
    made = boxes.copy()
    if normalized:
        made /= np.array([size[1], size[0], size[1], size[0]])
    if format_ == "xywh":
        made[:, 2:] -= made[:, :2]
    elif format_ == "cxcywh":
        low, high = made[:, :2].copy(), made[:, 2:].copy()
        made[:, :2], made[:, 2:] = (low + high) / 2, high - low
    return made
