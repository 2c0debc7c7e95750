"""Whether an engine can take the images of a source from memory as they are."""

from typing import Any

from numpy.typing import NDArray

from augfeed.policy import Policy, RandomResizedCrop, Resize, resized
from augfeed.read.sources import ArraySource, Source


def resident_pictures(source: Source, policy: Policy) -> NDArray[Any] | None:
    """Return the images `[N, h, w, C]` if an engine can take them from memory as they are.

    So it is for arrays that a policy only cuts and pads by whole pixels; else None. Sample `i` is
    in row `source.rows(i)`.
    """
    if not isinstance(source, ArraySource) or policy.find(RandomResizedCrop) is not None:
        return None
    if policy.stages:  # they are given frames, which are cut
        return None
    whole = resized(policy.find(Resize), source.sizes) == source.sizes
    return source.images if whole else None
