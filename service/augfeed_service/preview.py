"""Pictures of what a policy does: of a data set's samples, or of a client's images."""

import hashlib
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from augfeed import Pipeline
from augfeed.policy import Policy
from augfeed.policy.describe import describe
from augfeed.read.arrays import ArraySource
from augfeed.read.picture import Encoded
from augfeed.read.reading import Reading
from augfeed.read.sources import Source
from augfeed_service.images import Images
from augfeed_service.parameters import json_object
from augfeed_service.problems import Problem
from augfeed_service.push import Ask
from augfeed_service.settings import Settings

MOST_SAMPLES, MOST_EPOCHS = 16, 8


class PreviewAsk(BaseModel):
    """Which samples of a data set are shown, in which epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str = Field(max_length=64)
    policy: str = Field(max_length=65536)
    seed: int = Field(0, ge=0, lt=2**64)
    epochs: tuple[int, ...] = Field((0, 1, 2), min_length=1, max_length=MOST_EPOCHS)
    indices: tuple[int, ...] = Field((0, 1, 2, 3), min_length=1, max_length=MOST_SAMPLES)

    @classmethod
    def of(cls, text: bytes) -> "PreviewAsk":
        """Return what a JSON text asks for; raise `Problem`."""
        json_object(text, "the request")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise Problem(400, "malformed", describe(error, cls)) from None


def draw(source: Source, policy: Policy, asked: PreviewAsk, settings: Settings) -> Any:
    """Return the picture of a data set's samples."""
    from augfeed.show import preview

    reading = Reading("raise", None, settings.max_pixels, "cpu")
    made = Pipeline(source, policy, seed=asked.seed, reading=reading)
    return preview(made, indices=asked.indices, epochs=asked.epochs)


def drawn_of(images: Images, policy: Policy, ask: Ask, settings: Settings) -> Any:
    """Return the picture of a client's images, the first of them."""
    shown = min(len(images.pictures), MOST_SAMPLES)
    labels = None if images.labels is None else images.labels[:shown]
    first: list[Any] = list(images.pictures[:shown])
    source: Any = (
        FileSource(first, labels) if isinstance(first[0], Encoded)
        else ArraySource(np.stack(first), labels)
    )  # fmt: skip
    last = min(ask.epoch + 3, 1 << 32)
    asked = PreviewAsk(
        dataset="images", policy=ask.policy, seed=ask.seed, epochs=tuple(range(ask.epoch, last)),
        indices=tuple(range(shown)),
    )  # fmt: skip
    return draw(source, policy, asked, settings)


class FileSource:
    """Encoded images of a request, as a source."""

    classes = name = sizes = None
    channels = 3

    def __init__(self, files: list[Encoded], labels: Any) -> None:
        """Take files whose headers were read."""
        self.files, self.labels = files, labels
        numbers = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iu"
        self.num_classes = int(labels.max()) + 1 if numbers and len(labels) else None

    def __len__(self) -> int:
        return len(self.files)

    def fingerprint(self) -> str:
        """Return the hash of all files."""
        return hashlib.sha256(b"".join(file.data for file in self.files)).hexdigest()

    def identity(self, i: int) -> str:
        """Return the hash of a file."""
        return hashlib.sha256(self.files[i].data).hexdigest()

    def image(self, i: int) -> Any:
        """Return a picture, uint8 `[h, w, 3]`."""
        return self.files[i].whole()

    def read(self, i: int) -> bytes:
        """Return a file."""
        return self.files[i].data

    def path(self, i: int) -> str:
        """Return its name."""
        return self.files[i].name
