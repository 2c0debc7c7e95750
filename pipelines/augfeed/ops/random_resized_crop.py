"""Cut a window of random area and aspect and resize it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from augfeed.operation import (
    ARXIV,
    TRIES,
    Areas,
    Aspects,
    Effect,
    Interpolation,
    Interval,
    Probability,
    SampleValues,
    Setting,
    Size,
    Window,
    Wording,
    kind,
    operation,
    ordered,
    pair,
)
from augfeed.operation.effects import content
from augfeed.operation.words import filter_text, sides_text
from augfeed.ops._window import one_pixel
from augfeed.ops.resize import Resize
from augfeed.philox import Stream


@operation
class RandomResizedCrop(Window):
    """Cut a window of random area and aspect and resize it to `size` (Inception; 1409.4842).

    Area share uniform in `scale`, aspect ratio (width / height) log-uniform in `ratio`, position
    uniform; ten tries, then the largest centered window within `ratio`. A sample that does not get
    the operation (`p`) is resized whole. The window is cut first and resized with antialiasing,
    by the filter that `resize` describes.
    """

    size: Size
    scale: Annotated[Areas, Field(description="(lowest, highest) share of the area")] = (
        0.08,
        1.0,
    )
    ratio: Annotated[Aspects, Field(description="(lowest, highest) width / height")] = (
        3 / 4,
        4 / 3,
    )
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    later = ("interpolation",)
    op: Literal["random_resized_crop"] = kind("random_resized_crop")
    order = 110
    exclusive = "window"
    stream = Stream.CROP
    uniforms = 4 * (TRIES + 1)
    moves = True
    source = f"{ARXIV}1409.4842"
    cases = {}

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: Interval) -> Interval:
        return ordered(value, "scale", 1e-6, 1.0)

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, value: Interval) -> Interval:
        return ordered(value, "ratio", 0.01, 100.0)

    def check_policy(self, policy: object) -> None:
        """Refuse a resize beside it."""
        if any(isinstance(item, Resize) for item in getattr(policy, "operations", ())):
            raise ValueError(
                "'resize' before 'random_resized_crop' would resize twice: remove 'resize'"
            )

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image the window may show."""
        low, high = self.scale

        def passing(least: float) -> Areas:
            return max(low, least), max(high, least)

        yield Effect("min_crop", "scale", self.scale, low, passing, never=self.p == 0)
        yield content("scale", self.scale, self.scale, float, passing, p=self.p)
        yield from one_pixel(self.size, pair(self.size), setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the box that was cut, and its size afterwards."""
        source, resized = seen.values["source"], sides_text(seen.values["resized"])
        kind = seen.values["interpolation"]
        resized += filter_text(kind)
        top, left, bottom, right = box = seen.values["box"]
        height, width = bottom - top, right - left
        share = height * width / (source[0] * source[1])
        whole = f"the whole {sides_text(source)}, resized to {resized}"
        done = (f"cut {height} x {width} at ({top}, {left}) of {sides_text(source)}, "
                f"{share:.1%} of the area, resized to {resized}")  # fmt: skip
        area, ratio = ("[{:g}, {:.4g}]".format(*bounds) for bounds in (self.scale, self.ratio))
        law = f"area share uniform in {area}, width / height log-uniform in {ratio}"
        values = {"source": source, "box": box, "share": share, "resized": seen.values["resized"],
                  "interpolation": kind}  # fmt: skip
        return Wording(done, law, whole, values)
