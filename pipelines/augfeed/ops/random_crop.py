"""Cut a window anywhere in the image."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from augfeed.operation import (
    Effect,
    Fill,
    Probability,
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
from augfeed.ops._window import one_pixel, share_kept
from augfeed.philox import Stream


@operation
class RandomCrop(Window):
    """Cut a window of `size` pixels anywhere in the image, padded on each side if asked.

    The position is uniform over all whole-pixel positions in the padded image. A sample that
    does not get the operation (`p`) is cut in the middle. Constant padding is `fill`, in pixel
    space from 0 (black) to 1, for all channels or for each; `"mean"` is that of the policy's
    `normalize`. `reflect` mirrors without repeating the border pixel.
    """

    size: Size
    padding: Annotated[int, Field(ge=0, le=4096, description="pixels added on each side")] = 0
    mode: Annotated[Edge, Field(description="what lies in the padding")] = "constant"
    fill: Fill = 0.0
    p: Probability = 1.0
    op: Literal["random_crop"] = kind("random_crop")
    order = 120
    exclusive = "window"
    stream = Stream.CROP
    uniforms = 4
    moves = True
    cases = {}

    def check_policy(self, policy: object) -> None:
        """Refuse a fill that nothing defines."""
        check_mean(self, policy)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image, and how much padding, the window may show."""
        padding, sides = self.padding if self.p > 0 else 0, pair(self.size)
        yield Effect("min_crop", "size", self.size, share_kept(self.size, padding, setting))
        yield from one_pixel(self.size, sides, setting)
        if padding and self.mode != "reflect":
            left = math.prod(max(side - padding, 0) / side for side in sides)
            yield Effect(
                "min_content", "padding", self.padding, left,
                lambda least: int(min(sides) * (1 - math.sqrt(least))),
            )  # fmt: skip

    def explain(self, seen: SampleValues) -> Wording:
        """Return where it was cut."""
        done, values = cut_at(seen)
        if self.padding:
            done += f" padded by {self.padding} with {fill_text(self.mode, self.fill)}"
        return Wording(done, "any place alike", done, values)


def cut_at(seen: SampleValues) -> tuple[str, dict[str, list[int]]]:
    """Return where a crop lies, in words and as a frame `[top, left, bottom, right]`."""
    (top, left), (height, width) = seen.values["offset"], seen.size
    done = f"cut {sides_text(seen.size)} at ({top}, {left}) of {sides_text(seen.values['resized'])}"
    return done, {"frame": [top, left, top + height, left + width]}
