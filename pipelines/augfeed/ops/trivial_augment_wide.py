"""TrivialAugment over its wide ranges, as torchvision has it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import ARXIV, Effect, Probability, Program, Setting, kind, operation
from augfeed.operation.parameter_types import StepInterpolation
from augfeed.operation.program import Graded, Node, UniformBins
from augfeed.ops._auto_tables import RAND_NAMES, WIDE, kept, torchvision_entries

Step = Literal[
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
]  # fmt: skip


@operation
class TrivialAugmentWide(Program):
    """Give a sample one step of 14, drawn uniformly, at a magnitude drawn from `bins`.

    The law of torchvision's `TrivialAugmentWide` (2103.10158). The bins are equal steps from no
    change up to: shear 0.99, about the upper left corner; translate 32 pixels, whatever the size;
    rotate 135 degrees; brightness, color, contrast and sharpness a factor of 1 -/+ 0.99, of
    Pillow's `ImageEnhance`; posterize 2 bits; solarize a threshold of 0; autocontrast, equalize and
    identity have none. The first seven are negated for half of the samples. `max_rotation` and
    `without` make of it what keeps the labels of a dataset; torchvision's law has neither. Its
    class takes the nearest pixel unless told otherwise: `interpolation="nearest"`; its recipes say
    bilinear.
    """

    bins: Annotated[int, Field(ge=2, le=1000, description="bins that the ranges are cut into")] = 31
    max_rotation: Annotated[
        float, Field(ge=0, le=180, description="largest angle of rotate, degrees")
    ] = 135.0
    without: Annotated[
        tuple[Step, ...],
        Field(max_length=13, description="names of steps that are left out, as rotate"),
    ] = ()
    p: Probability = 1.0
    interpolation: StepInterpolation = "policy"
    later = ("interpolation",)
    op: Literal["trivial_augment_wide"] = kind("trivial_augment_wide")
    order = 295
    source = f"{ARXIV}2103.10158"
    cases = {
        "trivial augment wide": "trivial_augment_wide",
        "trivial augment, random filter": 'trivial_augment_wide(interpolation="random")',
        "trivial augment, mild": 'trivial_augment_wide(11, max_rotation=15, without=["solarize"]) '
        "| horizontal_flip | normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    @model_validator(mode="after")
    def _known(self) -> Self:
        kept(RAND_NAMES, self.without)
        return self

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what any of the steps may do, with the parameters that leave it out or less."""
        for effect in super().effects(setting):
            # A step's parameter has its name.
            left_out = (*self.without, effect.parameter)
            made = replace(effect, omission=f"without={left_out!r}")
            if effect.rule == "max_rotation":
                made = replace(made, parameter="max_rotation", value=self.max_rotation,
                               passing=self._less)  # fmt: skip
            yield made

    def _less(self, most: float) -> float:
        return min(most, self.max_rotation)

    def tree(self) -> Node:
        """Return the steps that may be drawn."""
        return _tree(self.bins, self.max_rotation, kept(RAND_NAMES, self.without), self.p)


@cache
def _tree(bins: int, max_rotation: float, names: tuple[str, ...], p: float) -> Node:
    entries = torchvision_entries(WIDE._replace(turn=max_rotation), bins)
    return Graded(tuple((entries[name],) for name in names), UniformBins(bins), p=p)
