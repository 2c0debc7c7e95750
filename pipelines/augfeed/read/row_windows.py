"""What is shown of the images of some rows of a plan, drawn by their boxes where the policy is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.plan import Plan, Windows
from augfeed.plan.box_windows import boxed_windows, by_boxes
from augfeed.read.annotation import Note


def row_windows(
    plan: Plan, rows: NDArray[np.int64], sizes: NDArray[Any], notes: Mapping[int, Note]
) -> Windows:
    """Return the windows of some rows, whose images are of `sizes` `[N, 2]` (height, width).

    Raises `InputError` for an image that is smaller than its crop.
    """
    draws = plan.window.take(rows)
    if by_boxes(plan.policy) is None:
        return draws.at(sizes[:, 0], sizes[:, 1])
    return boxed_windows(draws, sizes, [notes[row].corners for row in rows.tolist()])


__all__ = ["row_windows"]
