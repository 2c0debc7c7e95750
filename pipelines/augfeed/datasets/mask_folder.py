"""Masks in a folder beside that of the images: files of one name."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.datasets.class_masks import MaskFormat, MaskNumbers, check_binary
from augfeed.errors import InputError
from augfeed.fields.kinds import Mask
from augfeed.read.annotation import Annotation
from augfeed.read.cache_dir import expanded
from augfeed.read.folder import EXTENSIONS
from augfeed.read.skipped_files import is_hidden, tell

SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")
_ALIKE = {"train": ("train", "training"), "val": ("val", "valid", "validation"),
          "test": ("test", "testing")}  # fmt: skip
LOOKED_AT = 8  # masks, to see whether they are of 0 and 255


class MaskFolder(AnnotatedImages):
    """Images and their masks of classes, in two folders: `images/a/1.jpg`, `masks/a/1.png`.

    A mask has the path of its image, up to the ending; `suffix` stands behind the name, as
    "_mask". Its pixels are numbers of classes (of files with a palette, the indices), of the size
    of the image, or `ignore_index`; `values` and `colors` say what other numbers and colors stand
    for, as `{255: 1}` and `{(128, 0, 0): 1}`. With `classes` (names) or `num_classes` a number that
    is not below that is an error: see `MaskNumbers`. `split` chooses a folder `train`,
    `val` or `test` in both. Samples are `(image, mask)`; the mask int64 `[h, w]`.

    Raises `InputError` for a folder that is missing, for images without a mask, and for masks of 0
    and 255 alone while 255 is to be ignored; `ReadError`, for a mask that does not fit its image or
    has other numbers, when it is read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        images: str = "images",
        masks: str = "masks",
        *,
        split: str | None = None,
        suffix: str = "",
        classes: Sequence[str] | None = None,
        **numbers: Unpack[MaskNumbers],
    ) -> None:
        """List the files; some masks are read."""
        top = Path(expanded(root))
        folders = [split_folder(top / name, split) for name in (images, masks)]
        files, found = _files(folders[0]), _files(folders[1])
        if not files:
            raise InputError(
                f"{str(folders[0])!r} has no images: looked for {' '.join(EXTENSIONS)}"
            )
        pairs, skipped = _paired(files, found, folders, suffix)
        known = len(classes) if classes is not None else numbers.get("num_classes")
        self.format = replace(MaskFormat(**numbers), num_classes=known)
        super().__init__(
            [image for image, _ in pairs], {"mask": Mask(self.format.ignore_index)}, classes, known
        )
        self._masks = [mask for _, mask in pairs]
        self.told_apart = self.format.told_apart
        self.skipped = skipped
        tell(str(folders[1]), skipped)
        if known is None and self.format.values is None and self.format.colors is None:
            self._sample_values()

    def _sample_values(self) -> None:
        some = np.unique(np.linspace(0, len(self) - 1, LOOKED_AT).astype(np.int64))
        for i in some.tolist():
            mask = self.format.read(self._masks[i], self.path(i))
            check_binary(mask, self._masks[i], self.format.ignore_index)

    def annotation(self, i: int) -> Annotation:
        """Return the mask of image `i`; raise `ReadError` that names its file."""
        path = self._masks[i]
        mask = self.format.read(path, self.path(i))
        return Annotation({"mask": mask}, (mask.shape[0], mask.shape[1]), path)

    def described_by(self) -> Sequence[str]:
        """Return the files of the masks."""
        return self._masks


def split_folder(folder: Path, split: str | None) -> Path:
    """Return the folder of a split; raise `InputError` where there are some and none is said."""
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} does not exist: give the folder that holds it")
    there = sorted(item.name for item in folder.iterdir() if item.is_dir())
    splits = [name for name in there if name.lower() in SPLITS]
    if split is None:
        if len(splits) > 1:
            raise InputError(
                f"{str(folder)!r} has the folders {splits}: choose one with split={splits[0]!r}"
            )
        return folder
    for name in (split, *_ALIKE.get(split, ())):
        if name in there:
            return folder / name
    raise InputError(f"split={split!r} is not a folder in {str(folder)!r}, which has {there}: "
                     "give one of these")  # fmt: skip


def _files(folder: Path) -> dict[str, list[str]]:
    # The files below a folder, by their path without ending.
    found: dict[str, list[str]] = {}
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            stem, ending = os.path.splitext(name)
            if not is_hidden(name) and ending.lower() in EXTENSIONS:
                below = os.path.relpath(os.path.join(place, stem), folder)
                found.setdefault(below, []).append(os.path.join(place, name))
    return found


def _paired(
    files: dict[str, list[str]], masks: dict[str, list[str]], folders: Sequence[Path], suffix: str
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    pairs: list[tuple[str, str]] = []
    for stem, here in files.items():
        there = masks.get(stem + suffix, [])
        for what, names in (("images", here), ("masks", there)):
            if len(names) > 1:
                raise InputError(
                    f"{names[0]!r} and {names[1]!r} are {what} of one name, and it is not clear "
                    "which one is meant: remove one of them"
                )
        if not there:
            without = [name for name in files if name + suffix not in masks]
            raise InputError(
                f"{here[0]!r} has no mask: {str(folders[1] / (stem + suffix))!r} with any of the "
                f"endings of images does not exist; so it is for {len(without)} of {len(files)} "
                "images: add the masks, say how they are named with suffix='_mask', or move the "
                "images away"
            )
        pairs.append((here[0], there[0]))
    used = {stem + suffix for stem in files}
    alone = Counter[str]()
    if left := [name for name in masks if name not in used]:
        alone["masks without an image"] = len(left)
    return pairs, dict(alone)


def is_mask_folder(path: Path) -> bool:
    """Return whether a folder holds images and masks of `MaskFolder`."""
    return all((path / name).is_dir() for name in ("images", "masks"))


__all__ = ["MaskFolder", "is_mask_folder", "split_folder"]
