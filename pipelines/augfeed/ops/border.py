"""What geometry finds outside the image."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from augfeed.operation import (
    Effect,
    Outside,
    SampleValues,
    Setting,
    Unit,
    Wording,
    kind,
    operation,
)
from augfeed.operation.words import fill_text
from augfeed.ops._geometry import Edge


@operation
class Border(Outside):
    """Say what rotate, translate, scale, shear and perspective find outside the image.

    Without it: constant 0 (black). `fill` is in pixel space from 0 (black) to 1; `reflect`
    mirrors without repeating the border pixel; `edge` repeats the border pixel.
    """

    mode: Annotated[Edge, Field(description="constant, edge or reflect")] = "constant"
    fill: Annotated[Unit, Field(description="constant border, from 0 (black) to 1")] = 0.0
    op: Literal["border"] = kind("border")
    order = 390
    moves = False
    harmless = "only fills what others leave"
    cases = {}

    def check_policy(self, policy: Any) -> None:
        """Refuse a policy in which nothing reaches beyond the border."""
        if not policy.warps:
            raise ValueError(
                "'border' without rotate, translate, scale, shear or perspective has no effect: "
                "remove it"
            )

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: it only fills."""
        yield from ()

    def explain(self, seen: SampleValues) -> Wording | None:
        """Return the fill, of a sample that is warped."""
        if not seen.warped:
            return None
        return Wording(f"outside the image: {fill_text(self.mode, self.fill)}")
