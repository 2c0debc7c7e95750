"""Cityscapes: streets, with masks of ids or of the classes that are trained on."""

import os
from collections.abc import Sequence
from pathlib import Path

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.datasets.class_masks import MaskFormat
from augfeed.errors import InputError
from augfeed.fields.kinds import Mask
from augfeed.read.annotation import Annotation
from augfeed.read.cache_dir import expanded

IGNORE = 255
CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
# The ids of these classes, in their order, as Cityscapes' own scripts have them; -1 is a license
# plate, which files of ids never hold but as 255.
IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
HIGHEST_ID = 33


class Cityscapes(AnnotatedImages):
    """Cityscapes: `leftImg8bit/train/CITY/*.png` and `gtFine/train/CITY/*_labelIds.png` in `root`.

    `split` is "train", "val" or "test"; `mode` is "fine" or "coarse" (the folder `gtCoarse`).
    `target_type` "train_ids" gives the 19 classes that are trained on, and 255 for all others,
    which losses ignore; "ids" gives all ids, 0 to 33. A sample is `(image, mask)`, the mask int64
    `[h, w]`. Raises `InputError` for folders and masks that are missing, `ReadError` for a mask
    that is broken or has other numbers, when it is read.

    References:
        Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016,
        https://arxiv.org/abs/1604.01685.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        mode: str = "fine",
        target_type: str = "train_ids",
    ) -> None:
        """List the files."""
        if mode not in ("fine", "coarse"):
            raise InputError(f"mode={mode!r} is unknown: use 'fine' or 'coarse'")
        if target_type not in ("train_ids", "ids"):
            raise InputError(f"target_type={target_type!r} is unknown: use 'train_ids' or 'ids'")
        ground = "gtFine" if mode == "fine" else "gtCoarse"
        images = Path(expanded(root)) / "leftImg8bit"
        masks = Path(expanded(root)) / ground
        for folder in (images, masks):
            if not (folder / split).is_dir():
                there = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
                raise InputError(
                    f"{str(folder / split)!r} does not exist (split={split!r}; there are {there}): "
                    "give the folder that holds leftImg8bit and gtFine"
                )
        files = sorted((images / split).glob("*/*_leftImg8bit.png"))
        if not files:
            raise InputError(f"{str(images / split)!r} has no images */*_leftImg8bit.png")
        self._masks = [_mask_of(file, masks / split, ground) for file in files]
        train = target_type == "train_ids"
        classes = CLASSES if train else None
        number = len(CLASSES) if train else HIGHEST_ID + 1
        super().__init__(list(map(str, files)), {"mask": Mask(IGNORE)}, classes, number)
        values = {old: IGNORE for old in range(IGNORE) if old not in IDS and old <= HIGHEST_ID}
        values |= {old: new for new, old in enumerate(IDS)}
        self.format = MaskFormat(number, IGNORE, values if train else None)

    def annotation(self, i: int) -> Annotation:
        """Return the mask of image `i`; raise `ReadError` that names the file."""
        mask = self.format.read(self._masks[i], self.path(i))
        return Annotation({"mask": mask}, (mask.shape[0], mask.shape[1]), self._masks[i])

    def described_by(self) -> Sequence[str]:
        """Return the files of the masks."""
        return self._masks


def _mask_of(image: Path, masks: Path, ground: str) -> str:
    name = image.name.removesuffix("_leftImg8bit.png")
    found = masks / image.parent.name / f"{name}_{ground}_labelIds.png"
    if not found.is_file():
        raise InputError(
            f"{str(found)!r} does not exist, and is the mask of {str(image)!r}: fetch it again; "
            "the files *_labelTrainIds.png are not needed"
        )
    return str(found)


def is_cityscapes(folder: Path) -> bool:
    """Return whether a folder has the layout of Cityscapes."""
    return (folder / "leftImg8bit").is_dir() and (folder / "gtFine").is_dir()


__all__ = ["CLASSES", "IDS", "Cityscapes", "is_cityscapes"]
