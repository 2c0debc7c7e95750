"""AugMix, as torchvision and timm have it."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import ARXIV, Probability, Program, kind, operation
from augfeed.operation.program import Chains, Graded, Node, UniformBins
from augfeed.ops._auto_tables import AUGMIX, AUGMIX_NAMES, RAND_NAMES, torchvision_entries
from augfeed.ops._chains import SUMMED, chain, weigh_once
from augfeed.ops._timm_grammar import Mix
from augfeed.ops.timm import timm_tree

BINS, MOST = 10, 8


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
    `exact=True` lets it keep none, as both do from severity 9 on. What moves in a chain moves in
    one layer of the image alone: masks, boxes and keypoints are refused.
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
    p: Probability = 1.0
    op: Literal["aug_mix"] = kind("aug_mix")
    order = 298
    source = f"{ARXIV}1912.02781"
    cases = {
        "aug mix": "aug_mix",
        "aug mix, severe": "horizontal_flip | aug_mix(10, 2, 2, 0.4, p=0.8) | border(fill=0.5)",
        "aug mix of timm": 'aug_mix(5, flavor="timm", all_ops=False)',
    }

    @model_validator(mode="after")
    def _some_steps(self) -> Self:
        if self.depth == 0:
            raise ValueError("depth=0 is a chain without steps: give 1 to 8, or -1 for 1 to 3")
        return self

    def tree(self) -> Node:
        """Return the chains."""
        if self.flavor == "timm":
            recipe = Mix(self.severity, self.width, self.depth, self.alpha, all_ops=self.all_ops)
            return timm_tree(recipe, exact=self.exact, p=self.p)
        least = 0 if self.exact else 1
        child = _torchvision(self.severity, self.depth, least, all_ops=self.all_ops)
        return Chains(child, self.width, self.alpha, SUMMED, weigh_once, self.p)


@cache
def _torchvision(severity: int, depth: int, least_bits: int, *, all_ops: bool) -> Node:
    entries = torchvision_entries(AUGMIX, BINS, least_bits)
    names = RAND_NAMES[1:] if all_ops else AUGMIX_NAMES
    return chain(Graded(tuple((entries[name],) for name in names), UniformBins(severity)), depth)
