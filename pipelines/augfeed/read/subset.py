"""A part of a source: chosen samples, in a given order."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.read.arrays import ArraySource
from augfeed.read.decode import Channels
from augfeed.read.exif import Picture
from augfeed.read.huggingface import HuggingFaceSource
from augfeed.read.indices import check_indices
from augfeed.read.labels import Labels
from augfeed.read.protocols import EncodedSource, Source


class SubsetSource:
    """Samples `indices` of a source of encoded images; sample `i` is the whole's `indices[i]`.

    `indices` is a list, range, tensor or array of whole numbers, which may repeat. Classes,
    channels, name and sizes are those of the whole. Raises `InputError` or `InputTypeError` for
    indices that are none.
    """

    labels: Labels | None
    num_classes: int | None
    classes: tuple[str, ...] | None
    channels: Channels
    name: str | None
    sizes: tuple[int, int] | None

    def __init__(self, source: EncodedSource, indices: Any) -> None:
        """Check the indices and take the labels."""
        self.source = source
        self.indices: NDArray[np.int64] = check_indices(indices, len(source))
        labels = source.labels
        self.labels = None if labels is None else labels[self.indices]
        self.num_classes, self.classes = source.num_classes, source.classes
        self.channels, self.name, self.sizes = source.channels, source.name, source.sizes
        self.skipped: dict[str, int] = getattr(source, "skipped", {})

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"SubsetSource({len(self)} of {self.source!r})"

    def fingerprint(self) -> str:
        """Return the SHA-256 of the whole's fingerprint and the indices, 64 hexadecimal digits."""
        digest = hashlib.sha256(self.source.fingerprint().encode())
        digest.update(self.indices.data)
        return digest.hexdigest()

    def image(self, i: int) -> Picture:
        """Return image `i`, uint8 `[h, w, C]`; raise `ReadError` if it cannot be decoded."""
        return self.source.image(self._parent_index(i))

    def read(self, i: int) -> bytes:
        """Return the encoded image `i`; raise `ReadError` if it cannot be read."""
        return self.source.read(self._parent_index(i))

    def identity(self, i: int) -> str:
        """Return the whole's identity of image `i`."""
        return self.source.identity(self._parent_index(i))

    def path(self, i: int) -> str:
        """Return the whole's name for image `i`."""
        return self.source.path(self._parent_index(i))

    def _parent_index(self, i: int) -> int:
        if not 0 <= i < len(self):
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such image")
        return int(self.indices[i])


def subset(source: Source, indices: Any) -> Source:
    """Return the source of some samples of another; images in memory are shared, not copied.

    Raises `InputError` or `InputTypeError` for indices that are none.
    """
    if isinstance(source, ArraySource | HuggingFaceSource):
        return source.pick(indices)
    if isinstance(source, SubsetSource):
        return SubsetSource(source.source, source.indices[check_indices(indices, len(source))])
    return SubsetSource(source, indices)


__all__ = ["SubsetSource", "subset"]
