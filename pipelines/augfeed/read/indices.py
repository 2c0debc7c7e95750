"""Indices into a dataset, as they come in a `Subset`."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError


def check_indices(indices: Any, count: int) -> NDArray[np.int64]:
    """Return `indices` into `count` samples as int64 `[M]`, a copy; they may repeat.

    They may be a list, a range, a tensor or an array. Raises `InputTypeError` if they are not whole
    numbers in one row, `InputError` if there are none, or one is not in `[0, count)`.
    """
    if isinstance(indices, torch.Tensor):
        indices = indices.detach().cpu().numpy()
    try:
        array = np.asarray(indices)
    except ValueError:
        raise InputTypeError("indices are ragged: give whole numbers in one row") from None
    if array.size == 0:
        raise InputError("indices are empty: give at least one")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputTypeError(
            f"indices of dtype {array.dtype} and shape {array.shape} are not whole numbers in one "
            "row: convert a mask with np.flatnonzero"
        )
    wrong = np.flatnonzero((array < 0) | (array >= count))
    if len(wrong):
        place = int(wrong[0])
        raise InputError(
            f"indices[{place}]={array[place]} is not in [0, {count}): there is no such sample"
        )
    return array.astype(np.int64)


__all__ = ["check_indices"]
