"""Masks and boxes in tar shards, as WebDataset writes them."""

import json
import os
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.datasets.box_annotations import checked_boxes
from augfeed.datasets.class_masks import MaskFormat, MaskNumbers
from augfeed.errors import InputError, ReadError
from augfeed.fields.boxes import to_corners
from augfeed.fields.kinds import FORMATS, Boxes, BoxFormat, Mask
from augfeed.read.annotation import Annotation
from augfeed.read.decode import picture_size
from augfeed.read.shards import shards_of
from augfeed.read.tar import TarSource

IMAGES, MASKS = "jpg;jpeg;png;webp", "mask.png;seg.png"
Shards = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class ShardSegmentation(AnnotatedImages):
    """Images and masks in tar shards: the members `1.jpg` and `1.mask.png` are one sample.

    `shards` is a path, a pattern or a list, as of `augfeed.open_source`; `image` and `mask` are the
    endings, the first of several that a sample has. `numbers` are those of `MaskFormat`. A sample
    is `(image, mask)`. Raises `InputError` for an image without a mask, `ReadError` for a mask that
    is wrong, when it is read.
    """

    def __init__(
        self, shards: Shards, *, image: str = IMAGES, mask: str = MASKS,
        **numbers: Unpack[MaskNumbers],
    ) -> None:  # fmt: skip
        """Index the shards."""
        self.format = MaskFormat(**numbers)
        pictures, self._masks, self._places = _both(shards, image, mask)
        super().__init__(
            pictures, {"mask": Mask(self.format.ignore_index)}, None, self.format.num_classes
        )
        self.told_apart = self.format.told_apart

    def annotation(self, i: int) -> Annotation:
        """Return the mask of image `i`; raise `ReadError` that names shard and member."""
        place = self._places[i]
        mask = self.format.decoded(self._masks.read(place), self._masks.path(place))
        return Annotation({"mask": mask}, (mask.shape[0], mask.shape[1]), self._masks.path(place))

    def described_by(self) -> Sequence[str]:
        """Return the shards."""
        return self._masks.shards


class ShardDetection(AnnotatedImages):
    """Images and boxes in tar shards: the members `1.jpg` and `1.json` are one sample.

    The JSON has a list of boxes and one of class numbers, under the names `boxes` and `labels`.
    Boxes are of `format` "xyxy", "xywh" or "cxcywh", in pixels, or shares if `normalized`. A sample
    is `(image, target)` with "boxes" float32 `[N, 4]` (xyxy in pixels), "labels" int64 `[N]` and
    "image_id", the number of the sample. Raises `InputError` for an image without JSON, `ReadError`
    for boxes and labels that are wrong, when they are read.
    """

    def __init__(
        self, shards: Shards, *, image: str = IMAGES, boxes: str = "boxes", labels: str = "labels",
        format: BoxFormat = "xyxy", normalized: bool = False, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        """Index the shards."""
        if format not in FORMATS:
            raise InputError(f"format={format!r} is not a format of boxes: give one of {FORMATS}")
        pictures, self._told, self._places = _both(shards, image, "json")
        super().__init__(pictures, {"boxes": Boxes()}, None, num_classes)
        self.names, self.format, self.normalized = (boxes, labels), format, normalized
        read = (boxes, labels, format, normalized)
        self.told_apart = () if read == ("boxes", "labels", "xyxy", False) else read

    def annotation(self, i: int) -> Annotation:
        """Return the boxes of image `i`; raise `ReadError` that names shard and member."""
        place = self._places[i]
        where = self._told.path(place)
        try:
            told = json.loads(self._told.read(place))
        except ValueError as error:
            raise ReadError(f"{where}: is not JSON ({error}): write it again") from error
        given = [told.get(name) if isinstance(told, dict) else None for name in self.names]
        size = picture_size(self.read(i), self.path(i))
        parts = parts_of(given, self.names, size, where, self.format, normalized=self.normalized)
        check_labels(parts["labels"], self.num_classes, where)
        return Annotation({**parts, "image_id": i}, size, where)

    def described_by(self) -> Sequence[str]:
        """Return the shards."""
        return self._told.shards


def parts_of(
    given: Sequence[Any], names: Sequence[str], size: tuple[int, int], where: str,
    format: BoxFormat, *, normalized: bool,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Return "boxes" xyxy in pixels and "labels" of two lists; raise `ReadError` for others."""
    try:
        boxes = np.array(given[0], np.float64).reshape(-1, 4)
        labels = np.array(given[1])
        whole = labels.ndim == 1 and (labels.dtype.kind in "iu" or not labels.size)
    except (TypeError, ValueError):
        boxes, labels, whole = np.empty((0, 4)), np.empty(0), False
    if not whole or len(boxes) != len(labels) or given[0] is None:
        raise ReadError(
            f"{where}: {names[0]} is {str(given[0])[:60]!r} and {names[1]} {str(given[1])[:60]!r}, "
            "not a list of 4 numbers for each box, and a class number for each: fix them, or name "
            "other ones"
        )
    try:
        made = to_corners(boxes, format, size, normalized=normalized, name=where)
    except InputError as error:
        raise ReadError(str(error)) from error
    return {"boxes": checked_boxes(made, size, where, boxes), "labels": labels.astype(np.int64)}


def check_labels(labels: NDArray[Any], num_classes: int | None, where: str) -> None:
    """Raise `ReadError` for a class number that is negative, or not below the classes."""
    if labels.size and (labels.min() < 0 or labels.max() >= (num_classes or np.inf)):
        k = int(labels.argmin() if labels.min() < 0 else labels.argmax())
        known = f"[0, {num_classes})" if num_classes else "numbers from 0"
        raise ReadError(f"{where}: box {k} is of class {labels[k]}, not in {known}: fix it")


def _both(shards: Shards, image: str, other: str) -> tuple[TarSource, TarSource, list[int]]:
    # The images, the other members, and which of those belongs to each image.
    alone = isinstance(shards, str | os.PathLike)
    files = shards_of(os.fspath(shards)) if alone else list(shards)  # type: ignore[arg-type]
    pictures = TarSource(files, image_key=image, labelled=False)
    members = TarSource(files, image_key=other, labelled=False)
    there = {_key(members.path(i)): i for i in range(len(members))}
    places = []
    for i in range(len(pictures)):
        key = _key(pictures.path(i))
        if key not in there:
            raise InputError(
                f"{pictures.path(i)} has no member of the ending {other!r} in its sample: add it, "
                "or name another ending"
            )
        places.append(there[key])
    return pictures, members, places


def _key(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


__all__ = ["ShardDetection", "ShardSegmentation", "check_labels", "parts_of"]
