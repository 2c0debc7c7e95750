"""Show four samples around a point."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import (
    ARXIV,
    Drawn,
    Effect,
    Flags,
    Interval,
    Probability,
    SampleValues,
    Scene,
    Setting,
    Sides,
    Uniforms,
    Unit,
    Wording,
    between,
    kind,
    operation,
    ordered,
)
from augfeed.operation.words import bounds_text
from augfeed.ops._scene import Until

LEAST, MOST = 0.05, 20.0
Factor = Annotated[float, Field(ge=LEAST, le=MOST)]


@operation
class Mosaic(Scene):
    """Show four samples around a point (2004.10934): itself, and three of its group.

    The point is uniform over the frame. Each image is resized so that it fits the frame, times
    `zoom` (uniform), and put with its inner corner at the point: itself above and left. All is
    moved by up to `shift` of the sides, and about the middle by the zoom. What no image covers is
    `fill`. This is the mosaic of YOLOv5 and later with its affine map (`scale` 0.5 is a zoom from
    0.5 to 1.5, `translate` is `shift`) in one resampling. Turn it off for the last epochs by
    `until`.

    It needs samples with boxes or masks. A sample that does not get it is cut as the policy's
    window says.
    """

    p: Probability = 1.0
    zoom: Annotated[
        tuple[Factor, Factor], Field(description="lowest and highest factor of all four")
    ] = (
        1.0,
        1.0,
    )
    shift: Annotated[Unit, Field(description="largest shift, as a share of the side")] = 0.0
    fill: Annotated[Unit, Field(description="what no image covers, from 0 (black) to 1")] = (
        114 / 255
    )
    until: Until = None
    op: Literal["mosaic"] = kind("mosaic")
    order = 190
    stream = 50
    uniforms = 9
    moves = True
    source = f"{ARXIV}2004.10934"
    cases = {}

    @field_validator("zoom")
    @classmethod
    def _in_order(cls, value: Interval) -> Interval:
        return ordered(value, "zoom", LEAST, MOST)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield that several samples are seen in one."""
        yield Effect("mixing", "p", self.p, self.p > 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the point (y, x) in whole pixels, the zoom, and uniforms that choose samples."""
        sides = np.array(size)
        zoom = between(u[3], *self.zoom)
        shift = between(u[4:6], -self.shift, self.shift)
        at = sides * (0.5 + (u[1:3] - 0.5) * zoom + shift).T
        return Drawn({"point": np.rint(at).astype(np.int64), "zoom": zoom, "picks": u[6:9].T}, {})

    def explain(self, seen: SampleValues) -> Wording:
        """Return where the four samples meet, and their zoom."""
        y, x = seen.values["point"]
        zoom = seen.values["zoom"]
        law = f"any place, zoom in {bounds_text(self.zoom)}"
        law += "" if self.until is None else f", before epoch {self.until}"
        values = {"point": [y, x], "zoom": zoom}
        return Wording(f"four samples around ({y}, {x}), zoom {zoom:.3f}", law, "", values)
