"""PASCAL VOC: boxes of objects in XML files, masks of classes in PNG files."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from augfeed.datasets.annotated_images import AnnotatedImages, read_file
from augfeed.datasets.box_annotations import check_names, checked_boxes, numbers_of
from augfeed.datasets.class_masks import MaskFormat
from augfeed.errors import InputError, ReadError
from augfeed.fields.kinds import Boxes, Mask
from augfeed.read.annotation import Annotation
from augfeed.read.cache_dir import expanded

OBJECTS = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
BACKGROUND = "background"
_YEAR = re.compile(r"VOC\d{4}$")
_ENTITY = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class VOCDetection(AnnotatedImages):
    """Boxes of PASCAL VOC: `JPEGImages`, `Annotations` and `ImageSets/Main/train.txt` in `root`.

    `root` is such a folder, or one that holds it, as `VOCdevkit/VOC2012` or with `year`. Without
    lists all annotations are taken. A sample is `(image, target)`, with "boxes" float32 `[N, 4]`
    (xyxy in edges: the first pixel, which VOC calls 1, begins at 0), "labels" int64 `[N]` (the
    first of `classes` is 1, as 0 is the background), "difficult" and "truncated" bool `[N]`, and
    "image_id", the number of the sample. `difficult=False` leaves difficult objects out.

    Raises `InputError` for folders that are missing, `ReadError` for a file that is broken, a class
    that is not known, and a box that is not in the image, when it is read.

    References:
        Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010,
        https://doi.org/10.1007/s11263-009-0275-4.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_set: str = "train",
        *,
        year: str | int | None = None,
        classes: Sequence[str] = OBJECTS,
        difficult: bool = True,
    ) -> None:
        """Read the list of images."""
        folder = voc_folder(root, year)
        names = _names(folder, "Main", image_set, "Annotations", ".xml")
        files = [_image(folder, name) for name in names]
        self.objects, self.difficult = check_names(classes), difficult
        super().__init__(files, {"boxes": Boxes()}, (BACKGROUND, *self.objects))
        self.told_apart = () if difficult else ("not difficult",)
        self._files = [str(folder / "Annotations" / f"{name}.xml") for name in names]

    def annotation(self, i: int) -> Annotation:
        """Return the boxes of image `i`; raise `ReadError` that names the file."""
        path = self._files[i]
        tree = _tree(read_file(path, "annotation", self.path(i)), path)
        size = (_whole(tree, "size/height", path), _whole(tree, "size/width", path))
        found = [item for item in tree.findall("object")
                 if self.difficult or not _flag(item, "difficult", path)]  # fmt: skip
        boxes = [[_number(item, f"bndbox/{side}", path) for side in _SIDES] for item in found]
        shown = np.array(boxes, np.float64).reshape(-1, 4)
        names = [_text(item, "name", path) for item in found]
        parts = {
            "boxes": checked_boxes(shown - np.array([1, 1, 0, 0]), size, path, shown),
            "labels": numbers_of(names, self.objects, 1, path),
            "difficult": _flags(found, "difficult", path),
            "truncated": _flags(found, "truncated", path),
            "image_id": i,
        }
        return Annotation(parts, size, path)

    def described_by(self) -> Sequence[str]:
        """Return the XML files."""
        return self._files


