"""Subtract the mean and divide by the standard deviation."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import (
    Constants,
    Effect,
    SampleValues,
    Setting,
    Wording,
    kind,
    operation,
)
from augfeed.operation.parameter_types import EachChannel

Mean = Annotated[float, Field(ge=0, le=1)]
Channels = Annotated[tuple[Mean, ...], EachChannel] | Mean
Positive = Annotated[float, Field(ge=1e-6)]
Deviations = Annotated[tuple[Positive, ...], EachChannel] | Positive


@operation
class Normalize(Constants):
    """Subtract `mean` and divide by `std`, per channel, in pixel space from 0 to 1."""

    mean: Annotated[
        Channels, Field(description="mean of the pixels, of 0 to 1: one number, or one per channel")
    ]
    std: Annotated[Deviations, Field(description="standard deviation of the pixels, likewise")]
    op: Literal["normalize"] = kind("normalize")
    order = 800
    moves = False
    cases = {
        "normalize": "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "normalize by one number": "normalize(0.5, 0.25)",
    }

    @model_validator(mode="after")
    def _channels(self) -> Self:
        if isinstance(self.mean, tuple) and isinstance(self.std, tuple):
            mean, std = len(self.mean), len(self.std)
            if mean != std:
                raise ValueError(
                    f"mean has {mean} channels and std has {std}: give as many, or one number"
                )
        return self

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the division leaves of the image."""
        most = max(self.std) if isinstance(self.std, tuple) else self.std

        def passing(least: float) -> Any:
            # Such numbers come from pixels of 0 to 255.
            if most / 255 > 1 / least:
                return None
            return (tuple(item / 255 for item in self.std)
                    if isinstance(self.std, tuple) else self.std / 255)  # fmt: skip

        left = min(1.0, 1 / most)
        yield Effect("min_content", "std", self.std, left, passing, left)

    def explain(self, seen: SampleValues) -> Wording:
        """Return mean and standard deviation."""
        mean, std = _listed(self.mean), _listed(self.std)
        done = f"minus {_shown(mean)}, divided by {_shown(std)}"
        return Wording(done, values={"mean": mean, "std": std})


def _listed(value: float | tuple[float, ...]) -> list[float]:
    return list(value) if isinstance(value, tuple) else [value]


def _shown(values: list[float]) -> str:
    return ", ".join(f"{item:g}" for item in values)
