"""Folders that hold images with annotations, known by their layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augfeed.errors import InputError
from augfeed.read.dataset_options import checked_options

_OTHER = {"test": "val"}  # what takes the place of a split without annotations


def open_annotated(path: Path, split: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return the dataset in a folder that has masks or boxes beside its images, else None.

    `options` are those of its class in `augfeed.datasets` that are given by name, as
    `{"masks": True}` for COCO. Raises `InputError` for one that it does not have, and where masks
    and boxes are both there, and it is not clear which are meant.
    """
    found = _known(path, split, {**(options or {})})
    if found is None:
        return None
    cls, *given = found
    return cls(*given[:-1], **{**given[-1], **checked_options(cls, options or {}, path)})


def _known(path: Path, split: str, options: Mapping[str, Any]) -> tuple[Any, ...] | None:
    # The class of a dataset, and what it is built with.
    from augfeed import datasets
    from augfeed.datasets.cityscapes import is_cityscapes
    from augfeed.datasets.coco import coco_files
    from augfeed.datasets.mask_folder import is_mask_folder
    from augfeed.datasets.voc import is_voc
    from augfeed.datasets.yolo import is_yolo

    other = _OTHER.get(split, split)
    if path.suffix in (".yaml", ".yml") or is_yolo(path):
        return datasets.YOLODetection, path, split, {}
    if is_mask_folder(path):
        return datasets.MaskFolder, path, {"split": _split_in(path / "images", split)}
    if is_cityscapes(path):
        return datasets.Cityscapes, path, other, {}
    kinds = ("person_keypoints", "instances") if options.get("keypoints") else ("instances",)
    for kind in kinds:
        if (files := coco_files(path, split, kind) or coco_files(path, other, kind)) is not None:
            return datasets.CocoDetection, *files, {}
    if is_voc(path):
        boxes, masks = ((path / name).is_dir() for name in ("Annotations", "SegmentationClass"))
        if boxes and masks:
            raise InputError(
                f"{str(path)!r} has boxes and masks of VOC: say which, with "
                "augfeed.datasets.VOCDetection(path) or augfeed.datasets.VOCSegmentation(path)"
            )
        return datasets.VOCDetection if boxes else datasets.VOCSegmentation, path, split, {}
    return None


def _split_in(folder: Path, split: str) -> str | None:
    # A folder without splits is taken whole.
    from augfeed.datasets.mask_folder import SPLITS

    names = [item.name.lower() for item in folder.iterdir() if item.is_dir()]
    return split if any(name in SPLITS for name in names) else None


__all__ = ["open_annotated"]
