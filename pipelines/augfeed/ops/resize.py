"""Resize the whole image."""

from collections.abc import Iterator
from typing import Literal

from augfeed.operation import (
    Effect,
    Interpolation,
    SampleValues,
    Setting,
    ShorterSide,
    Window,
    Wording,
    kind,
    operation,
)
from augfeed.operation.words import filter_text, sides_text
from augfeed.ops._window import one_pixel


@operation
class Resize(Window):
    """Resize the whole image, antialiased, by Pillow's filter.

    A number is the length of the shorter side (the other follows, rounded down, as in
    torchvision); a pair is the exact `(height, width)`. `interpolation` is Pillow's: bilinear (a
    triangle) and bicubic (a = -0.5) widen where the image shrinks; nearest takes single pixels.
    `"random"` is timm's: bilinear or bicubic, by a coin for each sample.
    """

    size: ShorterSide
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["resize"] = kind("resize")
    order = 100
    harmless = "all of the image stays"
    moves = True
    cases = {}

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it leaves of the image: one pixel shows nothing."""
        size = setting.size if isinstance(self.size, int) else self.size
        yield from one_pixel(self.size, size, setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the sizes before and after."""
        source, resized = seen.values["source"], seen.values["resized"]
        done = f"the whole image, {sides_text(source)}, resized to {sides_text(resized)}"
        kind = seen.values["interpolation"]
        values = {"source": source, "resized": resized, "interpolation": kind}
        return Wording(done + filter_text(kind), values=values)
