"""What geometry finds outside the image."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from augfeed.operation import (
    Effect,
    Fill,
    Outside,
    SampleValues,
    Setting,
    Wording,
    kind,
    operation,
)
from augfeed.operation.words import fill_text
from augfeed.ops._geometry import Edge, check_mean


@operation
class Border(Outside):
    """Say what rotate, translate, scale, shear and perspective find outside the image.

    Without it: constant 0 (black). `fill` is in pixel space from 0 (black) to 1, for all channels
    or for each; `"mean"` is that of the policy's `normalize`, the mean color of the dataset.
    `reflect` mirrors without repeating the border pixel; `edge` repeats the border pixel.
    """

    mode: Annotated[Edge, Field(description="constant, edge or reflect")] = "constant"
    fill: Fill = 0.0
    op: Literal["border"] = kind("border")
    order = 390
    moves = False
    harmless = "only fills what others leave"
    cases = {
        "border of a color": "rotate(40) | translate(0.3) | border(fill=[0.2, 0.7, 0.4])",
        "border of the mean color": 'scale([0.4, 1.2]) | shear(20) | border(fill="mean") | '
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
    }

    def check_policy(self, policy: Any) -> None:
        """Refuse a policy in which nothing reaches beyond the border."""
        if not policy.warps:
            raise ValueError(
                "'border' without rotate, translate, scale, shear or perspective has no effect: "
                "remove it"
            )
        check_mean(self, policy)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: it only fills."""
        yield from ()

    def explain(self, seen: SampleValues) -> Wording | None:
        """Return the fill, of a sample that is warped."""
        if not seen.warped:
            return None
        return Wording(f"outside the image: {fill_text(self.mode, self.fill)}")
