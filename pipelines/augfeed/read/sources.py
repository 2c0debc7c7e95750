"""Sources of samples, and how one is made of whatever holds pictures."""

import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augfeed.errors import InputError, InputTypeError, ReadError
from augfeed.read.arrays import ArraySource, Layout
from augfeed.read.datasets import recognise
from augfeed.read.decode import Channels
from augfeed.read.encoded import EncodedSource, Source
from augfeed.read.folder import EXTENSIONS, FolderSource
from augfeed.read.idx import idx_images, open_idx

_IMAGES = {
    "train": ("images", "x", "x_train", "train_images", "data"),
    "test": ("x_test", "test_images"),
}
_LABELS = {
    "train": ("labels", "y", "y_train", "train_labels", "targets"),
    "test": ("y_test", "test_labels"),
}
_KINDS = (
    "a path (a folder with a folder for every class, a folder of MNIST's idx files, an .npz file), "
    "arrays (images, or a tuple (images, labels)), a data set of torchvision without transforms "
    "(ImageFolder, MNIST, CIFAR10), a TensorDataset, a bunch of scikit-learn with images, or a "
    "source"
)


def open_source(
    data: Any,
    labels: Any = None,
    *,
    classes: Iterable[Any] | None = None,
    channels: Channels = 3,
    layout: Layout | None = None,
    split: str = "train",
) -> Source:
    """Return the source of samples that `data` stands for.

    `data` is a path (image folder, folder of idx files, images file of idx, `.npz`), an array or
    tensor with `labels`, a tuple `(images, labels)`, a data set of torchvision or scikit-learn, or
    a source. `classes` and `layout` go with arrays, `channels` with image folders, `split` ("train"
    or "test") with idx folders and `.npz`. Raises `InputTypeError` for anything else and
    `InputError` for what cannot be used.
    """
    if isinstance(data, np.ndarray | torch.Tensor):
        return ArraySource(data, labels, classes, layout=layout)
    if labels is not None:
        raise InputError(
            f"labels go with an array of images, not with a {type(data).__name__!r}, which brings "
            "its own: leave labels out"
        )
    if isinstance(data, ArraySource | EncodedSource):
        return data
    if isinstance(data, str | os.PathLike):
        return _open_path(Path(data), channels, layout, split)
    if isinstance(data, tuple) and len(data) == 2:
        return ArraySource(data[0], data[1], classes, layout=layout)
    source = recognise(data, channels)
    if source is None:
        raise InputTypeError(
            f"data of type {type(data).__name__!r} is no source of pictures: give {_KINDS}"
        )
    return source


def _open_path(path: Path, channels: Channels, layout: Layout | None, split: str) -> Source:
    if path.is_dir():
        images = idx_images(path, split)
        return open_idx(images) if images else FolderSource(path, channels)
    if not path.exists():
        raise InputError(f"{str(path)!r} does not exist: give {_KINDS}")
    if path.suffix == ".npz":
        return _open_npz(path, layout, split)
    if "images" in path.name and "idx" in path.name:
        return open_idx(path)
    raise InputError(f"{str(path)!r} is no file of many pictures: give {_KINDS}")


def _open_npz(path: Path, layout: Layout | None, split: str) -> ArraySource:
    if split not in _IMAGES:
        raise InputError(f"split={split!r} is unknown: use 'train' or 'test'")
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            keys = set(file.files)
            images = next((key for key in _IMAGES[split] if key in keys), None)
            labels = next((key for key in _LABELS[split] if key in keys), None)
            if images is None:
                raise InputError(
                    f"{str(path)!r} has arrays {sorted(keys)} and none of {list(_IMAGES[split])}: "
                    "name the pictures so"
                )
            return ArraySource(file[images], file[labels] if labels else None, layout=layout)
    except InputError:
        raise
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ReadError(
            f"{path}: cannot be read as .npz ({error}): save it again with np.savez"
        ) from error


__all__ = [
    "EXTENSIONS",
    "ArraySource",
    "EncodedSource",
    "FolderSource",
    "Source",
    "open_source",
]
