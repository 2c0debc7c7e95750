"""Datasets of other libraries, recognized by what they have, without importing them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Subset

from augfeed.errors import AugfeedError, InputError
from augfeed.read.arrays import ArraySource
from augfeed.read.dataset_parts import DatasetParts
from augfeed.read.decode import Channels
from augfeed.read.folder import FolderSource
from augfeed.read.huggingface import HuggingFaceSource, check_single
from augfeed.read.protocols import Source, is_source
from augfeed.read.sixteen_bits import is_uint16, unit_floats
from augfeed.read.subset import subset

_NAMES = {
    "MNIST": "mnist",
    "QMNIST": "mnist",
    "FashionMNIST": "fashion",
    "CIFAR10": "cifar",
    "CIFAR100": "cifar",
    "ImageNet": "imagenet",
}
_ALIKE_NAMES = {
    *_NAMES,
    "ImageFolder",
    "DatasetFolder",
    "EMNIST",
    "KMNIST",
    "SVHN",
    "STL10",
    "USPS",
}
_PROBES = 16  # samples that are compared with what is in store
_LOADERS = ("default_loader", "pil_loader", "accimage_loader")
# Of Hugging Face only the one module: many a project has a package `datasets` of its own.
_HUGGING_FACE = "datasets.arrow_dataset"
_LIBRARIES = ("torchvision.", "torch.", _HUGGING_FACE)
# Mean difference of two decodings of a file, of 255: decoders differ in rounding.
_ALIKE = 2.0


@dataclass(frozen=True, slots=True)
class Recognised:
    """A dataset that can be read without its own `__getitem__`.

    The ids of `source` are the dataset's own indices. `keys` are where image and label are in a
    sample that the dataset hands out: `(0, 1)` in a tuple, the names of its columns in a dict; the
    second is None without labels, and `keys` is None for what hands out no samples. `form` is the
    type of a sample, `tuple` or `dict`. `parts` say whether the dataset is still what it was.
    """

    source: Source
    keys: tuple[Any, Any] | None
    form: type
    parts: DatasetParts = DatasetParts(())  # noqa: RUF009  (frozen)


class _Unfit(Exception):
    """Why the samples of a dataset must be fetched by itself."""


def native_source(data: Any) -> Recognised | str:
    """Return what can be read in place of a dataset, or why it must fetch its samples itself.

    Recognized are what `recognize` takes, torch's `Subset` of it, Hugging Face's `datasets.Dataset`
    and sources; as they are now: whether they still are, `Recognised.parts` says. The reason is a
    clause for people, such as "its transform=Compose would be skipped; ...". Nothing is raised for
    datasets that are merely unsuitable, whatever their own methods raise.
    """
    try:
        found = _native(data)
        own = is_source(data)  # which nothing is changed in
        return found if own else replace(found, parts=DatasetParts.of(data))
    except _Unfit as reason:
        return str(reason)
    except AugfeedError as error:
        return f"augfeed cannot read it itself: {error}"
    except Exception as error:  # whatever a foreign class raises
        return f"looking at its samples failed ({type(error).__name__}: {error})"


def recognise(data: Any, channels: Channels) -> Source | None:
    """Return the source that a dataset of another library stands for, or None if it is unknown.

    Known are torchvision's `ImageFolder` (`.samples`, `.classes`) and its classes that hold all
    images in memory, as MNIST and CIFAR10 (`.data`, `.targets`), torch's `TensorDataset`
    (`.tensors`) and scikit-learn's bunches (`.images`, `.target`), and Hugging Face's
    `datasets.Dataset`. Raises `InputError` if the data
    set does more than hand its images out, since that would be skipped.
    """
    check_single(data)
    if _is_hugging_face(data):
        return HuggingFaceSource(data)
    if (_in_files(data) or _in_memory(data)) and (held := _transform(data)):
        raise InputError(
            f"{held} of this {_type(data)} would be skipped: put its operations into the policy "
            f"and build the dataset with {held.partition('=')[0]}=None"
        )
    if _in_files(data) and (loader := _loader(data)) not in _LOADERS:
        raise InputError(
            f"the {loader!r} of this {_type(data)} would be skipped: files are decoded here; pass "
            "the folder's path if that will do"
        )
    source = _source(data, channels)
    if source is not None and (_in_files(data) or _in_memory(data)):
        _check_first(data, source)
    return source


def known_name(data: Any) -> str | None:
    """Return the key in `augfeed.invariances.KNOWN` that a dataset's type stands for, if any."""
    return known_name(data.dataset) if isinstance(data, Subset) else _NAMES.get(type(data).__name__)