class VOCSegmentation(AnnotatedImages):
    """Masks of PASCAL VOC: `JPEGImages`, `SegmentationClass` and `ImageSets/Segmentation`.

    `root`, `image_set` and `year` are as of `VOCDetection`. A sample is `(image, mask)`, the mask
    int64 `[h, w]` with 0 for the background, 1 to 20 for `classes`, and 255 for borders, which
    losses ignore. Raises `InputError` for folders that are missing, `ReadError` for a mask that is
    broken, has other numbers, or another size than its image, when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_set: str = "train",
        *,
        year: str | int | None = None,
        classes: Sequence[str] = OBJECTS,
    ) -> None:
        """Read the list of images."""
        folder = voc_folder(root, year)
        names = _names(folder, "Segmentation", image_set, "SegmentationClass", ".png")
        files = [_image(folder, name) for name in names]
        super().__init__(files, {"mask": Mask(255)}, (BACKGROUND, *check_names(classes)))
        self._files = [str(folder / "SegmentationClass" / f"{name}.png") for name in names]
        self.format = MaskFormat(self.num_classes)

    def annotation(self, i: int) -> Annotation:
        """Return the mask of image `i`; raise `ReadError` that names the file."""
        mask = self.format.read(self._files[i], self.path(i))
        return Annotation({"mask": mask}, (mask.shape[0], mask.shape[1]), self._files[i])

    def described_by(self) -> Sequence[str]:
        """Return the files of the masks."""
        return self._files


def voc_folder(root: str | os.PathLike[str], year: str | int | None = None) -> Path:
    """Return the folder of a year of VOC in `root`; raise `InputError` if there is none."""
    top = Path(expanded(root))
    if is_voc(top) and year is None:
        return top
    found = sorted(
        folder
        for place in (top, top / "VOCdevkit")
        if place.is_dir()
        for folder in place.iterdir()
        if _YEAR.match(folder.name) and is_voc(folder)
    )
    if year is not None:
        found = [folder for folder in found if folder.name == f"VOC{year}"]
    if len(found) != 1:
        there = f"has {[folder.name for folder in found]}" if found else "holds none"
        raise InputError(
            f"{str(top)!r} {there}: give the folder that holds JPEGImages and Annotations or "
            "SegmentationClass, as VOCdevkit/VOC2012, or its year"
        )
    return found[0]


def is_voc(folder: Path) -> bool:
    """Return whether a folder has the layout of VOC."""
    beside = any((folder / name).is_dir() for name in ("Annotations", "SegmentationClass"))
    return (folder / "JPEGImages").is_dir() and beside


def _names(folder: Path, kind: str, image_set: str, place: str, ending: str) -> list[str]:
    listed = folder / "ImageSets" / kind / f"{image_set}.txt"
    if listed.is_file():
        names = [
            line.split()[0]
            for line in listed.read_text(encoding="utf-8-sig").splitlines()
            if line.split()
        ]
    elif listed.parent.is_dir():
        there = sorted(item.stem for item in listed.parent.glob("*.txt"))
        raise InputError(
            f"image_set={image_set!r} is not a list in {str(listed.parent)!r}: give one of {there}"
        )
    else:
        names = sorted(item.stem for item in (folder / place).glob(f"*{ending}"))
    if not names:
        raise InputError(f"{str(folder / place)!r} has no files {ending}: give a folder of VOC")
    return names


def _image(folder: Path, name: str) -> str:
    for ending in (".jpg", ".jpeg", ".png", ".JPG"):
        if (found := folder / "JPEGImages" / f"{name}{ending}").is_file():
            return str(found)
    return str(folder / "JPEGImages" / f"{name}.jpg")  # an error when it is read


def _tree(data: bytes, path: str) -> ElementTree.Element:
    if _ENTITY.search(data):
        raise ReadError(f"{path}: has a DOCTYPE or entities, which are not read: remove them")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ReadError(f"{path}: is not XML ({error}): fetch it again, or remove it") from error


def _text(item: ElementTree.Element, name: str, path: str) -> str:
    found = item.findtext(name)
    if found is None or not found.strip():
        raise ReadError(f"{path}: a <{item.tag}> has no <{name}>: add it, or remove the file")
    return found.strip()


def _number(item: ElementTree.Element, name: str, path: str) -> float:
    text = _text(item, name, path)
    try:
        return float(text)
    except ValueError:
        raise ReadError(f"{path}: <{name}> is {text!r}, not a number: fix it") from None


def _whole(item: ElementTree.Element, name: str, path: str) -> int:
    value = _number(item, name, path)
    if not value >= 1 or value != int(value):
        raise ReadError(f"{path}: <{name}> is {value:g}, not a positive whole number: fix it")
    return int(value)


def _flag(item: ElementTree.Element, name: str, path: str) -> bool:
    return item.find(name) is not None and bool(_number(item, name, path))


def _flags(found: Sequence[ElementTree.Element], name: str, path: str) -> Any:
    return np.array([_flag(item, name, path) for item in found], np.bool_)


__all__ = ["OBJECTS", "VOCDetection", "VOCSegmentation", "is_voc", "voc_folder"]
