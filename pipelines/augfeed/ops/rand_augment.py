"""RandAugment, as torchvision has it."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import ARXIV, Probability, Program, kind, operation
from augfeed.operation.parameter_types import StepInterpolation
from augfeed.operation.program import FixedBin, Graded, Node, Series
from augfeed.ops._auto_tables import RAND, RAND_NAMES, torchvision_entries


@operation
class RandAugment(Program):
    """Give a sample `num_ops` steps of 14, each drawn uniformly, all at one magnitude.

    The law of torchvision's `RandAugment` (1909.13719). `magnitude` is a bin, from 0 to `bins - 1`,
    of ranges that go up to: shear 0.3, about the upper left corner; translate 150/331 of the side;
    rotate 30 degrees; brightness, color, contrast and sharpness a factor of 1 -/+ 0.9, of Pillow's
    `ImageEnhance`; posterize 4 bits; solarize a threshold of 0; autocontrast, equalize and identity
    have none. The first seven are negated for half of the samples. timm's "m9" is another policy,
    about three times as strong: `timm("rand-m9")`. torchvision's class takes the nearest pixel
    unless told otherwise: `interpolation="nearest"`; its recipes say bilinear.
    """

    num_ops: Annotated[int, Field(ge=1, le=16, description="steps that a sample gets")] = 2
    magnitude: Annotated[int, Field(ge=0, le=999, description="bin of magnitude, from 0 on")] = 9
    bins: Annotated[int, Field(ge=2, le=1000, description="bins that the ranges are cut into")] = 31
    p: Probability = 1.0
    interpolation: StepInterpolation = "policy"
    later = ("interpolation",)
    op: Literal["rand_augment"] = kind("rand_augment")
    order = 294
    source = f"{ARXIV}1909.13719"
    cases = {
        "rand augment": "rand_augment",
        "rand augment, strong": "horizontal_flip | rand_augment(3, 14, bins=15) | border(fill=0.5)",
    }

    @model_validator(mode="after")
    def _of_bins(self) -> Self:
        if self.magnitude >= self.bins:
            raise ValueError(
                f"magnitude={self.magnitude!r} is not one of bins={self.bins!r}: "
                f"give 0 to {self.bins - 1}"
            )
        return self

    def tree(self) -> Node:
        """Return the steps, one after another."""
        return _tree(self.num_ops, self.magnitude, self.bins, self.p)


@cache
def _tree(num_ops: int, magnitude: int, bins: int, p: float) -> Node:
    entries = torchvision_entries(RAND, bins)
    layer = Graded(tuple((entries[name],) for name in RAND_NAMES), FixedBin(magnitude))
    return Series((layer,) * num_ops, p)
