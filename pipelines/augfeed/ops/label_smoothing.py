"""Move a share of the label to all classes alike."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from augfeed.operation import (
    ARXIV,
    Effect,
    Label,
    SampleValues,
    Setting,
    Wording,
    kind,
    operation,
)


@operation
class LabelSmoothing(Label):
    """Move a share `epsilon` of the label to all K classes alike (1512.00567).

    The own class gets `1 - epsilon + epsilon / K`, every other `epsilon / K`.
    """

    epsilon: Annotated[float, Field(ge=0, lt=1, description="share moved, from 0 to below 1")] = 0.1
    op: Literal["label_smoothing"] = kind("label_smoothing")
    order = 1000
    moves = False
    harmless = "the largest share stays where it was"
    source = f"{ARXIV}1512.00567"
    cases = {}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: the image stays, and the label its largest share."""
        yield from ()

    def explain(self, seen: SampleValues) -> Wording:
        """Return the share that moves."""
        classes = seen.values["classes"]
        done = f"{self.epsilon:g} of the label moved to all {classes} classes alike"
        return Wording(done, values={"epsilon": self.epsilon})
