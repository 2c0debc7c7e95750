"""Images of what a policy does: of a dataset's samples, or of a client's images."""

import asyncio
import hashlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from augfeed import Pipeline
from augfeed.operation.describe import describe
from augfeed.policy import Policy
from augfeed.read.arrays import ArraySource
from augfeed.read.image_frame import Encoded
from augfeed.read.read_config import Reading
from augfeed.read.sources import Source
from augfeed_service.batches import Batches
from augfeed_service.budget import Budget
from augfeed_service.disconnect import watched
from augfeed_service.images import Images
from augfeed_service.limits import LONGEST_POLICY, check_text
from augfeed_service.memory_cost import preview_bytes
from augfeed_service.parameters import json_object
from augfeed_service.problems import Problem
from augfeed_service.push import Ask
from augfeed_service.settings import Settings

MOST_SAMPLES, MOST_EPOCHS = 16, 8
MOST_PIXELS = 1 << 26  # of all images of a preview as they are made, before they are made small
CURE = "show fewer samples or epochs, or a policy that resizes before it crops"
MOST_WAITING = 4  # previews, beside the one that is drawn


class PreviewAsk(BaseModel):
    """Which samples of a dataset are shown, in which epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str = Field(max_length=64)
    policy: str = Field(max_length=LONGEST_POLICY)
    seed: int = Field(0, ge=0, lt=2**64)
    epochs: tuple[int, ...] = Field((0, 1, 2), min_length=1, max_length=MOST_EPOCHS)
    indices: tuple[int, ...] = Field((0, 1, 2, 3), min_length=1, max_length=MOST_SAMPLES)

    @classmethod
    def of(cls, text: bytes) -> "PreviewAsk":
        """Return what a JSON text asks for; raise `Problem`."""
        check_text(len(text), LONGEST_POLICY + 4096)
        json_object(text, "the request")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise Problem(400, "malformed", describe(error, cls)) from None


class Previews:
    """Draws previews one at a time, in a thread of its own: they take none that makes batches."""

    def __init__(self, settings: Settings, budget: Budget, batches: Batches) -> None:
        self.settings, self.budget, self.batches = settings, budget, batches
        self._pool = budget.pool(1, "augfeed-preview")
        self._waiting = 0
        self._closed = threading.Event()

    def close(self) -> None:
        """End the one that is drawn before its next image, those that wait before their first."""
        self._closed.set()
        self._pool.shutdown(wait=False)

    async def draw(self, request: Request, ask: "Callable[[Drawing], bytes]", beside: int) -> bytes:
        """Return what `ask` draws; raise `Problem` if there are too many, or the client goes.

        `beside` bytes of the request are in flight meanwhile.
        """
        if self._waiting > MOST_WAITING:
            raise Problem(
                429, "too-many-requests",
                f"{self._waiting} previews are being drawn or wait: ask again", retry_after=1,
            )  # fmt: skip
        loop, gone = asyncio.get_running_loop(), threading.Event()
        drawing = Drawing(self, loop, gone, beside)
        self._waiting += 1
        try:
            async with watched(request) as left:
                made = asyncio.ensure_future(loop.run_in_executor(self._pool, ask, drawing))
                try:
                    both: set[asyncio.Future[Any]] = {made, left}
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    gone.set()
                return await made
        finally:
            self._waiting -= 1


@dataclass(frozen=True, slots=True)
class Drawing:
    """One preview that is drawn."""

    previews: Previews
    loop: asyncio.AbstractEventLoop
    gone: threading.Event
    beside: int

    def check(self) -> None:
        """Raise `Problem` if nobody waits for it any more."""
        if self.gone.is_set() or self.previews._closed.is_set():
            raise Problem(503, "deadline", "the client has gone", retry_after=1)

    def taken(self, nbytes: int) -> None:
        """Count bytes as in flight; raise `Problem`. To be given back by `give_back`."""
        take = partial(self.previews.batches.take, beside=self.beside)
        self._in_loop(take, nbytes, "a preview", CURE)

    def give_back(self, nbytes: int) -> None:
        """End the counting of bytes."""
        self._in_loop(self.previews.batches.give_back, nbytes)

    def _in_loop(self, function: Callable[..., None], *given: Any) -> None:
        async def call() -> None:
            function(*given)

        asyncio.run_coroutine_threadsafe(call(), self.loop).result()


def draw(source: Source, policy: Policy, asked: PreviewAsk, drawing: Drawing) -> Any:
    """Return the image of a dataset's samples; raise `Problem` before any is too much."""
    from augfeed.show import preview
    from augfeed.show.downsized import reduced

    drawing.check()
    settings, budget = drawing.previews.settings, drawing.previews.budget
    reading = Reading("raise", None, settings.max_pixels, "cpu", budget.memory)
    made = Pipeline(source, policy, seed=asked.seed, reading=reading)
    made.orders = budget.orders
    samples, epochs = len(asked.indices), len(asked.epochs)
    pixels = math.prod(reduced(made).size)
    if samples * epochs * pixels > MOST_PIXELS:
        raise Problem(
            413, "too-large",
            f"{samples} samples x {epochs} epochs x {pixels:,} pixels are above {MOST_PIXELS:,} "
            f"pixels: {CURE}",
        )  # fmt: skip
    nbytes = preview_bytes(pixels, samples, epochs)
    drawing.taken(nbytes)
    try:
        return preview(made, indices=asked.indices, epochs=asked.epochs, before=drawing.check)
    finally:
        drawing.give_back(nbytes)


def drawn_of(images: Images, policy: Policy, ask: Ask, drawing: Drawing) -> Any:
    """Return the image of a client's images, the first of them."""
    shown = min(len(images.pictures), MOST_SAMPLES)
    labels = None if images.labels is None else images.labels[:shown]
    first: list[Any] = list(images.pictures[:shown])
    source: Any = (
        FileSource(first, labels) if isinstance(first[0], Encoded)
        else ArraySource(np.stack(first), labels, layout="NHWC")
    )  # fmt: skip
    last = min(ask.epoch + 3, 1 << 32)
    asked = PreviewAsk(
        dataset="images", policy=ask.policy, seed=ask.seed, epochs=tuple(range(ask.epoch, last)),
        indices=tuple(range(shown)),
    )  # fmt: skip
    return draw(source, policy, asked, drawing)


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
        """Return an image, uint8 `[h, w, 3]`."""
        return self.files[i].decoded()

    def read(self, i: int) -> bytes:
        """Return a file."""
        return self.files[i].data

    def path(self, i: int) -> str:
        """Return its name."""
        return self.files[i].name
