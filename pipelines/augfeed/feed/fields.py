"""Fields of samples: which parts follow the image, found by what is said or known of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from augfeed.errors import InputError, InputTypeError
from augfeed.feed.sample_fields import (
    channels_at,
    is_many_channels,
    is_picture,
    keyed,
    leads,
    parts_of,
)
from augfeed.feed.spatial import SpatialCheck, is_of_places
from augfeed.fields import Boxes, Field, FurtherImage, Keypoints, Mask, Passive, field_of
from augfeed.fields.part_types import as_array, box_format
from augfeed.fields.sample_parts import LONG, Path, describe, is_sequence, take, tv_kind

Size = tuple[int, ...]
_NAMED = ("mask", "masks")
_KINDS = ("Mask", "BoundingBoxes", "KeyPoints")
_PALETTE = ("P", "1")  # modes of PIL images that hold numbers of classes, not grays
_TV: dict[str, Field] = {"Mask": Mask(), "KeyPoints": Keypoints()}


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What `fields=` says: pairs of key and field."""

    given: tuple[tuple[Any, Field], ...] = ()

    @classmethod
    def of(cls, given: Any) -> "FieldOptions":
        """Return the options of `fields=`, a dict of key and kind; raise `InputTypeError`."""
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise InputTypeError(
                f"fields={given!r} is not a dict: give keys of a sample and their kinds, as "
                "fields={'mask': 'mask', 'bbox': Boxes(format='xywh')}"
            )
        return cls(tuple((key, field_of(kind)) for key, kind in given.items()))

    @property
    def passive(self) -> tuple[Any, ...]:
        """The keys of what stays as it is."""
        return tuple(key for key, field in self.given if isinstance(field, Passive))

    def paths(self, sample: Any) -> dict[Path, Field]:
        """Return the fields that were given, by their paths in a sample."""
        return {_named(sample, key): field
                for key, field in self.given if not isinstance(field, Passive)}  # fmt: skip

    def find(
        self, sample: Any, image_key: Any, still: SpatialCheck, more: Collection[Path] = ()
    ) -> dict[Path, Field]:
        """Return the fields of a sample by path: those given, torchvision's, and those whose name
        and type leave no doubt. Nothing but further images, `more`, has to follow where nothing
        moves."""
        images: dict[Path, Field] = dict.fromkeys(more, FurtherImage())
        if not still.moving:
            return images
        found = {**self.paths(sample), **images}
        image, size = _image(sample, image_key, found)
        for path, part in parts_of(sample):
            if path not in found and path != image and not still.may_stay(sample, path):
                known = _known(sample, path, part, size)
                if known is not None:
                    found[path] = known
        return found


def _named(sample: Any, key: Any) -> Path:
    # A name that only one part deeper in the sample has stands for that part.
    if isinstance(key, str) and not leads(sample, (key,)):
        found = list(_places(sample, key))
        if len(found) == 1:
            return found[0]
    return keyed(sample, key, "fields")


def _places(part: Any, name: str, path: Path = ()) -> Iterator[Path]:
    items = part.items() if isinstance(part, Mapping) else (
        zip(getattr(part, "_fields", range(len(part))), part, strict=True)
        if is_sequence(part) and len(part) <= LONG else ())  # fmt: skip
    for key, inner in items:
        if key == name:
            yield (*path, key)
        else:
            yield from _places(inner, name, (*path, key))


def check_boxes(samples: Sequence[Any], found: dict[Path, Field], given: set[Path]) -> None:
    """Raise `InputError` unless boxes that were recognized, not `given`, are corners in pixels in
    every sample: the first may have had none to say so."""
    for path, field in found.items():
        if isinstance(field, Boxes) and path not in given:
            for sample in samples:
                part = take(sample, path)
                cls: type = type(part)
                if not (tv_kind(cls) or _is_boxes(part)):
                    raise InputError(
                        f"{_key(path)!r} is {describe(part)}, and not corners in pixels as "
                        "torchvision's detection models take them: say what it is, as "
                        f"fields={{{_key(path)!r}: Boxes(format='cxcywh', normalized=True)}}"
                    )


