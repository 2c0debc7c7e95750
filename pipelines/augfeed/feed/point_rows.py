"""Rows of numbers without a name that are, by all they show, points or boxes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.targets import SLACK

_POINTS = (2, 3, 4)  # numbers of a point, or of a box
_FLAGS = (0, 1, 2)  # of the visibility of a point
_FEW = 64  # rows of a list that are looked at
_BEYOND = 2  # times the longer side of an image: further out is nothing of it


def are_places(part: Any, size: tuple[int, int]) -> bool:
    """Return whether an array, a tensor or a list of rows could be points or boxes.

    Those are rows of 2 to 4 floats that are not shares of a whole; rows of 2 to 4 integers that lie
    in an image of `size`, the third of which, if it is the last, says whether a point is seen; and
    boxes with class numbers before or after them. Integers that are flags are none of them.
    """
    if isinstance(part, list | tuple):
        try:
            part = np.array(part[:_FEW])
        except ValueError:  # rows of several lengths
            return False
    if part.ndim != 2:
        return False
    values = part.detach().cpu().double().numpy() if isinstance(part, torch.Tensor) else part
    if values.dtype.kind not in "iuf" or not values.size:
        return False
    floats = part.is_floating_point() if isinstance(part, torch.Tensor) else (
        values.dtype.kind == "f")  # fmt: skip
    if values.shape[1] in _POINTS:
        return not _are_shares(values) if floats else _are_pixels(values, size)
    flags = ((values == 0) | (values == 1)).all()
    return (
        not flags
        and values.shape[1] in (5, 6)
        and _are_boxes_of_classes(values, size, floats=floats)
    )


def _are_shares(values: NDArray[Any]) -> bool:
    return bool((abs(values.sum(axis=1) - 1) <= SLACK).all() and (values >= 0).all())


def _are_pixels(values: NDArray[Any], size: tuple[int, int]) -> bool:
    if values.shape[1] == 3 and not np.isin(values[:, 2], _FLAGS).all():
        return False
    if (values == values[:, :1]).all():  # one number a row: no box has such sides
        return False
    # Places that are not known are often -1.
    return bool(values.min() >= -1 and 1 < values.max() <= _BEYOND * max(size))


def _are_boxes_of_classes(values: NDArray[Any], size: tuple[int, int], *, floats: bool) -> bool:
    # As of YOLO: (class, box), (sample, class, box), and (box, class).
    more = values.shape[1] - 4
    for numbers, boxes in ((values[:, :more], values[:, more:]), (values[:, 4:], values[:, :4])):
        whole = (numbers == np.floor(numbers)).all() and (numbers >= -1).all()
        inside = boxes.max() <= _BEYOND * max(size) and boxes.min() >= -1
        if whole and inside and (floats or _are_pixels(boxes, size)):
            return True
    return False


__all__ = ["are_places"]
