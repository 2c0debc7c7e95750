"""Samples of one form, as most datasets give them: looked at by columns, not one by one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from augfeed.feed.sample_fields import channels_at, channels_last
from augfeed.fields.sample_parts import Path
from augfeed.memory_pool import Memory
from augfeed.read.to_uint8 import SLACK, clamped

Columns = Mapping[Any, Any]  # a tuple or list, what all samples hold under a key, by key
PLAIN = (tuple, list, dict)
# Bytes of an image that takes longer to copy once more than to look at on its own.
LARGE = 128 << 10
MEMORY = Memory()


def columns_of(samples: Sequence[Any]) -> Columns | None:
    """Return the columns of samples that are tuples, lists or dicts of one form, else None."""
    first = samples[0]
    kind = type(first)
    if kind not in PLAIN or set(map(type, samples)) != {kind}:
        return None
    if set(map(len, samples)) != {len(first)}:
        return None
    if kind is not dict:
        return dict(enumerate(zip(*samples, strict=True)))
    try:
        return {key: [sample[key] for sample in samples] for key in first}
    except KeyError:
        return None


def column(samples: Sequence[Any], columns: Columns | None, path: Path) -> Any:
    """Return the parts of samples at a path, None where columns do not say."""
    if not path:
        return samples
    return None if columns is None or len(path) > 1 else columns.get(path[0])


def stacked(given: Sequence[Any] | None) -> NDArray[Any] | None:
    """Return images as one array `[N, H, W, C]`, uint8 or float32 from 0 to 1.

    So it is for tensors, and for arrays, of one size and one of these types. None for others, and
    for values out of range.
    """
    array = None if given is None else _stack(given)
    if array is None or array.dtype == np.uint8:
        return array
    return clamped(array, SLACK)


def _stack(given: Sequence[Any]) -> NDArray[Any] | None:
    first = given[0]
    kind = type(first)
    if kind not in (torch.Tensor, np.ndarray) or set(map(type, given)) != {kind}:
        return None
    if len({picture.dtype for picture in given}) > 1 or len({one.shape for one in given}) > 1:
        return None
    channels = channels_at(first.shape, tensor=kind is torch.Tensor)
    known = first.dtype in (torch.uint8, torch.float32, np.uint8, np.float32)
    if channels is None or not known or not 0 < first.nbytes <= LARGE:
        return None
    array = _copied(given)
    if array is None:
        return None
    if first.ndim == 2:
        return array.reshape(*array.shape, 1).copy()  # a view would not keep the memory
    return array if channels == 2 else channels_last(array, MEMORY)


def _copied(given: Sequence[Any]) -> NDArray[Any] | None:
    # Images of one form behind each other, in their own layout.
    first = given[0]
    numpy = isinstance(first, np.ndarray)
    dtype = first.dtype if numpy else (np.uint8 if first.dtype == torch.uint8 else np.float32)
    array = MEMORY.take((len(given), *first.shape), dtype)
    if numpy:
        return np.stack(given, out=array)
    try:
        with torch.no_grad():
            torch.stack(list(given), out=torch.from_numpy(array))
    except RuntimeError:  # of another device, or layout
        return None
    return array


def collated(columns: Columns, sample: Any, count: int, known: set[Path | None]) -> Any:
    """Return what `default_collate` makes of the first `count` samples, of which one is given.

    None stands at the paths of one key that are `known`.
    """
    parts = {key: None if (key,) in known else default_collate(given[:count])
             for key, given in columns.items()}  # fmt: skip
    return parts if isinstance(sample, dict) else list(parts.values())