def _image(sample: Any, key: Any, fields: dict[Path, Field]) -> tuple[Path | None, Size | None]:
    # Where the image of a sample is, and its (height, width), as far as that is clear.
    if key is None:
        done = {path for path, _ in parts_of(sample) if path and path[-1] in _NAMED} | {*fields}
        parts = [(path, part) for path, part in parts_of(sample)
                 if path not in done and not is_of_places(path)]  # fmt: skip
        paths = [path for path, part in parts if _is_image(part)]
        paths = paths or [path for path, part in parts if is_many_channels(part)]
    else:
        paths = [keyed(sample, key, "image_key")]
    if len(paths) != 1:
        return None, None
    part = take(sample, paths[0])
    if isinstance(part, Image.Image):
        return paths[0], (part.height, part.width)
    if not isinstance(part, torch.Tensor | np.ndarray):
        return paths[0], None
    shape = tuple(part.shape)
    if len(shape) < 3:
        return paths[0], shape if len(shape) == 2 else None
    axis = channels_at(shape, tensor=isinstance(part, torch.Tensor))
    return paths[0], shape[1:3] if axis == 0 else shape[:2]


def _is_image(part: Any) -> bool:
    cls: type = type(part)
    if tv_kind(cls) in _KINDS:
        return False
    if isinstance(part, Image.Image):
        return part.mode not in _PALETTE
    return is_picture(part) and part.ndim == 3


def _known(sample: Any, path: Path, part: Any, size: Size | None) -> Field | None:
    cls: type = type(part)
    kind = tv_kind(cls)
    if kind == "BoundingBoxes":
        return Boxes(format=box_format(part, Boxes()))
    if kind in _TV:
        return _TV[kind]
    name = path[-1] if path else None
    if name == "boxes" and _beside(sample, path, "labels") and _is_boxes(part):
        return Boxes()  # as torchvision's detection models take them
    if name == "keypoints" and _beside(sample, path, "boxes") and _is_points(part):
        return Keypoints()
    if size is None or not _is_labels(part) or _size(part) != size:
        return None
    if name in _NAMED:
        return Mask()
    # As VOCSegmentation and others give them: an image and its classes.
    alone = is_sequence(sample) and len(sample) == 2 and path == (1,)
    return Mask() if alone and _is_classes(part) else None


def _size(part: Any) -> Size:
    if isinstance(part, Image.Image):
        return part.height, part.width
    return int(part.shape[-2]), int(part.shape[-1])


def _is_classes(part: Any) -> bool:
    # What is not a gray image, which may have to be blended.
    if isinstance(part, Image.Image):
        return part.mode in _PALETTE
    return part.ndim == 2 and str(part.dtype).removeprefix("torch.") in ("int64", "int32", "bool")


def _is_labels(part: Any) -> bool:
    if isinstance(part, Image.Image):
        return part.mode in ("L", *_PALETTE, "I", "I;16")
    if not isinstance(part, torch.Tensor | np.ndarray) or np.ndim(part) not in (2, 3):
        return False
    return not str(part.dtype).removeprefix("torch.").startswith(("float", "bfloat", "complex"))


def _is_points(part: Any) -> bool:
    shape = tuple(part.shape) if isinstance(part, torch.Tensor | np.ndarray) else ()
    return len(shape) == 3 and shape[2] == 3


def _is_boxes(part: Any) -> bool:
    shape = tuple(part.shape) if isinstance(part, torch.Tensor | np.ndarray) else ()
    if shape == (0,):
        return True  # as `torch.tensor([])` gives those of an image without objects
    if len(shape) != 2 or shape[1] != 4:
        return False
    values = as_array(part)
    # Shares of the image, and boxes with sizes, are not what torchvision means.
    return not values.size or (bool((values[:, 2:] >= values[:, :2]).all()) and values.max() > 1)


def _beside(sample: Any, path: Path, name: str) -> bool:
    holder = take(sample, path[:-1])
    return isinstance(holder, Mapping) and name in holder


def _key(path: Path) -> Any:
    return path[0] if len(path) == 1 else path
