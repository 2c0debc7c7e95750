"""Labels as one array: class numbers, or a share for every class."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError

Labels = NDArray[np.int64] | NDArray[np.float32] | NDArray[np.bool_]
_KINDS = "give class numbers (int [N]), shares (float [N, K]) or flags (0 or 1, [N, K])"


def check_classes(classes: Iterable[Any] | None) -> tuple[str, ...] | None:
    """Return the names of classes as strings; raise `InputError` if there are two of a name."""
    if classes is None:
        return None
    names = tuple(str(name) for name in classes)
    if len(set(names)) < len(names):
        name = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"classes has {name!r} more than once: give each class its own name")
    return names


def check_labels(
    labels: Any, count: int, classes: tuple[str, ...] | None
) -> tuple[Labels | None, int | None]:
    """Return labels for `count` images, and the number of classes.

    Class numbers become int64 `[N]`; a column `[N, 1]` of them is one too. Shares from 0 to 1
    become float32 `[N, K]`, and so do flags (integers or booleans) of exactly one class in every
    row; other flags stand for any number of classes and become bool `[N, K]`. The number of
    classes is that of `classes`, else K, else the largest number + 1. A number below 0, such as -1
    or -100 for a sample without a class, is not a class: what makes shares of labels refuses it.
    Raises `InputError` or `InputTypeError`.
    """
    if labels is None:
        return None, len(classes) if classes else None
    array = _as_array(labels)
    if len(array) != count:
        raise InputError(f"labels has {len(array)} entries for {count} images: give one for each")
    if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind in "iub":
        array = array[:, 0]
    if array.ndim == 1:
        return _numbers(array, classes)
    return _shares(array, classes)


def _as_array(labels: Any) -> NDArray[Any]:
    if isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu()
        labels = (labels.float() if labels.is_floating_point() else labels).numpy()
    try:
        array = np.asarray(labels)
    except ValueError:
        raise InputTypeError(f"labels are ragged: {_KINDS}") from None
    if array.dtype.kind not in "iubf":
        raise InputTypeError(
            f"labels of dtype {array.dtype} are not numbers: {_KINDS}; names become numbers by "
            "classes, labels = np.unique(names, return_inverse=True)"
        )
    if array.ndim not in (1, 2):
        raise InputTypeError(
            f"labels of shape {array.shape} are not [N] or [N, K]: {_KINDS}; masks and points are "
            "taken from a dataset whose samples hold them"
        )
    return array


def _numbers(
    array: NDArray[Any], classes: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], int | None]:
    if array.dtype.kind == "f":
        raise InputTypeError(
            f"labels of dtype {array.dtype} and shape {array.shape} are not class numbers: "
            "convert them with .astype(np.int64), or give shares [N, K]"
        )
    highest = int(array.max())
    if highest > np.iinfo(np.int64).max:
        raise InputError(
            f"labels[{int(np.argmax(array))}]={highest} is above what int64 holds: number the "
            "classes from 0"
        )
    known = len(classes) if classes else highest + 1
    if highest >= known:
        row = int(np.argmax(array))
        raise InputError(
            f"labels[{row}]={highest} is a label without class: classes has {known} names, for "
            f"labels 0 to {known - 1}; add the missing names"
        )
    return np.ascontiguousarray(array, np.int64), known if known > 0 else None


def _shares(
    array: NDArray[Any], classes: tuple[str, ...] | None
) -> tuple[NDArray[np.float32] | NDArray[np.bool_], int]:
    count = array.shape[1]
    if count == 0 or (classes and len(classes) != count):
        raise InputError(
            f"labels of shape {array.shape} have {count} classes, and classes has "
            f"{len(classes or ())} names: give one name for each column"
        )
    lowest, highest = array.min(), array.max()
    if not (lowest >= 0 and highest <= 1):
        raise InputError(
            f"labels of shape {array.shape} lie in [{lowest}, {highest}], not in [0, 1]: {_KINDS}"
        )
    if array.dtype.kind != "f" and not (array.sum(axis=1) == 1).all():
        return np.ascontiguousarray(array, np.bool_), count
    return np.ascontiguousarray(array, np.float32), count
