"""The filters that images are resized, and their pixels moved, by."""

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import BICUBIC, BILINEAR, FILTERS
from augfeed.philox import Stream, draw
from augfeed.plan.batch_rows import Ids
from augfeed.policy import Policy

# Which of a sample's draws is for what.
WINDOW, GEOMETRY = 0, 1


def filters_of(
    interpolation: str, seed: int, epoch: int, ids: Ids, which: int
) -> NDArray[np.int32]:
    """Return the filter of every sample, int32 `[N]` of `augfeed.constants`.

    "random" tosses a coin for each between bilinear and bicubic, as timm does.
    """
    if interpolation != "random":
        return np.full(len(ids), FILTERS[interpolation], np.int32)
    u = draw(seed, epoch, ids, [(Stream.FILTER, 0, 2)])[which]
    return np.where(u < 0.5, BILINEAR, BICUBIC).astype(np.int32)


def moved_by(policy: Policy, seed: int, epoch: int, ids: Ids) -> NDArray[np.int32]:
    """Return the filter that the pixels of every sample are moved by, int32 `[N]`."""
    return filters_of(interpolation_of(policy), seed, epoch, ids, GEOMETRY)


def interpolation_of(policy: Policy) -> str:
    """Return the interpolation that all geometry of a policy has."""
    return next((str(item.interpolation) for item in policy.resampling), "bilinear")
