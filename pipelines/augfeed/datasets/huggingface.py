"""Masks and boxes in the columns of Hugging Face's datasets."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.datasets.class_masks import MaskFormat, MaskNumbers
from augfeed.datasets.shards import check_labels, parts_of
from augfeed.errors import InputError
from augfeed.fields.kinds import FORMATS, Boxes, BoxFormat, Mask
from augfeed.read.annotation import Annotation
from augfeed.read.decode import picture_size
from augfeed.read.huggingface import HuggingFaceSource, check_single


class HuggingFaceSegmentation(AnnotatedImages):
    """Images and masks in two columns of `Image()` of a `datasets.Dataset`.

    `image` and `mask` are their names. `numbers` are those of `MaskFormat`. A sample is
    `(image, mask)`. Raises `InputError` for other columns, `ReadError` for a mask that is wrong,
    when it is read.
    """

    def __init__(
        self, data: Any, image: str = "image", mask: str = "mask",
        **numbers: Unpack[MaskNumbers],
    ) -> None:  # fmt: skip
        """Look at the first image and mask."""
        self.format = MaskFormat(**numbers)
        pictures, self._masks = (HuggingFaceSource(_column(data, name)) for name in (image, mask))
        super().__init__(
            pictures, {"mask": Mask(self.format.ignore_index)}, None, self.format.num_classes
        )

    def annotation(self, i: int) -> Annotation:
        """Return the mask of image `i`; raise `ReadError` that names it."""
        where = self._masks.path(i)
        mask = self.format.decoded(self._masks.encoded(i), where)
        return Annotation({"mask": mask}, (mask.shape[0], mask.shape[1]), where)

    def described_by(self) -> Sequence[str]:
        """Return no file: the table's fingerprint covers all."""
        return ()

    def fingerprint(self) -> str:
        """Return the SHA-256 of both columns, and of how masks follow, 64 hexadecimal digits."""
        return self.told(self._masks.fingerprint(), self.format)


class HuggingFaceDetection(AnnotatedImages):
    """Images and objects of a `datasets.Dataset`: a column `{"bbox": [...], "category": [...]}`.

    `image` and `objects` are the names of the columns, `boxes` and `labels` those within the
    second. Boxes are of `format`, in pixels, or shares if `normalized`; COCO's, "xywh", by default.
    A sample is `(image, target)` with "boxes" float32 `[N, 4]` (xyxy in pixels), "labels" int64
    `[N]` and "image_id", the number of the sample. Raises `InputError` for other columns,
    `ReadError` for boxes and labels that are wrong, when they are read.
    """

    def __init__(
        self, data: Any, image: str = "image", objects: str = "objects", *,
        boxes: str = "bbox", labels: str = "category", format: BoxFormat = "xywh",
        normalized: bool = False,
    ) -> None:  # fmt: skip
        """Look at the first image."""
        if format not in FORMATS:
            raise InputError(f"format={format!r} is not a format of boxes: give one of {FORMATS}")
        pictures = HuggingFaceSource(_column(data, image))
        self._objects, self.column, self.names = _column(data, objects), objects, (boxes, labels)
        self.format, self.normalized = format, normalized
        names = _names(data.features[objects], labels)
        super().__init__(pictures, {"boxes": Boxes()}, names, None)

    def annotation(self, i: int) -> Annotation:
        """Return the boxes of image `i`; raise `ReadError` that names them."""
        where = f"data[{i}][{self.column!r}]"
        told = self._objects[i][self.column]
        if isinstance(told, list):  # one dict an object
            told = {name: [each.get(name) for each in told] for name in self.names}
        given = [told.get(name) if isinstance(told, Mapping) else None for name in self.names]
        size = picture_size(self.read(i), self.path(i))
        parts = parts_of(given, self.names, size, where, self.format, normalized=self.normalized)
        check_labels(parts["labels"], self.num_classes, where)
        return Annotation({**parts, "image_id": i}, size, where)

    def described_by(self) -> Sequence[str]:
        """Return no file: the table's fingerprint covers all."""
        return ()

    def fingerprint(self) -> str:
        """Return the SHA-256 of both columns, and of how boxes follow, 64 hexadecimal digits."""
        return self.told(str(self._objects._fingerprint), self.names, self.format, self.normalized)


def _column(data: Any, name: str) -> Any:
    check_single(data)
    names = list(getattr(data, "column_names", ()))
    if name not in names:
        raise InputError(f"{name!r} is not a column of the dataset, which has {names}: give one")
    return data.select_columns([name])


def _names(feature: Any, labels: str) -> list[str] | None:
    for inner in (feature, getattr(feature, "feature", None)):
        held = inner[0] if isinstance(inner, list) and inner else inner
        if isinstance(held, Mapping) and labels in held:
            found = held[labels]
            names = getattr(getattr(found, "feature", found), "names", None)
            return None if names is None else list(names)
    return None


__all__ = ["HuggingFaceDetection", "HuggingFaceSegmentation"]
