"""Paste a box of a partner."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from augfeed.operation import (
    ARXIV,
    Column,
    Effect,
    Mixing,
    Probability,
    SampleValues,
    Setting,
    Wording,
    kind,
    operation,
)
from augfeed.operation.words import box_text
from augfeed.ops._mixing import COLUMNS, Alpha, Per, lambda_law
from augfeed.ops._scene import Until
from augfeed.philox import Stream

HARDLY = 1e-6  # a difference that only rounding makes


@operation
class CutMix(Mixing):
    """Paste a box of a partner (1905.04899).

    Lambda ~ Beta(alpha, alpha); the box has sides `sqrt(1 - lambda)` of the image's, rounded
    down; its center is uniform over the pixels; what leaves the image is cut off. The label
    states the share of pixels that the box really covers, unless `correct_lambda=False`.
    """

    alpha: Alpha = 1.0
    p: Probability = 1.0
    per: Per = "sample"
    correct_lambda: Annotated[
        bool, Field(description="count lambda from the box that is written, not the drawn one")
    ] = True
    until: Until = None
    later = ("until",)
    op: Literal["cutmix"] = kind("cutmix")
    order = 610
    stream = Stream.MIX
    uniforms = 6
    columns = (*COLUMNS, Column("patch", np.int32, shape=(4,)))
    moves = True
    source = f"{ARXIV}1905.04899"
    cases = {
        "cutmix": "cutmix(1.0)",
        "cutmix, some": "cutmix(0.5, p=0.6) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "cutmix per batch": 'cutmix(per="batch")',
        "cutmix, drawn lambda": "cutmix(correct_lambda=False)",
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that labels are blended."""
        yield Effect("mixing", "p", self.p, self.p > 0)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the box and its share of the pixels, and of the label where that is another."""
        if not seen.applied:
            return Wording("", otherwise=seen.values["alone"], values={"share": 1.0})
        box, lam = seen.values["box"], seen.values["share"]
        area = (box[2] - box[0]) * (box[3] - box[1]) / (seen.size[0] * seen.size[1])
        done = f"{box_text(box)} pasted from {seen.values['whom']}: {area:.1%} of the pixels"
        if abs(1 - lam - area) > HARDLY:
            done += f", {1 - lam:.1%} of the label"
        more = {"alpha": self.alpha, "box": box, "area": area}
        return Wording(done, lambda_law(self), values={**seen.values["mixed"], **more})
