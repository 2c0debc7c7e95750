"""Folders that hold images with annotations, known by their layout."""

from pathlib import Path
from typing import Any

from augfeed.errors import InputError

_OTHER = {"test": "val"}  # what takes the place of a split without annotations


def open_annotated(path: Path, split: str) -> Any:
    """Return the dataset in a folder that has masks or boxes beside its images, else None.

    Raises `InputError` where both are there, and it is not clear which are meant.
    """
    from augfeed import datasets
    from augfeed.datasets.cityscapes import is_cityscapes
    from augfeed.datasets.coco import coco_files
    from augfeed.datasets.mask_folder import is_mask_folder
    from augfeed.datasets.voc import is_voc
    from augfeed.datasets.yolo import is_yolo

    other = _OTHER.get(split, split)
    if path.suffix in (".yaml", ".yml") or is_yolo(path):
        return datasets.YOLODetection(path, split)
    if is_mask_folder(path):
        return datasets.MaskFolder(path, split=_split_in(path / "images", split))
    if is_cityscapes(path):
        return datasets.Cityscapes(path, other)
    if (found := coco_files(path, split) or coco_files(path, other)) is not None:
        return datasets.CocoDetection(*found)
    if is_voc(path):
        boxes, masks = ((path / name).is_dir() for name in ("Annotations", "SegmentationClass"))
        if boxes and masks:
            raise InputError(
                f"{str(path)!r} has boxes and masks of VOC: say which, with "
                "augfeed.datasets.VOCDetection(path) or augfeed.datasets.VOCSegmentation(path)"
            )
        kind = datasets.VOCDetection if boxes else datasets.VOCSegmentation
        return kind(path, split)
    return None


def _split_in(folder: Path, split: str) -> str | None:
    # A folder without splits is taken whole.
    from augfeed.datasets.mask_folder import SPLITS

    names = [item.name.lower() for item in folder.iterdir() if item.is_dir()]
    return split if any(name in SPLITS for name in names) else None


__all__ = ["open_annotated"]
