"""What belongs to places in an image of a source: masks, boxes, keypoints, and whether it fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeIs

from augfeed.errors import InputError, ReadError
from augfeed.fields.kinds import Boxes, Dense, Field, Keypoints, Mask
from augfeed.read.decode import Channels, ImageHeader
from augfeed.read.exif import UPRIGHT

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What belongs to an image, by name: arrays, and numbers that hold of the whole image.

    `size` is the (height, width) of the image that places are of; None where they are shares of
    it. `where` names the file that they come from, for messages.
    """

    parts: dict[str, Any]
    size: Size | None
    where: str


@runtime_checkable
class Annotated(Protocol):
    """A source whose images have annotations; `fields` says how their parts follow the image."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """The parts that follow the image, by name."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, if they have any."""

    @property
    def channels(self) -> Channels:
        """The channels of an image, 1 or 3."""

    def annotation(self, i: int) -> Annotation:
        """Return what belongs to image `i`; raise `ReadError` that names the file."""

    def path(self, i: int) -> str:
        """Return a name for image `i`, for messages."""


@runtime_checkable
class MasksOfObjects(Protocol):
    """A source whose images have a mask of each object, as many as there are."""

    def object_masks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return of each image how many masks it has, and how many values these are, int64 `[N]`;
        None for a source that gives none."""


def is_annotated(source: object) -> TypeIs[Annotated]:
    """Return whether the images of a source have annotations."""
    return isinstance(source, Annotated) and isinstance(source.fields, Mapping)


@dataclass(frozen=True, slots=True)
class Note:
    """What belongs to the image of a sample, in pixels of the image as it is cut from, whose `size`
    is (height, width); `where` names its file."""

    sample: int
    parts: dict[str, Any]
    size: Size
    where: str
    boxes: str = ""  # the name of the part that holds them

    @property
    def corners(self) -> NDArray[np.float64]:
        """The boxes, xyxy `[N, 4]`."""
        made: NDArray[np.float64] = np.asarray(self.parts[self.boxes], np.float64).reshape(-1, 4)
        return made


def pixel_parts(note: Annotation, fields: Mapping[str, Field], size: Size) -> dict[str, Any]:
    """Return the parts of an annotation in pixels of its image, which is kept as `size`.

    Floats are those of 32 bits that a dataset gives, so that each lane moves the same numbers.
    """
    parts, given = note.parts, note.size
    made: dict[str, Any] = dict(parts)
    if given != size:
        height, width = size if given is None else (size[0] / given[0], size[1] / given[1])
        for name, field in fields.items():
            part = parts[name]
            if isinstance(field, Boxes):
                made[name] = part * np.array([width, height, width, height], np.float64)
            elif isinstance(field, Keypoints):
                made[name] = _scaled_points(part, height, width, pixels=given is not None)
            elif isinstance(field, Mask):
                made[name] = _nearest(part, size)
            elif isinstance(field, Dense):
                raise InputError(
                    f"{name!r} is dense, and a cache keeps images smaller than it: leave out cache"
                )
    for name, part in made.items():
        if isinstance(part, np.ndarray) and part.dtype == np.float64:
            made[name] = part.astype(np.float32)
    return made


def _scaled_points(part: Any, height: float, width: float, *, pixels: bool) -> Any:
    # Points count from the center of the first pixel; shares from the edge of the image.
    half = 0.5 if pixels else 0.0
    made = np.array(part, np.float64)
    made[..., 0] = (made[..., 0] + half) * width - 0.5
    made[..., 1] = (made[..., 1] + half) * height - 0.5
    return made


def _nearest(mask: NDArray[Any], size: Size) -> NDArray[Any]:
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, mask.shape[-2:], strict=True)
    )
    made: NDArray[Any] = mask[..., rows[:, None], columns]
    return made


def check_fit(note: Annotation, header: ImageHeader, image: str) -> None:
    """Raise `ReadError` if an annotation is not of an image as it is shown, upright."""
    size, upright, turned = note.size, header.upright, header.orientation != UPRIGHT
    if size is None or (size == upright and (not turned or upright != header.size)):
        return
    if turned and size == header.size:
        raise ReadError(
            f"{note.where}: is of {_told(size)}, as {image} is stored, but that image is shown "
            f"turned by its EXIF orientation {header.orientation}, as {_told(upright)}: save the "
            "image without that orientation (PIL.ImageOps.exif_transpose turns it), or turn the "
            "annotation along"
        )
    raise ReadError(
        f"{note.where}: is of {_told(size)}, and {image} is of {_told(upright)}: give both one size"
    )


def check_kept_fit(note: Annotation, kept: Size, full: Size, image: str) -> None:
    """Raise `ReadError` if an annotation is not of an image that a cache keeps as `kept`; `full`
    is the size that it keeps for an image of the annotation's size."""
    if note.size is not None and kept != full:
        raise ReadError(
            f"{note.where}: is of {_told(note.size)}, and {image} is of another size: give both one"
        )


def _told(size: Size) -> str:
    return f"{size[1]} x {size[0]} pixels"


__all__ = [
    "Annotated",
    "Annotation",
    "Note",
    "check_fit",
    "check_kept_fit",
    "is_annotated",
    "pixel_parts",
]
