"""COCO: boxes, instance masks and keypoints of objects, in one JSON file."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.datasets.box_annotations import checked_boxes
from augfeed.datasets.coco_masks import instance_masks, mask_library
from augfeed.errors import InputError, ReadError
from augfeed.fields.kinds import Boxes, Field, Keypoints, Mask
from augfeed.read.annotation import Annotation, Size
from augfeed.read.cache_dir import expanded
from augfeed.read.skipped_files import tell

Labels = Literal["ids", "contiguous"]
_SIDES = (("left", "right"), ("Left", "Right"))
_EMPTY = "boxes without area"
_CROWD = "crowds"


class CocoDetection(AnnotatedImages):
    """Objects of COCO: images in a folder `root`, all else in the JSON file `annFile`.

    A sample is `(image, target)`, with "boxes" float32 `[N, 4]` (xyxy in pixels), "labels" int64
    `[N]`, "area" float32 `[N]`, "iscrowd" int64 `[N]`, and "image_id", COCO's number of the image.
    `masks` adds "masks" uint8 `[N, h, w]`, of polygons and run lengths (needs faster-coco-eval);
    `keypoints` adds "keypoints" float32 `[N, K, 3]` of the one category that has them, and leaves
    out objects without. Left and right change places in mirrored images as their names say.
    `labels` "ids" keeps the numbers of categories as they are, up to 90; "contiguous" counts from 0
    in their order. `crowd=True` keeps objects that are crowds; `empty=False` leaves out images
    without any object. Boxes without area, of which COCO has some, are left out: see `skipped`.

    Raises `InputError` for a file that is not COCO's, `ReadError`, naming image and annotation, for
    boxes, polygons and points that are wrong, when they are read.

    References:
        Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014,
        https://arxiv.org/abs/1405.0312.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        annFile: str | os.PathLike[str],
        *,
        masks: bool = False,
        keypoints: bool = False,
        labels: Labels = "ids",
        crowd: bool = False,
        empty: bool = True,
    ) -> None:
        """Read the JSON file."""
        if labels not in get_args(Labels):
            raise InputError(f"labels={labels!r} is unknown: use one of {get_args(Labels)}")
        if masks:
            mask_library()
        path = expanded(annFile)
        told = _loaded(path)
        self.file, self.labels_of = path, labels
        names, numbers = _categories(told["categories"], path, contiguous=labels == "contiguous")
        self._numbers, self._points = numbers, _skeleton(told, path) if keypoints else None
        self._objects, skipped = _grouped(told, path, crowd=crowd, points=self._points)
        images = [item for item in told["images"] if empty or self._objects.get(item["id"])]
        if not images:
            raise InputError(f"{path}: has no images that are to be read: give another file")
        self._images = [(item["id"], (int(item["height"]), int(item["width"]))) for item in images]
        fields: dict[str, Field] = {"boxes": Boxes()}
        if masks:
            fields["masks"] = Mask(0)
        if self._points is not None:
            fields["keypoints"] = Keypoints(_pairs(self._points[1]))
        folder = expanded(root)
        super().__init__([os.path.join(folder, str(item["file_name"])) for item in images], fields,
                         None, max(numbers.values()) + 1)  # fmt: skip
        self.classes = names
        self.skipped = skipped
        self.told_apart = (*(["contiguous"] * (labels != "ids")), *(["crowds"] * crowd))
        tell(path, skipped)

    def annotation(self, i: int) -> Annotation:
        """Return the objects of image `i`; raise `ReadError` that names image and object."""
        number, size = self._images[i]
        found = self._objects.get(number, [])
        where = f"{self.file}: image {number} ({os.path.basename(self.path(i))})"
        boxes = _boxes(found, size, where)
        parts: dict[str, Any] = {
            "boxes": boxes,
            "labels": np.array([self._label(item, where) for item in found], np.int64),
            "area": np.array([_area(item, box) for item, box in zip(found, boxes, strict=True)],
                             np.float32),
            "iscrowd": np.array([int(item.get("iscrowd", 0)) for item in found], np.int64),
        }  # fmt: skip
        if "masks" in self.fields:
            parts["masks"] = instance_masks(found, size, where)
        if self._points is not None:
            parts["keypoints"] = _points(found, len(self._points[1]), where)
        parts["image_id"] = number
        return Annotation(parts, size, where)

    def object_masks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return how many masks each image has, and how many values these are, int64 `[N]`; None
        without masks."""
        if "masks" not in self.fields:
            return None
        counts = np.array([len(self._objects.get(number, ())) for number, _ in self._images])
        pixels = np.array([math.prod(size) for _, size in self._images], np.int64)
        return counts.astype(np.int64), counts * pixels

    def _label(self, item: Mapping[str, Any], where: str) -> int:
        category = item.get("category_id")
        if category not in self._numbers:
            raise ReadError(
                f"{where}: annotation {item.get('id')} has category_id={category!r}, which is not "
                f"among the {len(self._numbers)} categories of the file: fix it"
            )
        return self._numbers[category]

    def described_by(self) -> Sequence[str]:
        """Return the JSON file."""
        return [self.file]


class CocoKeypoints(CocoDetection):
    """Keypoints of COCO: `CocoDetection` with `keypoints=True`, images without any left out."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        annFile: str | os.PathLike[str],
        *,
        masks: bool = False,
        labels: Labels = "ids",
        empty: bool = False,
    ) -> None:
        """Read the JSON file."""
        super().__init__(root, annFile, masks=masks, keypoints=True, labels=labels, empty=empty)


