"""Sources of samples, and how one is made of whatever holds images."""

import os
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augfeed.errors import InputError, InputTypeError, ReadError
from augfeed.read.annotated_paths import open_annotated
from augfeed.read.arrays import ArraySource, Layout
from augfeed.read.cache_dir import expanded
from augfeed.read.datasets import recognise
from augfeed.read.decode import Channels
from augfeed.read.folder import EXTENSIONS, FolderSource
from augfeed.read.idx import idx_images, open_idx
from augfeed.read.protocols import EncodedSource, Source, is_source
from augfeed.read.shards import is_shard, shards_in, shards_of
from augfeed.read.tar import TarSource

MOST_CLASSES = 10_000_000  # of a list of files: each has a name
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|pipe:")  # a Path makes http:/ of http://
_IMAGES = {
    "train": ("images", "x", "x_train", "train_images", "data"),
    "test": ("x_test", "test_images"),
}
_LABELS = {
    "train": ("labels", "y", "y_train", "train_labels", "targets"),
    "test": ("y_test", "test_labels"),
}
_KINDS = (
    "a path (a folder with a folder for every class, a folder of MNIST's idx files, an .npz file, "
    "a .tar shard or a pattern of them), a list of files or of pairs (file, class number), "
    "arrays (images, or a tuple (images, labels)), a dataset of torchvision without transforms "
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
    image_key: str | None = None,
    label_key: str | None = None,
) -> Source:
    """Return the source of samples that `data` stands for.

    `data` is a path (image folder, folder of idx files, images file of idx, `.npz`), tar shards
    (a path, a pattern with `*` or braces, a folder of them, a list), a list of files or of pairs
    `(file, class number)`, an array or tensor with `labels`, a tuple `(images, labels)`, a dataset
    of torchvision or scikit-learn, or a source. `classes` and `layout` go with arrays, `channels`
    with files, `split` ("train" or "test") with idx folders and `.npz`, `image_key` and `label_key`
    with shards: see `TarSource`. `~` in front of a path is the home folder. Raises `InputTypeError`
    for anything else and `InputError` for what cannot be used.
    """
    keys = {"image_key": image_key, "label_key": label_key}
    source = _open(data, labels, classes, channels, layout, split, keys)
    given = {name: value for name, value in keys.items() if value is not None}
    if given and (source is data or not isinstance(source, TarSource)):
        name, value = next(iter(given.items()))
        raise InputError(
            f"{name}={value!r} chooses among the members of a sample when shards are opened, and "
            f"here is a {type(source).__name__}: leave it out"
        )
    return source


def check_split(data: Any, split: str) -> None:
    """Raise `InputError` for a part of what has no parts: only paths have some."""
    if split != "train" and not isinstance(data, str | os.PathLike):
        raise InputError(
            f"split={split!r} chooses a part of a path that has several, and a "
            f"{type(data).__name__!r} has none: give what is to be read, without split"
        )


def _open(
    data: Any,
    labels: Any,
    classes: Iterable[Any] | None,
    channels: Channels,
    layout: Layout | None,
    split: str,
    keys: dict[str, Any],
) -> Source:
    check_split(data, split)
    if isinstance(data, np.ndarray | torch.Tensor):
        return ArraySource(data, labels, classes, layout=layout)
    if labels is not None:
        raise InputError(
            f"labels go with an array of images, not with a {type(data).__name__!r}, which brings "
            "its own: leave labels out"
        )
    if is_source(data):
        return data
    if isinstance(data, str | os.PathLike):
        return _open_path(_as_path(_here(data)), channels, layout, split, keys)
    if is_file_list(data):
        return _open_list(data, channels, keys)
    if isinstance(data, tuple) and len(data) == 2:
        return ArraySource(data[0], data[1], classes, layout=layout)
    source = recognise(data, channels)
    if source is None:
        raise InputTypeError(
            f"data of type {type(data).__name__!r} is not a source of images: give {_KINDS}"
        )
    return source


def _here(data: str | os.PathLike[str]) -> str:
    text = expanded(data)
    if not text:
        raise InputError(f"the path {text!r} is empty: give '.' for the working folder")
    if _ELSEWHERE.match(text) and not os.path.exists(text):
        raise InputError(
            f"{text!r} is not a path on this machine: fetch the files first, and give their path"
        )
    return text


