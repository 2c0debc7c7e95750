"""Datasets of Hugging Face: encoded images in the rows of an arrow table."""

import contextlib
import copy
import hashlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from augfeed.errors import InputError, InputTypeError, PolicyError, ReadError
from augfeed.policy import Policy
from augfeed.read.channel_count import mode_channels, picture_mode
from augfeed.read.decode import Channels, decode, picture_size
from augfeed.read.exif import Picture
from augfeed.read.indices import check_indices
from augfeed.read.labels import Labels, check_classes, check_labels
from augfeed.read.regular_file import file_bytes

LOOKED_AT = 64  # images, to see whether all are of one size


class HuggingFaceSource:
    """The images of a `datasets.Dataset`, read from its table when they are asked for.

    Of its columns exactly one holds images (`Image()`), and at most one more holds labels
    (`ClassLabel`, or `Value` of integers); `columns` are their names, the second None without
    labels. Sample `i` is `data[i]`, with what `select`, `shuffle` and `train_test_split` did. The
    channels are those of the first image that can be read; an image with others raises `ReadError`
    when it is read, unless the feature is `Image(mode="RGB")`; so does one of another size, once
    `find_size` has found that of all. Raises `InputError` for other columns, for a
    format or transform that was set, and for labels that are not classes.
    """

    labels: Labels | None
    num_classes: int | None
    classes: tuple[str, ...] | None
    channels: Channels
    name: str | None
    sizes: tuple[int, int] | None

    def __init__(self, data: Any) -> None:
        """Check columns and format, take the labels and look at the first images."""
        if not len(data):
            raise InputError("the dataset is empty: give at least one image")
        _refuse_format(data)
        image, label = self.columns = _columns(data)
        self._mode: str | None = getattr(data.features[image], "mode", None)
        self._table, self._parent = data.data, str(data._fingerprint)
        self._column: Any = None
        indices = data._indices
        rows = np.arange(len(data)) if indices is None else indices.column(0).to_numpy()
        self._rows: NDArray[np.int64] = np.asarray(rows).astype(np.int64)
        self._ids: NDArray[np.int64] | None = None  # of samples in `data`; None: their own
        feature = None if label is None else data.features[label]
        self.classes = check_classes(getattr(feature, "names", None))
        labels = None if label is None else _labels(self._table, label)[self._rows]
        self.labels, self.num_classes = check_labels(labels, len(data), self.classes)
        self.name = self.sizes = None
        self.channels = self._channels(*self._first())

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"HuggingFaceSource({len(self)} images of {self.columns[0]!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A table in files is pickled as their paths, a column of it with all its images.
        return {**self.__dict__, "_column": None}

    def pick(self, indices: Any) -> "HuggingFaceSource":
        """Return a source of some samples; sample `i` is sample `indices[i]` of this one.

        Classes stay those of the whole. Raises `InputError` or `InputTypeError` for indices that
        are none, `ReadError` if none of the first images can be read.
        """
        chosen = check_indices(indices, len(self))
        part = copy.copy(self)
        part._rows = self._rows[chosen]
        part._ids = chosen if self._ids is None else self._ids[chosen]
        part.labels = None if self.labels is None else self.labels[chosen]
        part.channels = part._channels(*part._first())
        return part

    def path(self, i: int) -> str:
        """Return the expression that gives image `i`, for messages: `data[7]['image']`."""
        return f"data[{i if self._ids is None else self._ids[i]}][{self.columns[0]!r}]"

    def identity(self, i: int) -> str:
        """Return a text that changes when image `i` does: its table's fingerprint, its row."""
        if not 0 <= i < len(self):
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such image")
        return f"{self._parent}\0{self.columns[0]}\0{self._rows[i]}"

    def read(self, i: int) -> bytes:
        """Return the encoded image `i`; raise `ReadError` if it cannot be read.

        So it is, too, if the image has other channels, or another size, than the first.
        """
        data = self.encoded(i)
        channels = self._channels(data, i)
        if self.sizes is not None and (size := picture_size(data, self.path(i))) != self.sizes:
            raise ReadError(
                f"{self.path(i)}: is of {size} pixels (height, width), and the first image of "
                f"{self.sizes}: give the policy a size, as random_resized_crop(size) does"
            )
        if channels != self.channels:
            raise ReadError(
                f"{self.path(i)}: has {channels} channels, and the first image has "
                f"{self.channels}: make all alike with "
                f"data.cast_column({self.columns[0]!r}, Image(mode='RGB'))"
            )
        return data

    def find_size(self) -> None:
        """Set `sizes` to that of images all over the data, if they have one size."""
        some = np.unique(np.linspace(0, len(self) - 1, LOOKED_AT).astype(np.int64)).tolist()
        found = set()
        for i in some:
            with contextlib.suppress(ReadError):  # which is an error when it is read
                found.add(picture_size(self.encoded(i), self.path(i)))
        if len(found) == 1:
            (self.sizes,) = found

    def image(self, i: int) -> Picture:
        """Return image `i` whole, decoded, uint8 `[h, w, C]`; raise `ReadError` if it is not."""
        return decode(self.read(i), self.path(i), self.channels)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the dataset's own fingerprint, 64 hexadecimal digits.

        For picked samples it covers which.
        """
        digest = hashlib.sha256(self._parent.encode())
        if self._ids is not None:
            digest.update(self._ids.data)
        return digest.hexdigest()

    def _first(self) -> tuple[bytes, int]:
        # The first image that is one, so that a broken one, which `on_error` is about, decides
        # nothing for all others.
        errors = []
        for i in range(min(len(self), LOOKED_AT)):
            try:
                data = self.encoded(i)
                picture_mode(data, self.path(i))
            except ReadError as error:
                errors.append(error)
            else:
                return data, i
        raise errors[0]

    def _channels(self, data: bytes, i: int) -> Channels:
        """Return the channels with which the dataset itself hands out image `i`."""
        mode = picture_mode(data, self.path(i))
        if mode.startswith("I;16") and self._mode is None:
            return 1
        if mode.startswith(("I", "F")):
            # Where Pillow makes other images of wide values it clips them; `decode` scales them.
            raise ReadError(
                f"{self.path(i)}: is of mode {mode!r}, whose values would be clipped: save it with "
                "8 bits, or as gray of 16 bits without Image(mode=...)"
            )
        return mode_channels(mode) if self._mode is None else 3

    def encoded(self, i: int) -> bytes:
        """Return the encoded image `i`, whatever its channels; raise `ReadError` if it is none."""
        if not 0 <= i < len(self):
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such image")
        if self._column is None:
            self._column = self._table.column(self.columns[0])
        held = self._column[int(self._rows[i])].as_py() or {}
        data: bytes | None = held.get("bytes")
        return _read_file(held.get("path"), self.path(i)) if data is None else data


def check_single(data: Any) -> None:
    """Raise `InputTypeError` for a dict of datasets, as a `datasets.DatasetDict` of its splits."""
    parts = dict(data) if isinstance(data, Mapping) else {}
    if parts and all(_is_dataset(part) for part in parts.values()):
        first = next(iter(parts))
        raise InputTypeError(
            f"dataset of type {type(data).__name__!r} has {len(parts)} datasets, {[*parts]}: give "
            f"one of them, as dataset[{first!r}]"
        )


def _is_dataset(part: Any) -> bool:
    return isinstance(part, Dataset) or hasattr(part, "column_names")


def with_size(source: Any, policy: Policy) -> Any:
    """Return a source; if it is of Hugging Face and the policy needs to know, with its size."""
    if isinstance(source, HuggingFaceSource) and source.sizes is None:
        try:
            policy.size()
        except PolicyError:
            source.find_size()
    return source


def _refuse_format(data: Any) -> None:
    held = data.format
    if held["type"] is not None or {*held["columns"]} != {*data.column_names}:
        raise InputError(
            f"its format {held['type'] or held['columns']!r} would be skipped; "
            "data.with_format(None) has none"
        )


def _columns(data: Any) -> tuple[str, str | None]:
    kinds = {name: type(feature).__name__ for name, feature in data.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    others = [name for name in kinds if name not in images]
    if len(images) != 1 or len(others) > 1:
        raise InputError(
            f"its columns {list(kinds)} are not one of images and at most one of labels; "
            "data.select_columns([...]) keeps those that are"
        )
    feature = data.features[images[0]]
    if not getattr(feature, "decode", True) or getattr(feature, "mode", None) not in (None, "RGB"):
        raise InputError(
            f"its images are handed out as {feature}, not as they are or as RGB; "
            f"data.cast_column({images[0]!r}, datasets.Image()) does"
        )
    for name in others:
        kind, dtype = kinds[name], str(getattr(data.features[name], "dtype", ""))
        if kind not in ("ClassLabel", "Value") or not dtype.startswith(("int", "uint")):
            raise InputError(f"its column {name!r} of {data.features[name]} holds no class numbers")
    return images[0], others[0] if others else None


def _labels(table: Any, name: str) -> NDArray[Any]:
    column = table.column(name)
    if column.null_count:
        raise InputError(f"its column {name!r} lacks {column.null_count} labels")
    return np.asarray(column.to_numpy())


def _read_file(path: str | None, name: str) -> bytes:
    if path is None:
        raise ReadError(f"{name}: is missing (None): leave such rows out with data.filter")
    if "://" in path:
        raise ReadError(f"{name}: is not on this machine ({path!r}): fetch it with data.map")
    try:
        return file_bytes(os.fspath(path))
    except OSError as error:
        reason = error.strerror or error
        raise ReadError(
            f"{name}: {path!r} cannot be read ({reason}): check that it is there and may be read"
        ) from error


__all__ = ["HuggingFaceSource", "check_single", "with_size"]
