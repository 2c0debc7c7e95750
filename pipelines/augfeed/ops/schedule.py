"""How a policy changes by epoch: image size, magnitude, mixing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from augfeed.operation import (
    ARXIV,
    Effect,
    Epochs,
    Mixing,
    SampleValues,
    Scene,
    Setting,
    Window,
    Wording,
    kind,
    operation,
)
from augfeed.operation.parameter_types import Side

Epoch = Annotated[int, Field(ge=0, le=2**32 - 1)]
Sizes = Annotated[
    tuple[tuple[Epoch, Side | tuple[Side, Side]], ...],
    Field(max_length=100, description="pairs (epoch, size): the size of images from that epoch on"),
]
Ramp = Annotated[
    tuple[tuple[Epoch, Annotated[float, Field(ge=0, le=999)]], ...],
    Field(max_length=100, description="pairs (epoch, magnitude), with a line between them"),
]


@operation
class Schedule(Epochs):
    """Say how size, magnitude and mixing change by epoch; all is a function of the epoch alone.

    `size` is that of the crop, or of `resize` without one: progressive resizing, as
    EfficientNetV2 (2104.00298) and FixRes train. `magnitude` is that of `rand_augment`, rounded,
    on straight lines between the points given. From epoch `mixing_until` on nothing is mixed
    or pasted; labels keep their form. An epoch before the first pair has the policy's own values.
    """

    size: Sizes = ()
    magnitude: Ramp = ()
    mixing_until: Annotated[
        Epoch | None, Field(description="first epoch without mixup and cutmix; None: all mix")
    ] = None
    op: Literal["schedule"] = kind("schedule")
    order = 1100
    moves = False
    harmless = "what it makes of a policy is held against the rules"
    source = f"{ARXIV}2104.00298"
    cases = {}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, pairs in (("size", self.size), ("magnitude", self.magnitude)):
            epochs = [pair[0] for pair in pairs]
            if any(a >= b for a, b in pairwise(epochs)):
                raise ValueError(f"{name} has epochs {epochs}: give each once, in order")
        if not (self.size or self.magnitude or self.mixing_until is not None):
            raise ValueError("'schedule' changes nothing: give size, magnitude or mixing_until")
        return self

    @property
    def changes(self) -> tuple[int, ...]:
        """The epochs at which something begins to change, from 0 on."""
        epochs = {0, *(pair[0] for pair in (*self.size, *self.magnitude))}
        return tuple(sorted(epochs if self.mixing_until is None else epochs | {self.mixing_until}))

    def key(self, epoch: int) -> tuple[Any, ...]:
        """Return size, magnitude (None: the policy's own) and whether samples mix in an epoch."""
        sizes = [size for first, size in self.size if first <= epoch]
        points = np.array(self.magnitude, np.float64).reshape(-1, 2)
        magnitude = None
        if len(points) and epoch >= points[0, 0]:
            magnitude = float(np.interp(epoch, points[:, 0], points[:, 1]))
        mixes = self.mixing_until is None or epoch < self.mixing_until
        return sizes[-1] if sizes else None, magnitude, mixes

    def applied(self, operations: tuple[Any, ...], epoch: int) -> list[Any]:
        """Return the operations of an epoch, without the schedule itself."""
        size, magnitude, mixes = self.key(epoch)
        resized = _sized(operations)
        made = []
        for item in operations:
            if item is self or (_mixes(item) and not mixes):
                continue
            if item is resized and size is not None:
                item = replace(item, size=size)
            if magnitude is not None and hasattr(item, "magnitude") and hasattr(item, "bins"):
                item = replace(item, magnitude=round(magnitude))
            made.append(item)
        return made

    def check_policy(self, policy: Any) -> None:
        """Refuse a policy that lacks what is to change."""
        if self.size and _sized(policy.operations) is None:
            raise ValueError("schedule(size=...) has nothing to resize: add random_resized_crop")
        if self.magnitude and not any(hasattr(item, "bins") for item in policy.operations):
            raise ValueError("schedule(magnitude=...) has no rand_augment to change: add one")
        mixers = any(map(_mixes, policy.operations))
        if self.mixing_until is not None and not mixers:
            raise ValueError("schedule(mixing_until=...) has nothing that mixes: leave it out")
        for epoch in self.changes:
            type(policy)(self.applied(policy.operations, epoch))

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: those of the operations of each epoch are looked at."""
        yield from ()

    def explain(self, seen: SampleValues) -> Wording | None:
        """Return nothing: a plan is of the policy of its epoch."""
        return None


def _mixes(item: Any) -> bool:
    return isinstance(item, Scene) or (isinstance(item, Mixing) and item.program is None)


def _sized(operations: tuple[Any, ...]) -> Any:
    # The operation that decides the size of images.
    windows = [item for item in operations if isinstance(item, Window) and hasattr(item, "size")]
    crops = [item for item in windows if item.op != "resize"]
    return crops[0] if crops else (windows[0] if windows else None)