def _as_path(text: str) -> Path:
    # Without the dot of "./~" the file of that name would be the home folder.
    path = Path(text)
    return path.absolute() if str(path).startswith("~") and not text.startswith("~") else path


def _open_path(
    path: Path, channels: Channels, layout: Layout | None, split: str, keys: dict[str, Any]
) -> Source:
    if path.is_dir():
        if (annotated := open_annotated(path, split)) is not None:
            source: EncodedSource = annotated
            return source
        images = idx_images(path, split)
        if images:
            return open_idx(images)
        _check_whole(path, split)
        shards = shards_in(path)
        return TarSource(shards, channels, **keys) if shards else FolderSource(path, channels)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        described: EncodedSource = open_annotated(path, split)
        return described
    if is_shard(path):
        _check_whole(path, split)
        return TarSource(shards_of(str(path)), channels, **keys)
    if not path.exists():
        raise InputError(f"{str(path)!r} does not exist: give {_KINDS}")
    if path.suffix == ".npz":
        return _open_npz(path, layout, split)
    if "images" in path.name and "idx" in path.name:
        return open_idx(path)
    raise InputError(f"{str(path)!r} is not a file of many images: give {_KINDS}")


def _check_whole(path: Path, split: str) -> None:
    if split != "train":
        raise InputError(
            f"split={split!r} chooses a part of idx folders, .npz files and folders with masks or "
            f"boxes, and {str(path)!r} is not one: give the path of that part, without split"
        )


def is_file_list(data: Any) -> bool:
    """Whether something is a list of files, or of pairs of a file and a class number.

    Raises `InputTypeError` for a list of pairs whose second part is something else.
    """
    if not isinstance(data, list) or not data:
        return False
    for k in (0, len(data) - 1):
        if isinstance(data[k], tuple | list) and len(data[k]) == 2 and _is_file(data[k][0]):
            _check_pair(k, data[k])
    return all(_is_file(_file_of(item)) for item in (data[0], data[-1]))


def _is_file(item: Any) -> bool:
    return isinstance(item, str | os.PathLike)


def _check_pair(k: int, item: Any) -> None:
    label = item[1]
    number = isinstance(label, int | np.integer)
    alone = isinstance(label, torch.Tensor) and label.ndim == 0
    if (isinstance(item, tuple) and number) or not (
        number or alone or label is None or isinstance(label, str | float | np.generic)
    ):
        return  # as it should be, or a sample that has a text before its image
    cure = "number the names of classes" if isinstance(label, str) else "int(label) may be meant"
    raise InputTypeError(
        f"item {k} of the list is {item!r}, not a file or a pair (file, class number), which is a "
        f"tuple of a path and an int: {cure}"
    )


def _file_of(item: Any) -> Any:
    pair = isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], int | np.integer)
    return item[0] if pair else item


def _open_list(data: list[Any], channels: Channels, keys: dict[str, Any]) -> Source:
    pairs = [isinstance(item, tuple) for item in data]
    files = [_file_of(item) for item in data]
    for k, file in enumerate(files):
        if not isinstance(file, str | os.PathLike) or pairs[k] != pairs[0]:
            raise InputTypeError(
                f"item {k} of the list is {data[k]!r}, unlike the first, {data[0]!r}: give files, "
                "or pairs (file, class number), and nothing else"
            )
    files = [expanded(file) for file in files]
    if any(pairs):
        labels = [int(item[1]) for item in data]
        if (highest := max(labels)) >= MOST_CLASSES:
            raise InputError(
                f"item {labels.index(highest)} of the list, {data[labels.index(highest)]!r}, has a "
                f"label that is not below {MOST_CLASSES:,}: number the classes from 0, without gaps"
            )
        names = [str(k) for k in range(highest + 1)]
        return FolderSource.of(zip(files, labels, strict=True), names, channels=channels)
    if all(map(is_shard, files)):
        return TarSource(files, channels, **keys)
    return FolderSource.plain(files, channels)


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
                    "name the images so"
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
    "TarSource",
    "is_file_list",
    "open_source",
]
