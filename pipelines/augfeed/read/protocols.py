"""What a source of encoded images has, and what a source is."""

from typing import Protocol, runtime_checkable

from typing_extensions import TypeIs

from augfeed.read.arrays import ArraySource
from augfeed.read.decode import Channels
from augfeed.read.exif import Picture
from augfeed.read.labels import Labels


@runtime_checkable
class EncodedSource(Protocol):
    """Encoded images, one file each, such as a `FolderSource`."""

    @property
    def labels(self) -> Labels | None:
        """Class numbers int64 `[N]`, or shares float32 `[N, K]`."""

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, if they have any."""

    @property
    def channels(self) -> Channels:
        """The channels of an image, 1 or 3."""

    @property
    def name(self) -> str | None:
        """A key of `augfeed.invariances.KNOWN`, if the dataset is one of those."""

    @property
    def sizes(self) -> tuple[int, int] | None:
        """`(height, width)` if all images are known to have that size."""

    def __len__(self) -> int: ...

    def fingerprint(self) -> str:
        """Return 64 hexadecimal digits that change when the dataset does."""

    def identity(self, i: int) -> str:
        """Return a text that changes when the encoded image `i` does, without reading it."""

    def image(self, i: int) -> Picture:
        """Return image `i`, uint8 `[h, w, C]`."""

    def read(self, i: int) -> bytes:
        """Return the encoded image `i`."""

    def path(self, i: int) -> str:
        """Return a name for image `i`, for messages."""


Source = ArraySource | EncodedSource


def is_source(value: object) -> TypeIs[Source]:
    """Return whether a value is a source, and not a dataset that answers to every name."""
    if isinstance(value, ArraySource):
        return True
    # A dataset with a `__getattr__` of its own would pass for anything before Python 3.12.
    return hasattr(type(value), "fingerprint") and isinstance(value, EncodedSource)


__all__ = ["EncodedSource", "Source", "is_source"]
