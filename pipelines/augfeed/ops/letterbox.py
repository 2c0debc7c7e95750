"""Fit the whole image into a frame."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from augfeed.operation import (
    Effect,
    Fill,
    SampleValues,
    Setting,
    Size,
    Window,
    Wording,
    kind,
    operation,
    pair,
)
from augfeed.operation.words import fill_text, sides_text
from augfeed.ops._geometry import Edge, check_mean
from augfeed.ops._window import one_pixel


@operation
class Letterbox(Window):
    """Resize the whole image so that it fits `size`, and fill the rest.

    The image keeps its aspect, its sides rounded to whole pixels, and stands in the middle, half a
    pixel up and left where that is between two. `fill` is in pixel space from 0 (black) to 1; the
    gray of 114 is that of YOLOv5 and later.
    """

    size: Size
    mode: Annotated[Edge, Field(description="what lies beside the image")] = "constant"
    fill: Fill = 114 / 255
    op: Literal["letterbox"] = kind("letterbox")
    order = 140
    exclusive = "window"
    harmless = "all of the image stays"
    moves = True
    cases = {}

    def check_policy(self, policy: object) -> None:
        """Refuse a fill that nothing defines."""
        check_mean(self, policy)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it leaves of the image: one pixel shows nothing."""
        yield from one_pixel(self.size, pair(self.size), setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the size of the image in the frame."""
        source, resized = seen.values["source"], seen.values["resized"]
        done = f"the whole image, {sides_text(source)}, resized to {sides_text(resized)} within "
        done += f"{sides_text(seen.size)}, beside it {fill_text(self.mode, self.fill)}"
        return Wording(done, values={"source": source, "resized": resized})
