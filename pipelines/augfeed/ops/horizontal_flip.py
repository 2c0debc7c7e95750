"""Mirror left and right."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from numpy.typing import NDArray
from pydantic import Field, model_validator

from augfeed.operation import (
    Drawn,
    Effect,
    Flags,
    Geometry,
    Matrices,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    flags,
    kind,
    operation,
)
from augfeed.ops._geometry import identities


@operation
class HorizontalFlip(Geometry):
    """Mirror left and right.

    `mode="alternate"` mirrors every image in every other epoch: a coin of its own, tossed once by
    its number and the seed, says whether epoch 0 does (2404.00498). An image and its mirror image
    are then seen equally often, where independent coins leave one of them out for several epochs.
    """

    p: Probability = 0.5
    mode: Annotated[
        Literal["random", "alternate"],
        Field(description="a coin for each epoch, or every other epoch"),
    ] = "random"
    later = ("mode",)
    op: Literal["horizontal_flip"] = kind("horizontal_flip")
    order = 300
    stream = 6
    uniforms = 1
    columns = flags("flip_x")
    warps = False
    moves = True
    short = "hflip"
    cases = {
        "horizontal flip": "horizontal_flip(1.0)",
        "horizontal flip, alternating": 'horizontal_flip(mode="alternate")',
    }

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.mode == "alternate" and self.p != 0.5:
            raise ValueError(
                f"p={self.p!r} does not go with mode='alternate', which mirrors every image in "
                "every other epoch: leave p out, or use mode='random'"
            )
        return self

    @property
    def alternates(self) -> bool:
        """Whether a sample is mirrored in every other epoch."""
        return self.mode == "alternate"

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that it mirrors."""
        yield Effect("horizontal_flip", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return which samples are mirrored."""
        return Drawn({}, {"flip_x": applied})

    def inverse(self, values: dict[str, NDArray[Any]], size: Sides) -> Matrices:
        """Return where pixels come from."""
        matrices = identities(len(values["applied"]))
        matrices[:, 0, 0], matrices[:, 0, 2] = -1.0, size[1] - 1.0
        return matrices

    def explain(self, seen: SampleValues) -> Wording:
        """Return that it was mirrored."""
        law = "in every other epoch" if self.alternates else ""
        return Wording("mirrored left and right", law)
