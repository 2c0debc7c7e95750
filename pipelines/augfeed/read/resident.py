"""Whether an engine can take the images of a source from memory as they are."""

from typing import Any

from numpy.typing import NDArray

from augfeed.policy import Letterbox, Policy, RandomResizedCrop, Resize, resized
from augfeed.read.sources import ArraySource, Source


def resident_pictures(source: Source, policy: Policy) -> NDArray[Any] | None:
    """Return the images `[N, h, w, C]` if an engine can take them from memory as they are.

    So it is for arrays that a policy only cuts and pads by whole pixels; else None. Sample `i` is
    in row `source.rows(i)`.
    """
    if not isinstance(source, ArraySource) or not cut_by_engine(policy, source.sizes):
        return None
    return source.images


def cut_by_engine(policy: Policy, size: tuple[int, int]) -> bool:
    """Return whether an engine can cut images of a size by itself: by whole pixels."""
    framed = any(isinstance(item, RandomResizedCrop | Letterbox) for item in policy.operations)
    if framed or policy.stages:  # which are given frames
        return False
    return resized(policy.find(Resize), size) == size
