"""Images in files whose annotations follow them: what the datasets of this package share."""

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from augfeed.errors import InputError, InputIndexError, ReadError
from augfeed.fields.kinds import Boxes, Field, Keypoints, field_of
from augfeed.read.annotation import Annotation, check_fit
from augfeed.read.decode import Channels, decode, read_image_header
from augfeed.read.exif import Picture
from augfeed.read.folder import FolderSource
from augfeed.read.labels import check_classes
from augfeed.read.protocols import EncodedSource
from augfeed.read.regular_file import file_bytes

Options = Mapping[str, Any]


class AnnotatedImages(Dataset[Any]):
    """A dataset of images in files, each with an `Annotation`, that a loader reads by itself.

    `DataLoader(dataset, policy=...)` reads it in threads, without worker processes. A sample is
    `(image, target)`: the image uint8 `[3, h, w]`, upright; the target a mask int64 `[h, w]` where
    there is nothing else, else a dict of tensors by name. `fields` says how parts follow the image.
    """

    labels = None
    name: str | None = None
    sizes: tuple[int, int] | None = None
    classes: tuple[str, ...] | None
    num_classes: int | None
    told_apart: tuple[Any, ...] = ()  # by what is not usual in how annotations are read

    def __init__(
        self,
        files: Sequence[str] | EncodedSource,
        fields: Mapping[str, Field],
        classes: Sequence[str] | None = None,
        num_classes: int | None = None,
    ) -> None:
        """Take the files of the images, or a source of them."""
        self.files: EncodedSource = (
            files if isinstance(files, EncodedSource) else FolderSource.plain(files)
        )
        self.channels: Channels = self.files.channels
        self.fields: dict[str, Field] = dict(fields)
        self.classes = check_classes(classes)
        self.num_classes = len(self.classes) if self.classes else num_classes
        self.skipped: dict[str, int] = {}
        self._fingerprint = ""

    # What a subclass says

    def annotation(self, i: int) -> Annotation:
        """Return what belongs to image `i`; raise `ReadError` that names the file."""
        raise NotImplementedError

    def described_by(self) -> Sequence[str]:
        """Return the files that annotations are read from."""
        raise NotImplementedError

    # As a dataset of torch's

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path(0)!r} and so on: {len(self)} images)"

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise InputIndexError(f"index={index!r} is not in [0, {len(self)}): give one of these")
        data, path = self.read(i), self.path(i)
        header, note = read_image_header(data, path), self.annotation(i)
        check_fit(note, header, path)
        pixels = torch.from_numpy(decode(data, path, self.channels)).permute(2, 0, 1).contiguous()
        return pixels, self._target(note, header.upright)

    def _target(self, note: Annotation, size: tuple[int, int]) -> Any:
        parts = {name: _tensor(part) for name, part in self.in_pixels(note, size).items()}
        return parts["mask"] if [*parts] == ["mask"] else parts

    def in_pixels(self, note: Annotation, size: tuple[int, int]) -> dict[str, Any]:
        """Return the parts of an annotation with places in pixels of an image of `size`."""
        if note.size is not None:
            return note.parts
        made = dict(note.parts)
        for name, field in self.fields.items():
            if isinstance(field, Boxes):
                made[name] = made[name] * np.array([size[1], size[0], size[1], size[0]])
            elif isinstance(field, Keypoints):
                made[name] = made[name].copy()
                made[name][..., 0] = made[name][..., 0] * size[1] - 0.5
                made[name][..., 1] = made[name][..., 1] * size[0] - 0.5
        return made

    def with_fields(self, given: Options) -> "AnnotatedImages":
        """Return the same dataset with other fields, as `{"boxes": Boxes(min_side=4)}`.

        Raises `InputError` for a name that samples do not have, and for another kind.
        """
        made, fields = copy.copy(self), dict(self.fields)
        for name, kind in given.items():
            field = field_of(kind)
            if name not in fields:
                raise InputError(
                    f"fields={{{name!r}: ...}} is not in {type(self).__name__}, whose samples have "
                    f"{sorted(fields)}: give one of these"
                )
            if type(field) is not type(fields[name]):
                raise InputError(
                    f"fields={{{name!r}: {field!r}}} is not of the kind of {name!r} in "
                    f"{type(self).__name__}: give a {type(fields[name]).__name__}"
                )
            if isinstance(field, Boxes) and (field.format, field.normalized) != ("xyxy", False):
                raise InputError(
                    f"fields={{{name!r}: {field!r}}}: the reader gives boxes as 'xyxy' in pixels, "
                    "whatever the files have: leave out format and normalized"
                )
            fields[name] = field
        made.fields, made._fingerprint = fields, ""
        return made

    def collated_fields(self) -> dict[Any, Field]:
        """Return the fields by their places in a sample, for a loader that takes samples."""
        if [*self.fields] == ["mask"]:
            return {1: self.fields["mask"]}
        return {(1, name): field for name, field in self.fields.items()}

    # As a source

    def path(self, i: int) -> str:
        """Return the path of image `i`."""
        return self.files.path(i)

    def read(self, i: int) -> bytes:
        """Return the encoded image `i`; raise `ReadError` if it cannot be read."""
        return self.files.read(i)

    def identity(self, i: int) -> str:
        """Return a text that changes when file `i` does; raise `ReadError` if it is not there."""
        return self.files.identity(i)

    def image(self, i: int) -> Picture:
        """Return image `i` whole, decoded, uint8 `[h, w, 3]`; raise `ReadError` if it is not."""
        return self.files.image(i)

    def fingerprint(self) -> str:
        """Return the SHA-256 of what is listed, 64 hexadecimal digits; computed once.

        It covers images as `FolderSource` does, names and sizes of the files of annotations,
        classes, how annotations are read, and how fields follow.
        """
        return self.told()

    def told(self, *more: Any) -> str:
        """Return `fingerprint`, which covers `more` too."""
        if not self._fingerprint:
            digest = hashlib.sha256(self.files.fingerprint().encode())
            read = (type(self).__name__, self.classes, self.fields, *self.told_apart, *more)
            digest.update(repr(read).encode())
            for path in self.described_by():
                try:
                    size = os.stat(path).st_size
                except OSError:
                    size = -1
                line = f"{os.path.basename(path)}\0{size}\0"
                digest.update(line.encode(errors="surrogateescape"))
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def _tensor(part: Any) -> torch.Tensor:
    array = np.asarray(part)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    elif array.dtype.kind in "iu" and array.ndim < 3:
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array)) if array.ndim else torch.tensor(part)


def read_file(path: str, what: str, image: str) -> bytes:
    """Return the bytes of a file of annotations; raise `ReadError` that names it and its image."""
    try:
        return file_bytes(path)
    except FileNotFoundError as error:
        raise ReadError(
            f"{path}: does not exist, and is the {what} of {image}: add it, or remove the image"
        ) from error
    except OSError as error:
        raise ReadError.of(path, error) from error


__all__ = ["AnnotatedImages", "read_file"]
