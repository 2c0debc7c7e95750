"""Data sets of other libraries, recognised by what they have, without importing them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.read.arrays import ArraySource
from augfeed.read.decode import Channels
from augfeed.read.folder import FolderSource

_NAMES = {
    "MNIST": "mnist",
    "QMNIST": "mnist",
    "FashionMNIST": "fashion",
    "CIFAR10": "cifar",
    "CIFAR100": "cifar",
    "ImageNet": "imagenet",
}
_LOADERS = ("default_loader", "pil_loader", "accimage_loader")


def recognise(data: Any, channels: Channels) -> ArraySource | FolderSource | None:
    """Return the source that a data set of another library stands for, or None if it is unknown.

    Known are torchvision's `ImageFolder` (`.samples`, `.classes`) and its classes that hold all
    pictures in memory, as MNIST and CIFAR10 (`.data`, `.targets`), torch's `TensorDataset`
    (`.tensors`) and scikit-learn's bunches (`.images`, `.target`). Raises `InputError` if the data
    set does more than hand its pictures out, since that would be skipped.
    """
    if hasattr(data, "samples") and hasattr(data, "classes"):
        return _from_samples(data, channels)
    for name in ("targets", "labels"):
        if hasattr(data, "data") and hasattr(data, name):
            return _from_arrays(data, data.data, getattr(data, name))
    tensors = getattr(data, "tensors", None)
    if isinstance(tensors, tuple) and 1 <= len(tensors) <= 2:
        return ArraySource(*tensors)
    if hasattr(data, "images") and hasattr(data, "target"):
        return _from_bunch(data)
    return None


def _from_samples(data: Any, channels: Channels) -> FolderSource:
    _refuse_transforms(data)
    loader = getattr(getattr(data, "loader", None), "__name__", _LOADERS[0])
    if loader not in _LOADERS:
        raise InputError(
            f"the {loader!r} of this {_type(data)} would be skipped: files are decoded here; pass "
            "the folder's path if that will do"
        )
    source = FolderSource.of(data.samples, data.classes, channels=channels, name=_known(data))
    if (item := _first(data)) is not None:
        # Decoding turns pictures upright by EXIF, torchvision does not.
        shape = np.shape(item[0])[:2]
        same = sorted(shape) == sorted(source.image(0).shape[:2])
        _check_same(data, item[1], source, same=same)
    return source


def _from_arrays(data: Any, images: Any, targets: Any) -> ArraySource:
    _refuse_transforms(data)
    source = ArraySource(images, targets, getattr(data, "classes", None), _known(data))
    if (item := _first(data)) is not None:
        given, own = np.asarray(item[0]), source.image(0)
        same = given.size == own.size and np.array_equal(given.reshape(own.shape), own)
        _check_same(data, item[1], source, same=same)
    return source


def _from_bunch(data: Any) -> ArraySource:
    images = np.asarray(data.images)
    names = getattr(data, "target_names", None)
    if images.shape[1:] == (8, 8) and images.dtype.kind == "f" and 1 < images.max() <= 16:
        scaled: NDArray[np.uint8] = np.rint(images * (255 / 16)).astype(np.uint8)
        return ArraySource(scaled, data.target, names, "digits")
    return ArraySource(images, data.target, names)


def _refuse_transforms(data: Any) -> None:
    for name in ("transform", "target_transform", "transforms"):
        if (transform := getattr(data, name, None)) is not None:
            raise InputError(
                f"{name}={type(transform).__name__} of this {_type(data)} would be skipped: put "
                f"its operations into the policy and build the data set with {name}=None"
            )


def _first(data: Any) -> tuple[Any, Any] | None:
    """Return the first sample that a data set hands out, if it hands out any."""
    if not hasattr(data, "__getitem__") or isinstance(data, Mapping):
        return None
    try:
        image, label = data[0]
    except Exception as error:  # whatever a foreign class raises
        raise InputError(
            f"the first sample of this {_type(data)} is no (picture, label) ({error}): pass "
            "(images, labels) instead"
        ) from error
    return image, label


def _check_same(data: Any, label: Any, source: ArraySource | FolderSource, *, same: bool) -> None:
    labels = source.labels
    if not same or (labels is not None and not np.array_equal(np.asarray(label), labels[0])):
        raise InputError(
            f"this {_type(data)} hands out another first sample than it has in store, so its "
            "__getitem__ does something that would be skipped: pass (images, labels) or a path if "
            "that will do"
        )


def _known(data: Any) -> str | None:
    return _NAMES.get(type(data).__name__)


def _type(data: Any) -> str:
    return type(data).__name__


__all__ = ["recognise"]
