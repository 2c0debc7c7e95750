"""What belongs to places in an image of a source: masks, boxes, keypoints, and whether it fits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from typing_extensions import TypeIs

from augfeed.errors import ReadError
from augfeed.fields.kinds import Field
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


def is_annotated(source: object) -> TypeIs[Annotated]:
    """Return whether the images of a source have annotations."""
    return isinstance(source, Annotated) and isinstance(source.fields, Mapping)


@dataclass(frozen=True, slots=True)
class Note:
    """The annotation of a sample whose image has `size` (height, width) as it is cut from."""

    sample: int
    annotation: Annotation
    size: Size
    name: str = field(repr=False, default="")


def check_fit(note: Annotation, look: ImageHeader, image: str) -> None:
    """Raise `ReadError` if an annotation is not of an image as it is shown, upright."""
    size, upright, turned = note.size, look.upright, look.orientation != UPRIGHT
    if size is None or (size == upright and (not turned or upright != look.size)):
        return
    if turned and size == look.size:
        raise ReadError(
            f"{note.where}: is of {_told(size)}, as {image} is stored, but that image is shown "
            f"turned by its EXIF orientation {look.orientation}, as {_told(upright)}: save the "
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


__all__ = ["Annotated", "Annotation", "Note", "check_fit", "check_kept_fit", "is_annotated"]