def _native(data: Any) -> Recognised:
    if is_source(data):
        return Recognised(data, None, tuple)
    if not _looks_known(data):
        raise _Unfit(f"{_type(data)} is not a dataset that augfeed knows how to read itself")
    if own := _own_method(data):
        raise _Unfit(f"{own} may do something of its own, which would be skipped")
    if isinstance(data, Subset):
        whole = _native(data.dataset)
        return Recognised(subset(whole.source, data.indices), whole.keys, whole.form)
    if _is_hugging_face(data):
        source = HuggingFaceSource(data)
        return Recognised(source, source.columns, dict)
    return _native_pairs(data)


def _native_pairs(data: Any) -> Recognised:
    if held := _transform(data):
        cure = "" if held.startswith("target_") else "; the policy can take over its operations"
        raise _Unfit(f"its {held} would be skipped{cure}")
    if _in_files(data) and not _decodes_plainly(data):
        raise _Unfit(f"its loader={_loader(data)} would be skipped; augfeed decodes files itself")
    tensors = getattr(data, "tensors", None)
    if isinstance(tensors, tuple) and len(tensors) > 2:
        raise _Unfit(f"its samples have {len(tensors)} parts, not an image and a label")
    source = _source(data, 3)
    if source is None:
        raise _Unfit("its samples have no image")
    if isinstance(data, Mapping | tuple):  # a bunch: it hands out no samples
        return Recognised(source, None, tuple)
    if not (_in_files(data) and _from_library(data)):
        _check_samples(data, source)
    return Recognised(source, (0, None if source.labels is None else 1), tuple)


def _source(data: Any, channels: Channels) -> ArraySource | FolderSource | None:
    """Return what the images and labels that a dataset has make up, None if it has none."""
    if _in_files(data):
        return FolderSource.of(data.samples, data.classes, channels=channels, name=known_name(data))
    if _in_memory(data):
        classes = getattr(data, "classes", None)
        return ArraySource(data.data, _targets(data), classes, known_name(data))
    tensors = getattr(data, "tensors", None)
    if isinstance(tensors, tuple) and 1 <= len(tensors) <= 2:
        return ArraySource(*tensors)
    if hasattr(data, "images") and hasattr(data, "target"):
        return _from_bunch(data)
    return None


def _in_files(data: Any) -> bool:
    return hasattr(data, "samples") and hasattr(data, "classes")


def _in_memory(data: Any) -> bool:
    return hasattr(data, "data") and (hasattr(data, "targets") or hasattr(data, "labels"))


def _looks_known(data: Any) -> bool:
    if isinstance(data, Subset) or _in_files(data) or _in_memory(data) or _is_hugging_face(data):
        return True
    held = isinstance(getattr(data, "tensors", None), tuple)
    return held or (hasattr(data, "images") and hasattr(data, "target"))


def _is_hugging_face(data: Any) -> bool:
    kinds = {(cls.__module__, cls.__name__) for cls in type(data).__mro__}
    known = (_HUGGING_FACE, "Dataset") in kinds
    return known and hasattr(data, "features") and hasattr(data, "column_names")


def _targets(data: Any) -> Any:
    targets = data.targets if hasattr(data, "targets") else data.labels
    # QMNIST has eight numbers for each image, and hands the first out.
    return targets[:, 0] if getattr(data, "compat", False) and np.ndim(targets) == 2 else targets


def _from_bunch(data: Any) -> ArraySource:
    images = np.asarray(data.images)
    names = getattr(data, "target_names", None)
    if images.shape[1:] == (8, 8) and images.dtype.kind == "f" and 1 < images.max() <= 16:
        scaled: NDArray[np.uint8] = np.rint(images * (255 / 16)).astype(np.uint8)
        return ArraySource(scaled, data.target, names, "digits")
    return ArraySource(images, data.target, names)


def _transform(data: Any) -> str:
    """Return the first transform of a dataset, as "transform=Compose", or nothing."""
    for name in ("transform", "target_transform", "transforms"):
        if (transform := getattr(data, name, None)) is not None:
            return f"{name}={type(transform).__name__}"
    return ""


def _loader(data: Any) -> str:
    """Return the name of the function that decodes a file for a dataset."""
    loader = getattr(data, "loader", None)
    if loader is None:
        return _LOADERS[0]
    return str(getattr(loader, "__name__", type(loader).__name__))


