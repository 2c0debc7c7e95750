"""Boxes as YOLO's trainers take them: a text file of shares for every image, and `data.yaml`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.datasets.box_annotations import check_names, checked_shares
from augfeed.errors import InputError, MissingExtraError, ReadError
from augfeed.fields.kinds import Boxes
from augfeed.read.annotation import Annotation
from augfeed.read.cache_dir import expanded
from augfeed.read.folder import EXTENSIONS
from augfeed.read.skipped_files import is_hidden

_ALIKE = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class YOLODetection(AnnotatedImages):
    """Boxes of YOLO: `images/train/1.jpg` beside `labels/train/1.txt`, described by `data.yaml`.

    `root` is `data.yaml`, or a folder that holds it or `images`. A line of a text file is "class x
    y width height": a number from 0, and the center and the sides of a box as shares of the image,
    upright. A line with more numbers is a polygon, whose box is taken, or, where `data.yaml` has
    `kpt_shape`, a box and its keypoints, which are left out. An image without a text file has no
    objects. A sample is `(image, target)`, with "boxes" float32 `[N, 4]` (xyxy in pixels),
    "labels" int64 `[N]`, as in the files, and "image_id", the number of the sample.

    `classes` are names; those of `data.yaml` by default, which PyYAML reads. Raises `InputError`
    for folders that are missing, `ReadError`, which names file and line, for numbers that are none,
    classes that are not known, and boxes that are not in the image, when they are read.

    References:
        Ultralytics, Object Detection Datasets, https://docs.ultralytics.com/datasets/detect/.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        classes: Sequence[str] | None = None,
    ) -> None:
        """List the files."""
        top = Path(expanded(root))
        described = top if top.is_file() else top / "data.yaml"
        told = _described(described) if described.is_file() else {}
        folder = _images(described.parent, told, split)
        files = [str(file) for file in sorted(folder.rglob("*"))
                 if file.suffix.lower() in EXTENSIONS and not is_hidden(file.name)]  # fmt: skip
        if not files:
            raise InputError(f"{str(folder)!r} has no images: looked for {' '.join(EXTENSIONS)}")
        self._files = [_label_file(file) for file in files]
        there = sum(map(os.path.isfile, self._files))
        if not there:
            raise InputError(
                f"{self._files[0]!r} does not exist, nor has any of {len(files)} images a file of "
                "labels: put them into a folder labels beside images"
            )
        self._points = _point_numbers(told, described)
        names = _names(told, described) if classes is None else check_names(classes)
        super().__init__(files, {"boxes": Boxes()}, names)
        self.told_apart = () if self._points is None else (f"{self._points} numbers of keypoints",)
        if there < len(files):
            self.skipped = {"images without a text file, which count as empty": len(files) - there}

    def annotation(self, i: int) -> Annotation:
        """Return the boxes of image `i`, in shares; raise `ReadError` that names the file."""
        path = self._files[i]
        try:
            with open(path, encoding="utf-8-sig") as file:
                lines = [line.split() for line in file if line.strip()]
        except FileNotFoundError:
            lines = []
        except (OSError, UnicodeDecodeError) as error:
            raise ReadError(f"{path}: cannot be read ({error}): check that it is text") from error
        labels, boxes = _parsed(lines, path, self._points)
        if self.num_classes is not None and labels.size and labels.max() >= self.num_classes:
            k = int(labels.argmax())
            raise ReadError(
                f"{path}: line {k + 1} has class {labels[k]}, which is not in "
                f"[0, {self.num_classes}), the classes of {type(self).__name__}: fix the line, or "
                "give all names as classes"
            )
        parts = {"boxes": checked_shares(boxes, path), "labels": labels, "image_id": i}
        return Annotation(parts, None, path)

    def described_by(self) -> Sequence[str]:
        """Return the text files, of which some may not be there."""
        return self._files


