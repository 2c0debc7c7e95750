"""AutoAugment, with the tables of its paper."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augfeed.operation import ARXIV, Probability, Program, kind, operation
from augfeed.operation.parameter_types import StepInterpolation
from augfeed.operation.program import Entry, Graded, Node
from augfeed.ops._auto_tables import RAND, sub_policies, torchvision_entries
from augfeed.ops._timm_grammar import Auto
from augfeed.ops.timm import timm_tree

BINS = 10


@operation
class AutoAugment(Program):
    """Give a sample one of the 25 pairs of steps that were searched for on a dataset.

    Each pair is as frequent; each of its steps is done with a probability of its own, at a level of
    its own, from 0 to 9 (1805.09501). The flavors share the table of ImageNet and disagree on what
    a level is. `torchvision`: a bin of 10 of the ranges of `rand_augment`. `timm`: its `original`,
    the same as `timm("original")`; it has no tables for CIFAR-10 and SVHN. By default
    torchvision's class has `interpolation="nearest"` and timm "random".
    """

    policy: Annotated[
        Literal["imagenet", "cifar10", "svhn"],
        Field(description="dataset that the pairs were found on"),
    ] = "imagenet"
    flavor: Annotated[
        Literal["torchvision", "timm"], Field(description="whose magnitudes: torchvision or timm")
    ] = "torchvision"
    p: Probability = 1.0
    interpolation: StepInterpolation = "policy"
    later = ("interpolation",)
    op: Literal["auto_augment"] = kind("auto_augment")
    order = 296
    source = f"{ARXIV}1805.09501"
    cases = {
        "auto augment": "auto_augment",
        "auto augment of timm": 'auto_augment("imagenet", flavor="timm") | horizontal_flip',
        "auto augment of CIFAR-10": 'auto_augment("cifar10", p=0.9)',
        "auto augment of SVHN": 'auto_augment("svhn")',
    }

    @model_validator(mode="after")
    def _exists(self) -> Self:
        if self.flavor == "timm" and self.policy != "imagenet":
            raise ValueError(
                f"policy={self.policy!r} is not one of timm's, which has that of ImageNet alone: "
                "use flavor='torchvision'"
            )
        return self

    def tree(self) -> Node:
        """Return the pairs."""
        return _timm(self.p) if self.flavor == "timm" else _torchvision(self.policy, self.p)


@cache
def _torchvision(policy: str, p: float) -> Node:
    entries = torchvision_entries(RAND, BINS)
    pairs = []
    for pair in sub_policies(policy):
        found = ((entries[step.name], step) for step in pair)
        pairs.append(tuple(
            Entry(entry.candidate, entry.values, step.p, step.level) for entry, step in found
        ))  # fmt: skip
    return Graded(tuple(pairs), p=p)


@cache
def _timm(p: float) -> Node:
    return timm_tree(Auto("original"), exact=False, p=p)
