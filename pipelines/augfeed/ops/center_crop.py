"""Cut the middle of the image."""

from collections.abc import Iterator
from typing import Literal

from augfeed.operation import (
    Effect,
    SampleValues,
    Setting,
    Size,
    Window,
    Wording,
    kind,
    operation,
    pair,
)
from augfeed.ops._window import one_pixel, share_kept
from augfeed.ops.random_crop import cut_at


@operation
class CenterCrop(Window):
    """Cut the middle of the image, `size` pixels; a smaller image is an error."""

    size: Size
    op: Literal["center_crop"] = kind("center_crop")
    order = 130
    exclusive = "window"
    moves = True
    cases = {}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image the window may show."""
        share = share_kept(self.size, 0, setting)
        yield Effect("min_crop", "size", self.size, share)
        yield from one_pixel(self.size, pair(self.size), setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return where it was cut."""
        done, values = cut_at(seen)
        return Wording(f"{done}, the middle", values=values)