def _decodes_plainly(data: Any) -> bool:
    loader = getattr(data, "loader", None)
    if loader is None or _loader(data) not in _LOADERS:
        return loader is None
    # One that only has the name of torchvision's: what it does to samples, a look-alike shows.
    return not _from_library(data) or _of_library(str(loader.__module__))


def _of_library(module: str) -> bool:
    return module.startswith(_LIBRARIES)


def _from_library(data: Any) -> bool:
    return any(_of_library(cls.__module__) for cls in type(data).__mro__)


def _own_method(data: Any) -> str:
    """Return the method that a class of a library had overridden by another, or nothing."""
    if not _from_library(data) or _looks_alike(type(data)):
        return ""
    for method in ("__getitem__", "__getitems__", "__len__"):
        owner = next((cls for cls in type(data).__mro__ if method in vars(cls)), None)
        if owner is not None and not _of_library(owner.__module__):
            return f"its {owner.__name__}.{method}"
    return ""


def _looks_alike(kind: type) -> bool:
    """Whether a class goes by the name of torchvision's and has only torch's empty base of it."""
    bases = {cls for cls in kind.__mro__ if _of_library(cls.__module__)}
    return kind.__name__ in _ALIKE_NAMES and bases <= {Dataset}


def _check_samples(data: Any, source: Source) -> None:
    """Raise `_Unfit` if a dataset hands out samples other than those it has in store."""
    if hasattr(data, "__len__") and len(data) != len(source):
        raise _Unfit(f"it has {len(data)} samples, and {len(source)} images in store")
    for i in np.unique(np.linspace(0, len(source) - 1, _PROBES).astype(int)).tolist():
        sample = data[i]
        parts = 1 if source.labels is None else 2
        if type(sample) is not tuple or len(sample) != parts:
            what = "(image, label)" if parts == 2 else "(image,)"
            raise _Unfit(f"its sample {i} is not {what} but a {_type(sample)}")
        alike = _same_array if isinstance(source, ArraySource) else _same_file
        if not alike(sample[0], source.image(i)):
            raise _Unfit(f"the image of its sample {i} is not the one that it has in store")
        if source.labels is not None and not _same_label(sample[1], source.labels[i]):
            raise _Unfit(f"the label of its sample {i} is not the one that it has in store")


def _same_array(given: Any, own: NDArray[Any]) -> bool:
    """Whether an image handed out equals one in store, whatever the place of its channels."""
    array = _array(given)
    if array.ndim == 2:
        array = array[..., None]
    return any(np.array_equal(item, own) for item in (array, np.moveaxis(array, 0, -1)))


def _same_file(given: Any, own: NDArray[Any]) -> bool:
    """Whether an image handed out is a file's, as RGB; of one that lies, only the size counts."""
    array = np.asarray(given)
    if array.shape != own.shape:
        # Decoding turns images upright by EXIF, torchvision does not.
        return array.shape == (own.shape[1], own.shape[0], own.shape[2])
    return bool(np.abs(array.astype(np.float32) - own).mean() <= _ALIKE)


def _same_label(given: Any, own: Any) -> bool:
    return bool(np.array_equal(_array(given), own))


def _array(value: Any) -> NDArray[Any]:
    """Return an image or label in the precision in which sources hold it."""
    if is_uint16(value):
        return unit_floats(np.asarray(value))
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _check_first(data: Any, source: ArraySource | FolderSource) -> None:
    """Raise `InputError` if the first sample, where any is handed out, is not that in store."""
    if not hasattr(data, "__getitem__") or isinstance(data, Mapping):
        return
    try:
        image, label = data[0]
    except Exception as error:  # whatever a foreign class raises
        raise InputError(
            f"the first sample of this {_type(data)} is not an (image, label) ({error}): pass "
            "(images, labels) instead"
        ) from error
    given, own, labels = np.asarray(image), source.image(0), source.labels
    if isinstance(source, FolderSource):
        # Decoding turns images upright by EXIF, torchvision does not.
        same = sorted(given.shape[:2]) == sorted(own.shape[:2])
    else:
        same = given.size == own.size and np.array_equal(given.reshape(own.shape), own)
    if not same or (labels is not None and not np.array_equal(np.asarray(label), labels[0])):
        raise InputError(
            f"this {_type(data)} hands out another first sample than it has in store, so its "
            "__getitem__ does something that would be skipped: pass (images, labels) or a path if "
            "that will do"
        )


def _type(data: Any) -> str:
    return type(data).__name__


__all__ = ["Recognised", "known_name", "native_source", "recognise"]
