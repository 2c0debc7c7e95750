"""AugMix, as torchvision and timm have it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import ARXIV, Effect, Probability, Program, Setting, kind, operation
from augfeed.operation.parameter_types import StepInterpolation
from augfeed.operation.program import Chains, Graded, Node, UniformBins
from augfeed.ops._auto_tables import (
    AUGMIX,
    ENHANCED,
    MOVING,
    RAND_NAMES,
    kept,
    torchvision_entries,
)
from augfeed.ops._chains import SUMMED, chain, weigh_once
from augfeed.ops._timm_grammar import Mix, parse_timm
from augfeed.ops.timm import Timm, timm_tree

BINS, MOST = 10, 8
NAMES = RAND_NAMES[1:]
Step = Literal[
    "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast",
    "sharpness", "posterize", "solarize", "autocontrast", "equalize",
]  # fmt: skip


@operation
class AugMix(Program):
    """Mix a sample with chains of steps that start from it: AugMix (1912.02781).

    `width` chains have `depth` steps each, -1 for 1 to 3, as often each. Their weights are drawn
    from Dirichlet(`alpha`, ...), the share of the mixture of them from Beta(`alpha`, `alpha`); the
    rest is the sample itself. A chain's steps are uniform draws of 13, or without `all_ops` of the
    9 that do not act on brightness, color, contrast or sharpness. `flavor` says whose:

    `torchvision` draws a bin from 0 to `severity - 1` of 10 for each step, of ranges that go up to:
    shear 0.3, about the upper left corner; translate a third of the side; rotate 30 degrees; a
    factor of 1 -/+ 0.9; posterize 0 of 4 bits; solarize a threshold of 0. Image and chains are
    added up, and cut off to whole levels once. `timm` draws a level from 0 to `severity`, of 10 as
    its `rand` lines have them with `inc1`, but for a shift of 0.3 of the side; the sum of the
    chains is cut off, and then its blend with the image. So the same weights and chains differ by
    2 levels at most.

    Weights are multiples of 2**-16, so that sums are exact. Posterize keeps one bit at least;
    `exact=True` lets it keep none, as both do from severity 9 on. Steps resample bilinearly, as
    torchvision's class does; timm's as in `timm`. What moves in a chain moves in one layer of the
    image alone, so masks, boxes and keypoints are refused, unless `without` leaves out the steps
    that move pixels: shear_x, shear_y, translate_x, translate_y and rotate.
    """

    severity: Annotated[
        int, Field(ge=1, le=BINS, description="how strong steps may be, from 1 to 10")
    ] = 3
    width: Annotated[int, Field(ge=1, le=MOST, description="chains that are mixed")] = 3
    depth: Annotated[
        int, Field(ge=-1, le=MOST, description="steps of a chain, -1 for 1 to 3")
    ] = -1  # fmt: skip
    alpha: Annotated[
        float, Field(ge=0.01, le=100, description="of the weights' Dirichlet and Beta laws")
    ] = 1.0
    all_ops: Annotated[
        bool, Field(description="whether brightness, color, contrast, sharpness are steps as well")
    ] = True
    flavor: Annotated[
        Literal["torchvision", "timm"], Field(description="whose law: torchvision or timm")
    ] = "torchvision"
    exact: Annotated[bool, Field(description="whether posterize may keep 0 bits: black")] = False
    without: Annotated[
        tuple[Step, ...],
        Field(max_length=12, description="names of steps that are left out, as rotate"),
    ] = ()
    p: Probability = 1.0
    interpolation: StepInterpolation = "policy"
    later = ("without",)
    op: Literal["aug_mix"] = kind("aug_mix")
    order = 298
    source = f"{ARXIV}1912.02781"
    cases = {
        "aug mix": "aug_mix",
        "aug mix, severe": "horizontal_flip | aug_mix(10, 2, 2, 0.4, p=0.8) | border(fill=0.5)",
        "aug mix, nearest": 'aug_mix(10, 1, 1, interpolation="nearest")',
        "aug mix of timm": 'aug_mix(5, flavor="timm", all_ops=False)',
        "aug mix in place": "horizontal_flip | aug_mix(without=["
        '"shear_x", "shear_y", "translate_x", "translate_y", "rotate"])',
    }

    @model_validator(mode="after")
    def _some_steps(self) -> Self:
        if self.depth == 0:
            raise ValueError("depth=0 is a chain without steps: give 1 to 8, or -1 for 1 to 3")
        kept(NAMES, self.left_out)
        return self

    @property
    def left_out(self) -> tuple[str, ...]:
        """The names of all steps that chains do not have."""
        return self.without if self.all_ops else (*self.without, *ENHANCED)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what any of the steps may do, with the parameter that leaves it out."""
        for effect in super().effects(setting):
            # A step's parameter has its name.
            yield replace(effect, omission=f"without={(*self.without, effect.parameter)!r}")

    def tree(self) -> Node:
        """Return the chains."""
        if self.flavor == "timm":
            recipe = Mix(self.severity, self.width, self.depth, self.alpha, without=self.left_out)
            return timm_tree(recipe, exact=self.exact, p=self.p)
        least = 0 if self.exact else 1
        child = _torchvision(self.severity, self.depth, least, kept(NAMES, self.left_out))
        return Chains(child, self.width, self.alpha, SUMMED, weigh_once, self.p)


@cache
def _torchvision(severity: int, depth: int, least_bits: int, names: tuple[str, ...]) -> Node:
    entries = torchvision_entries(AUGMIX, BINS, least_bits)
    return chain(Graded(tuple((entries[name],) for name in names), UniformBins(severity)), depth)


def still(item: AugMix | Timm) -> str:
    """Return, in words, how to leave the steps that move pixels out of AugMix; "" if no other step
    would be left."""
    if isinstance(item, Timm):
        recipe = parse_timm(item.line)
        assert isinstance(recipe, Mix)
        level, depth = min(max(recipe.magnitude, 1), BINS), recipe.depth if recipe.depth > 0 else -1
        numbers = f'{level}, {recipe.width}, {depth}, {recipe.alpha:g}, flavor="timm"'
        return f"write aug_mix({numbers}, {_without(MOVING)}) in its place"
    if not {*NAMES} - {*item.left_out, *MOVING}:
        return ""
    more = "" if item.interpolation == "policy" else " and no interpolation"
    return f"give it {_without((*item.without, *MOVING))}{more}"


def _without(names: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{name}"' for name in dict.fromkeys(names))
    return f"without=[{listed}]"
