"""3-Augment of DeiT III."""

from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from augfeed.operation import ARXIV, Probability, Program, kind, operation
from augfeed.operation.program import Choice, Node, Op, Series
from augfeed.ops._auto_steps import BLUR_TAPS
from augfeed.ops.color_jitter import ColorJitter
from augfeed.ops.gaussian_blur import GaussianBlur
from augfeed.ops.grayscale import Grayscale
from augfeed.ops.solarize import Solarize


@operation
class ThreeAugment(Program):
    """Give a sample one of gray, solarize and blur, each as often, and then color jitter.

    DeiT III (2204.07118): solarize inverts values from 128 of 255 on; the blur is Gaussian, sigma
    uniform in 0.1 to 2 pixels, where the paper's is Pillow's box blur, which comes near it; the
    jitter changes brightness, contrast and saturation, in this order, each by a factor within
    1 -/+ `jitter`, where torchvision draws the order. Flip and crop are operations of their own.
    """

    jitter: Annotated[
        float, Field(ge=0, le=1, description="how far factors of the jitter may be from 1")
    ] = 0.3
    p: Probability = 1.0
    op: Literal["three_augment"] = kind("three_augment")
    order = 299
    source = f"{ARXIV}2204.07118"
    cases = {"three augment": "three_augment | horizontal_flip"}

    def tree(self) -> Node:
        """Return the choice, and the jitter."""
        return _tree(self.jitter, self.p)


@cache
def _tree(jitter: float, p: float) -> Node:
    blur = GaussianBlur(BLUR_TAPS, (0.1, 2.0), p=1.0)
    one = Choice((Op(Grayscale(p=1.0)), Op(Solarize(0.5, p=1.0)), Op(blur)))
    # p is said, so that it does not depend on a default of the jitter.
    return Series((one, Op(ColorJitter(jitter, jitter, jitter, p=1.0))), p)
