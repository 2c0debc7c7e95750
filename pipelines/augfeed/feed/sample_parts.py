"""The parts of the samples of a request, and the errors that name them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.sample_fields import Path, describe, take
from augfeed.plan.batch_rows import samples_of


def part_at(sample: Any, path: Path, k: int, request: BatchRequest, what: str = "image") -> Any:
    """Return what sample `k` has at a path; raise `InputError` naming it if there is nothing."""
    try:
        return take(sample, path)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InputError(
            f"{name_of(request, k, what)} is not where that of the first one of its batch is: the "
            f"sample is {describe(sample)}; give samples of one form"
        ) from None


def alike(arrays: list[NDArray[Any]], request: BatchRequest) -> list[NDArray[Any]]:
    """Return images of one element type; raise `InputError` if their channels differ."""
    channels = [array.shape[2] for array in arrays]
    if len(set(channels)) > 1:
        odd = next(k for k, number in enumerate(channels) if number != channels[0])
        raise InputError(
            f"{name_of(request, odd)} has {channels[odd]} channels and {name_of(request, 0)} "
            f"{channels[0]}: give images alike, as "
            "image.convert('RGB') does"
        )
    if len({array.dtype for array in arrays}) > 1:
        return [a if a.dtype != np.uint8 else (a / np.float32(255)).astype(np.float32)
                for a in arrays]  # fmt: skip
    return arrays


def name_of(request: BatchRequest, k: int, what: str = "image") -> str:
    """Return which sample an error is about."""
    index = request.index
    if index is not None:
        return f"the {what} of sample {index[k] if isinstance(index, list) else index!r}"
    own = request.rows.ids[k : k + 1]
    return f"the {what} of sample {(own if request.end < 0 else samples_of(own))[0]}"


def field_name(request: BatchRequest, k: int, path: Path) -> str:
    """Return which part of which sample an error is about."""
    return name_of(request, k, f"part {path[0] if len(path) == 1 else path!r}")
