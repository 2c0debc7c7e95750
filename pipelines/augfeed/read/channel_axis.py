"""Which side of an image in memory its channels are."""

from collections.abc import Sequence

ALONE = (1, 3)  # a side of 1 or 3 is the channels, wherever it is


def channel_axis(shape: Sequence[int], *, tensor: bool) -> int | None:
    """Return the axis of the channels of an image of three sides, 0 or 2; None if it is not clear.

    An end of 1 or 3 is the channels; where both could be, and where neither is, they come first in
    a tensor and last in an array. It is not clear if the other end is then the shortest side alone.
    """
    usual, other = (0, 2) if tensor else (2, 0)
    for end in (usual, other):
        if shape[end] in ALONE:
            return end
    return None if shape[other] < min(shape[usual], shape[1]) else usual