def _loaded(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            told = json.load(file)
    except FileNotFoundError:
        raise InputError(f"{path!r} does not exist: give the JSON file of annotations") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}): fetch it again") from error
    lists = {name: told.get(name) if isinstance(told, dict) else None
             for name in ("images", "annotations", "categories")}  # fmt: skip
    for name, held in lists.items():
        if not isinstance(held, list) or not all(isinstance(item, dict) for item in held):
            raise InputError(
                f"{path}: has no list {name!r} of objects, as COCO's files have: give one that has "
                "images, annotations and categories"
            )
    needed = {"images": ("id", "file_name", "height", "width"), "annotations": ("image_id",),
              "categories": ("id", "name")}  # fmt: skip
    for name, keys in needed.items():
        for k, item in enumerate(lists[name] or ()):
            if missing := [key for key in keys if key not in item]:
                raise InputError(f"{path}: {name}[{k}] lacks {missing}: add them")
    return {name: held or [] for name, held in lists.items()}


def _categories(
    given: list[dict[str, Any]], path: str, *, contiguous: bool
) -> tuple[tuple[str, ...] | None, dict[int, int]]:
    ids = sorted({int(item["id"]) for item in given})
    if not ids or len(ids) < len(given) or ids[0] < 0:
        raise InputError(
            f"{path}: the ids of {len(given)} categories are {ids[:5]}...: number them, each once, "
            "from 0 or 1"
        )
    names = {int(item["id"]): str(item["name"]) for item in given}
    numbers = {number: k for k, number in enumerate(ids)} if contiguous else {k: k for k in ids}
    shown = [names[number] for number in ids] if contiguous else [
        names.get(k, f"(no category {k})") for k in range(ids[-1] + 1)]  # fmt: skip
    return (tuple(shown) if len(set(shown)) == len(shown) else None), numbers


def _skeleton(told: dict[str, Any], path: str) -> tuple[int, list[str]]:
    having = [item for item in told["categories"] if item.get("keypoints")]
    if len(having) != 1:
        raise InputError(
            f"{path}: has {len(having)} categories with the names of keypoints, and a batch needs "
            "one: give a file as person_keypoints_train2017.json"
        )
    return int(having[0]["id"]), [str(name) for name in having[0]["keypoints"]]


def _pairs(names: list[str]) -> tuple[tuple[int, int], ...]:
    # The points whose names differ in their side alone.
    pairs = []
    for k, name in enumerate(names):
        for left, right in _SIDES:
            other = name.replace(left, right)
            if left in name and other in names:
                pairs.append((k, names.index(other)))
    return tuple(pairs)


def _grouped(
    told: dict[str, Any], path: str, *, crowd: bool, points: tuple[int, list[str]] | None
) -> tuple[dict[Any, list[dict[str, Any]]], dict[str, int]]:
    known, skipped = {item["id"] for item in told["images"]}, dict[str, int]()
    if len(known) < len(told["images"]):
        raise InputError(f"{path}: two images have one id: number them, each once")
    groups: dict[Any, list[dict[str, Any]]] = {}
    for item in told["annotations"]:
        if item["image_id"] not in known:
            raise InputError(
                f"{path}: annotation {item.get('id')} is of image {item['image_id']!r}, which is "
                "not in the file: add the image, or remove the annotation"
            )
        reason = ""
        if item.get("iscrowd") and (not crowd or points is not None):
            reason = _CROWD
        elif points is not None and (item.get("category_id") != points[0]
                                     or not any(item.get("keypoints", ())[2::3])):  # fmt: skip
            reason = "objects without keypoints"
        elif _is_flat(item.get("bbox")):
            reason = _EMPTY
        if reason:
            skipped[reason] = skipped.get(reason, 0) + 1
        else:
            groups.setdefault(item["image_id"], []).append(item)
    return groups, skipped


def _is_flat(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and 0 in box[2:] and min(box[2:]) == 0


def _boxes(found: list[dict[str, Any]], size: Size, where: str) -> NDArray[np.float64]:
    given = []
    for item in found:
        box = item.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise ReadError(
                f"{where}: annotation {item.get('id')} has bbox={box!r}, not 4 numbers (x, y, "
                "width, height): fix it"
            )
        given.append(box)
    shown = np.array(given, np.float64).reshape(-1, 4)
    made = np.concatenate([shown[:, :2], shown[:, :2] + shown[:, 2:]], axis=1)
    return checked_boxes(made, size, where, shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _area(item: dict[str, Any], box: NDArray[np.float64]) -> float:
    area = item.get("area")
    if isinstance(area, int | float):
        return float(area)
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _points(found: list[dict[str, Any]], count: int, where: str) -> NDArray[np.float64]:
    made = np.zeros((len(found), count, 3))
    for k, item in enumerate(found):
        given = item.get("keypoints", [])
        if len(given) != 3 * count or not np.isfinite(np.array(given, np.float64)).all():
            raise ReadError(
                f"{where}: annotation {item.get('id')} has {len(given)} numbers of keypoints, and "
                f"{count} points are {3 * count} (x, y, visibility): fix it"
            )
        made[k] = np.array(given, np.float64).reshape(count, 3)
    return made


def coco_files(
    folder: Path, split: str, kind: str = "instances"
) -> tuple[Path, Path] | None:  # fmt: skip
    """Return the folder of images and the file of instances, or of another kind, of a split, None
    without them."""
    found = sorted((folder / "annotations").glob(f"{kind}_{split}*.json"))
    for file in found:
        images = folder / file.stem.removeprefix(f"{kind}_")
        for place in (images, folder / "images" / images.name):
            if place.is_dir():
                return place, file
    return None


__all__ = ["CocoDetection", "CocoKeypoints", "coco_files"]
