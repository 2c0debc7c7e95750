"""Small datasets with masks, boxes and keypoints in files, whose images show what they say.

Image `i` is of HIGH + i rows and WIDE columns. Every pixel of it is 40 times the number of its
class; boxes are rectangles of one class.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HIGH, WIDE, COUNT, CLASSES = 40, 56, 6, 5
LEVEL = 40


def size(i: int) -> tuple[int, int]:
    return HIGH + i, WIDE


def box(i: int) -> list[int]:
    """Return the rectangle of image `i`, xyxy in edges."""
    return [6 + i, 8, 30 + i, 32 + i]


def label(i: int) -> int:
    return 1 + i % (CLASSES - 1)


def mask(i: int) -> NDArray[np.uint8]:
    made = np.zeros(size(i), np.uint8)
    left, top, right, bottom = box(i)
    made[top:bottom, left:right] = label(i)
    return made


def pixels(i: int) -> NDArray[np.uint8]:
    return np.repeat((mask(i) * LEVEL)[..., None], 3, axis=2)


def save(array: NDArray[Any], path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def masks(root: Path, *, split: str = "") -> Path:
    for i in range(COUNT):
        save(pixels(i), root / "images" / split / f"{i}.png")
        save(mask(i), root / "masks" / split / f"{i}.png")
    return root


def voc_xml(i: int, *, name: str = "cow", corners: Any = None, high: Any = None) -> str:
    left, top, right, bottom = box(i)
    sides = corners or (left + 1, top + 1, right, bottom)
    inner = "".join(
        f"<{side}>{value}</{side}>"
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)
    )
    rows, columns = size(i)
    return (
        f"<annotation><size><width>{columns}</width><height>{high or rows}</height></size>"
        f"<object><name>{name}</name><difficult>{i % 2}</difficult><bndbox>{inner}</bndbox>"
        "</object></annotation>"
    )


def voc(root: Path) -> Path:
    listed = "\n".join(map(str, range(COUNT)))
    for kind in ("Main", "Segmentation"):
        (root / "ImageSets" / kind).mkdir(parents=True)
        (root / "ImageSets" / kind / "train.txt").write_text(listed)
    (root / "Annotations").mkdir()
    for i in range(COUNT):
        save(pixels(i), root / "JPEGImages" / f"{i}.png")
        save(mask(i), root / "SegmentationClass" / f"{i}.png")
        (root / "Annotations" / f"{i}.xml").write_text(voc_xml(i))
    return root


def yolo(root: Path) -> Path:
    (root / "labels" / "train").mkdir(parents=True)
    for i in range(COUNT):
        save(pixels(i), root / "images" / "train" / f"{i}.png")
        (root / "labels" / "train" / f"{i}.txt").write_text(yolo_line(i))
    (root / "data.yaml").write_text("train: images/train\nnames: [sky, a, b, c, d]\nnc: 5\n")
    return root


def yolo_line(i: int) -> str:
    (rows, columns), (left, top, right, bottom) = size(i), box(i)
    values = [(left + right) / 2 / columns, (top + bottom) / 2 / rows,
              (right - left) / columns, (bottom - top) / rows]  # fmt: skip
    return f"{label(i)} " + " ".join(map(repr, values)) + "\n"


def coco_objects(i: int) -> list[dict[str, Any]]:
    left, top, right, bottom = box(i)
    return [{
        "id": i + 1, "image_id": 100 + i, "category_id": label(i), "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top),
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
        "keypoints": [left, top, 2, right - 1, top, 2], "num_keypoints": 2,
    }]  # fmt: skip


def coco(root: Path, change: Any = None) -> tuple[Path, Path]:
    told: dict[str, Any] = {
        "images": [
            {"id": 100 + i, "file_name": f"{i}.png", "height": size(i)[0], "width": size(i)[1]}
            for i in range(COUNT)
        ],
        "annotations": [item for i in range(COUNT) for item in coco_objects(i)],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES)],
    }
    told["categories"][0]["keypoints"] = ["left_corner", "right_corner"]
    if change is not None:
        change(told)
    for i in range(COUNT):
        save(pixels(i), root / "train" / f"{i}.png")
    (root / "annotations").mkdir()
    file = root / "annotations" / "instances_train.json"
    file.write_text(json.dumps(told))
    return root / "train", file


def cityscapes(root: Path) -> Path:
    ids = np.array([0, 7, 8, 11, 33], np.uint8)  # of void, and of the classes 0, 1, 2 and 18
    for i in range(COUNT):
        name = f"bonn_{i:06d}_000019"
        save(pixels(i), root / "leftImg8bit" / "train" / "bonn" / f"{name}_leftImg8bit.png")
        save(ids[mask(i)], root / "gtFine" / "train" / "bonn" / f"{name}_gtFine_labelIds.png")
    return root
