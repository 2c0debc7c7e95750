"""Cut a window that overlaps a box by a drawn share."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from augfeed.operation import (
    ARXIV,
    Areas,
    Aspects,
    Effect,
    Interpolation,
    Interval,
    Probability,
    SampleValues,
    Setting,
    Size,
    Unit,
    Window,
    Wording,
    kind,
    operation,
    ordered,
    pair,
)
from augfeed.operation.words import bounds_text, filter_text, sides_text
from augfeed.ops._window import one_pixel, refuse_resize
from augfeed.philox import Stream

OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@operation
class RandomIouCrop(Window):
    """Cut a window by the boxes of a sample, as SSD does (1512.02325), and resize it to `size`.

    A least overlap is drawn from `overlaps`; 1 or more is the whole image. Then 40 windows are
    drawn, with sides uniform in `scale` and width / height within `ratio`, until one holds the
    center of a box and overlaps such a box by that much (area of both over that of either); else
    another overlap is drawn. Boxes whose centers lie outside the window are dropped. It is the law
    of torchvision's `RandomIoUCrop`; each redraw has keys of its own. A sample that does not get it
    (`p`), or has no boxes, is resized whole.
    """

    size: Size
    scale: Annotated[Areas, Field(description="(lowest, highest) share of each side")] = (0.3, 1.0)
    ratio: Annotated[Aspects, Field(description="(lowest, highest) width / height")] = (0.5, 2.0)
    overlaps: Annotated[
        tuple[Unit, ...],
        Field(min_length=1, max_length=64, description="least overlaps, one of which is drawn"),
    ] = OVERLAPS
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    op: Literal["random_iou_crop"] = kind("random_iou_crop")
    order = 150
    exclusive = "window"
    stream = Stream.CROP
    uniforms = 4
    moves = True
    by_boxes = True
    source = f"{ARXIV}1512.02325"
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
        refuse_resize(self.op, policy)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield how little of the image the window may show."""
        yield Effect("min_crop", "scale", self.scale, self.scale[0] ** 2, never=self.p == 0)
        yield from one_pixel(self.size, pair(self.size), setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the window that was cut, and its size afterwards."""
        law = f"sides in {bounds_text(self.scale)}, least overlap of {list(self.overlaps)}"
        return cut_by_boxes(seen, law)


def cut_by_boxes(seen: SampleValues, law: str) -> Wording:
    """Return the window that was cut, and its size afterwards, in words."""
    source, resized = seen.values["source"], sides_text(seen.values["resized"])
    resized += filter_text(seen.values["interpolation"])
    top, left, bottom, right = box = seen.values["box"]
    done = f"cut {bottom - top} x {right - left} at ({top}, {left}) of {sides_text(source)}, "
    whole = f"the whole {sides_text(source)}, resized to {resized}"
    values = {"source": source, "box": box, "resized": seen.values["resized"]}
    return Wording(f"{done}resized to {resized}", law, whole, values)
