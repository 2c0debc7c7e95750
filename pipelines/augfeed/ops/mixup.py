"""Blend with a partner."""

from collections.abc import Iterator
from typing import Literal

from augfeed.operation import (
    ARXIV,
    Effect,
    Mixing,
    Probability,
    SampleValues,
    Setting,
    Wording,
    kind,
    operation,
)
from augfeed.ops._mixing import COLUMNS, Alpha, Per, lambda_law
from augfeed.ops._scene import Until
from augfeed.philox import Stream


@operation
class Mixup(Mixing):
    """Blend with a partner: lambda * own + (1 - lambda) * partner (1710.09412).

    Lambda ~ Beta(alpha, alpha). The label is blended with the same lambda.
    """

    alpha: Alpha = 0.2
    p: Probability = 1.0
    per: Per = "sample"
    until: Until = None
    later = ("until",)
    op: Literal["mixup"] = kind("mixup")
    order = 600
    stream = Stream.MIX
    uniforms = 6
    columns = COLUMNS
    moves = True
    source = f"{ARXIV}1710.09412"
    cases = {
        "mixup": "mixup(0.4)",
        "mixup, some": "mixup(1.0, p=0.5) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "mixup per batch": 'mixup(0.4, per="batch")',
    }

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that labels are blended."""
        yield Effect("mixing", "p", self.p, self.p > 0)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the shares."""
        if not seen.applied:
            return Wording("", otherwise=seen.values["alone"], values={"share": 1.0})
        lam, values = seen.values["share"], {**seen.values["mixed"], "alpha": self.alpha}
        done = f"{lam:.3f} of itself + {1 - lam:.3f} of {seen.values['whom']}"
        return Wording(done, lambda_law(self), values=values)
