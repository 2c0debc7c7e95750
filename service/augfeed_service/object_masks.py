"""What masks of objects take in a batch: as many as its images have, which no shape says."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.plan import BatchRows
from augfeed.policy import CopyPaste, Mosaic, Policy
from augfeed.read.annotation import MasksOfObjects

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]
COPIES = 3  # of a moved mask: as it is moved, as it is joined with others, and as it is sent
CELLS = 4  # samples that a mosaic shows


def masks_in(source: Any) -> Counts | None:
    """Return how many masks of objects the images of a source have, and how many values these are,
    int64 `[N]` each; None for a source that gives none."""
    return source.object_masks() if isinstance(source, MasksOfObjects) else None


def object_bytes(
    masks: Counts, rows: BatchRows, policies: Iterable[Policy], size: tuple[int, int]
) -> int:
    """Return how many bytes the masks of objects take while the rows of a batch are made.

    `size` is (height, width) of its images. They are the values of the masks that are read, and of
    all that its images may show: those of four of a group in a mosaic, of a donor that objects are
    pasted from, and of a partner.
    """
    counts, values = masks
    used, each = list(policies), counts[rows.ids]
    cells = CELLS if any(policy.find(Mosaic) for policy in used) else 1
    joined = 2 if any(policy.find(CopyPaste) for policy in used) else 1
    joined *= 2 if any(policy.mixer for policy in used) else 1
    shown = int(each.sum())
    if cells * joined > 1:
        groups = (np.sort(each[rows.groups == group])[::-1] for group in np.unique(rows.groups))
        # What the fullest images of a group have may be seen in all of its rows.
        shown = sum(len(one) * joined * int(np.resize(one, cells).sum()) for one in groups)
    return int(values[rows.ids].sum()) + COPIES * shown * math.prod(size)
