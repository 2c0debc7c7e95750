"""Cut a window that holds all boxes."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from augfeed.operation import (
    Effect,
    Interpolation,
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
from augfeed.ops._window import one_pixel, refuse_resize
from augfeed.ops.random_iou_crop import cut_by_boxes
from augfeed.philox import Stream


@operation
class BboxSafeCrop(Window):
    """Cut a window that holds all boxes of a sample, and resize it to `size`.

    Each side of the window lies anywhere between the hull of the boxes and the border of the image,
    uniformly, rounded outward to whole pixels. Boxes may be shrunk toward their centers by
    `erosion`, as a share of each side at each end, before their hull is taken. A sample that does
    not get it (`p`), or has no boxes, is resized whole. It is the law of Albumentations'
    `RandomSizedBBoxSafeCrop`.
    """

    size: Size
    erosion: Annotated[
        float, Field(ge=0, le=0.5, description="share of each box that may be cut off at each side")
    ] = 0.0
    p: Probability = 1.0
    interpolation: Interpolation = "bilinear"
    op: Literal["bbox_safe_crop"] = kind("bbox_safe_crop")
    order = 160
    exclusive = "window"
    stream = Stream.CROP
    uniforms = 8
    moves = True
    by_boxes = True
    harmless = "all boxes stay"
    source = "https://albumentations.ai/docs/api-reference/augmentations/crops/"
    cases = {}

    def check_policy(self, policy: object) -> None:
        """Refuse a resize beside it."""
        refuse_resize(self.op, policy)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what it leaves of the image: one pixel shows nothing."""
        yield from one_pixel(self.size, pair(self.size), setting)

    def explain(self, seen: SampleValues) -> Wording:
        """Return the window that was cut, and its size afterwards."""
        return cut_by_boxes(seen, "around all boxes, each side anywhere")