def _parsed(
    lines: list[list[str]], path: str, points: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # A line has the numbers of `points` behind its box, or without them that of a polygon.
    labels, boxes = [], []
    more = "the points of a polygon"
    if points is not None:
        more = f"these and the {points} numbers of keypoints that kpt_shape of data.yaml says"
    for number, line in enumerate(lines, 1):
        try:
            values = [float(word) for word in line]
        except ValueError:
            values = []
        whole = bool(values) and values[0] == np.floor(values[0]) and values[0] >= 0
        polygon = points is None and len(values) >= 7 and len(values) % 2 == 1
        if not whole or not (len(values) in (5, 5 + (points or 0)) or polygon):
            raise ReadError(
                f"{path}: line {number} is {' '.join(line)[:80]!r} of {len(line)} words, not a "
                f"class number from 0 and 4 shares (x, y, width, height), or {more}: fix it"
            )
        labels.append(int(values[0]))
        boxes.append(_hull(values[1:], path, number) if polygon else values[1:5])
    return np.array(labels, np.int64), np.array(boxes, np.float64).reshape(-1, 4)


def _hull(points: list[float], path: str, number: int) -> list[float]:
    x, y = points[::2], points[1::2]
    if not all(0 <= value <= 1 for value in points):
        raise ReadError(
            f"{path}: line {number} has a point that is not in [0, 1]: points of a polygon are "
            "shares of the image, and keypoints behind a box need kpt_shape in data.yaml"
        )
    return [(min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]


def _described(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("PyYAML, which reads data.yaml,", "yolo") from None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({error}): fix it") from error
    if not isinstance(found, dict):
        raise InputError(
            f"{str(path)!r} is not a mapping of names to values: write train and names"
        )
    return found


def _images(base: Path, told: dict[str, Any], split: str) -> Path:
    if split not in _ALIKE:
        raise InputError(f"split={split!r} is unknown: use one of {[*_ALIKE]}")
    given = next((told[name] for name in _ALIKE[split] if told.get(name)), None)
    if given is not None:
        if not isinstance(given, str):
            raise InputError(f"{split}={given!r} of data.yaml is not a folder: give one folder")
        inner = told.get("path") or ""
        tried = [base / inner / given, base / given, base / given.removeprefix("../")]
        found = next((folder for folder in tried if folder.is_dir()), None)
        if found is None:
            raise InputError(
                f"{split}={given!r} of data.yaml is not a folder in {str(base)!r}: fix it, or path"
            )
        return found
    for name in _ALIKE[split]:
        for folder in (base / "images" / name, base / name / "images"):
            if folder.is_dir():
                return folder
    if told or not (base / "images").is_dir() or split != "train":
        raise InputError(
            f"{str(base)!r} has no images of split={split!r}: give the folder that holds "
            f"data.yaml, images/{split} or {split}/images"
        )
    return base / "images"


def _label_file(image: str) -> str:
    # The last folder images on the way becomes labels, as Ultralytics has it.
    before, between, after = image.rpartition(f"{os.sep}images{os.sep}")
    inside = f"{before}{os.sep}labels{os.sep}{after}" if between else image
    return os.path.splitext(inside)[0] + ".txt"


def _point_numbers(told: dict[str, Any], path: Path) -> int | None:
    # How many numbers of keypoints follow the box of a line: (17, 3) are x, y and visibility.
    shape = told.get("kpt_shape")
    if shape is None:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and isinstance(shape[0], int)
            and shape[0] > 0 and shape[1] in (2, 3)):  # fmt: skip
        raise InputError(
            f"kpt_shape of {str(path)!r} is {shape!r}: give the number of points, and 2 numbers of "
            "each or 3, as [17, 3]"
        )
    return int(shape[0] * shape[1])


def _names(told: dict[str, Any], path: Path) -> tuple[str, ...] | None:
    names, count = told.get("names"), told.get("nc")
    if isinstance(names, dict):
        if {*names} != {*range(len(names))}:
            raise InputError(
                f"names of {str(path)!r} are numbered {[*names][:10]!r}: number them from 0, "
                "without gaps"
            )
        names = [names[k] for k in range(len(names))]
    if names is None:
        return None
    if not isinstance(names, list) or (count is not None and count != len(names)):
        raise InputError(
            f"names of {str(path)!r} are {json.dumps(names)[:80]} and nc={count!r}: give as many "
            "names as nc says"
        )
    return check_names([str(name) for name in names])


def is_yolo(folder: Path) -> bool:
    """Return whether a folder has the layout of YOLO's datasets."""
    if (folder / "data.yaml").is_file():
        return True
    return (folder / "images").is_dir() and any((folder / "labels").rglob("*.txt"))


__all__ = ["YOLODetection", "is_yolo"]
