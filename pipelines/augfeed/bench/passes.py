"""How many passes over its pixels a sample takes: counted in plans, not measured."""

from dataclasses import dataclass

import numpy as np

from augfeed.ops._steps import MATRIX
from augfeed.plan import BatchRows, draw_plan
from augfeed.policy import Policy

SAMPLES = 4096
UNSIZED = (224, 224)  # for policies that take images of any size as they are


@dataclass(frozen=True, slots=True)
class Passes:
    """Shares of the samples that take more than the one pass over their pixels.

    `framed`: a frame is made of the sample first, changed by steps that cannot be composed with the
    pass, and read by it. `moved`: pixels are moved on that frame, too, which copies it once more.
    """

    framed: float
    moved: float

    @property
    def text(self) -> str:
        """Both in words, for a line of a report."""
        if not self.framed:
            return "one pass over the pixels of every sample"
        also = f", and pixels of {self.moved:.0%} are moved on it" if self.moved else ""
        return (
            f"a second pass over the pixels of {self.framed:.0%}: their frame is made first{also}"
        )


def passes_of(policy: Policy, size: tuple[int, int] | None = None) -> Passes:
    """Return the shares among samples of the output's size, of an epoch of seed 0.

    `size` is (height, width) of the output where the policy does not say it.
    """
    sides = policy.size(size or UNSIZED)
    plan = draw_plan(policy, BatchRows.of(np.arange(SAMPLES)), seed=0, epoch=0, size=sides)
    moved = 0.0
    if plan.program is not None:
        moved = float((plan.program.code == MATRIX).any(axis=1).mean())
    return Passes(float(plan.made.mean()), moved)
