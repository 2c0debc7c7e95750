"""Operations on a whole frame: what a window has cut, before anything moves its pixels.

They need statistics of the image, or the neighbors of a pixel, so that they cannot be part of the
one pass.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from augfeed.policy.base import Interval, Probability, kind, operation, ordered
from augfeed.policy.effects import Effect, Setting, clamped, rounded_down

LARGEST_KERNEL = 255
LARGEST_SIGMA = 1000.0
REACH = 6.0  # sigmas that a Gaussian is wide: beyond them is 0.3 % of it

Odd = Annotated[int, Field(ge=1, le=LARGEST_KERNEL)]
Sigma = Annotated[float, Field(gt=0, le=LARGEST_SIGMA)]


@operation
class Equalize:
    """Spread the values of each channel so that each level, of 256, is about as frequent.

    The law of Pillow's `ImageOps.equalize` and of torchvision's `RandomEqualize`, exactly: with
    `h` the histogram of the channel, `step = (sum(h) - h[highest level that occurs]) // 255`, and
    level `k` becomes `min(255, (sum(h[:k]) + step // 2) // step)`. A channel stays as it is where
    `step` is 0: one of a single level, or of fewer than 256 pixels. Float images are counted, and
    looked up, at their nearest level; the values that come out are multiples of 1 / 255. The
    histogram is that of the image after cropping, padding and resizing, before any geometry.
    """

    p: Probability = 0.5
    op: Literal["equalize"] = kind("equalize")
    moves = False

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield nothing: brighter pixels stay brighter, and shapes what they are."""
        yield from ()


@operation
class GaussianBlur:
    """Blur with a Gaussian of `kernel_size` taps, whose `sigma` each sample draws uniformly.

    torchvision's `GaussianBlur`: `kernel_size` is an odd number of pixels, or (width, height) as
    there; weights `exp(-i**2 / (2 sigma**2))` are normalized to a sum of 1; borders reflect without
    repeating the edge, so half of the kernel must be smaller than the image; uint8 images are
    rounded to whole levels, halves to even. SimCLR (2002.05709) takes a tenth of the image's side
    and p = 0.5. The image is that after cropping, padding and resizing, before any geometry.
    """

    kernel_size: Annotated[
        Odd | tuple[Odd, Odd],
        Field(description="taps, odd: a number for both directions, or (width, height)"),
    ]
    sigma: Annotated[
        Sigma | tuple[Sigma, Sigma],
        Field(description="standard deviation in pixels, or (lowest, highest)"),
    ] = (0.1, 2.0)
    p: Probability = 1.0
    op: Literal["gaussian_blur"] = kind("gaussian_blur")
    moves = False

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        for side in value if isinstance(value, tuple) else (value,):
            if side % 2 == 0:
                raise ValueError(
                    f"kernel_size={value!r} has no pixel in its middle: use odd numbers, "
                    f"as {side - 1} or {side + 1}"
                )
        return value

    @field_validator("sigma")
    @classmethod
    def _sigma(cls, value: float | Interval) -> float | Interval:
        ordered(value if isinstance(value, tuple) else (value, value), "sigma", 0, LARGEST_SIGMA)
        return value

    @property
    def sides(self) -> tuple[int, int]:
        """The taps as (height, width)."""
        size = self.kernel_size
        return (size[1], size[0]) if isinstance(size, tuple) else (size, size)

    @property
    def bounds(self) -> Interval:
        """The lowest and the highest sigma."""
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the blur leaves: a kernel of twice the image makes one color of it."""
        if setting.size is None:
            yield Effect("min_content", "sigma", self.sigma, None, never=self.p == 0)
            return
        low, high = (_left(self.sides, setting.size, sigma) for sigma in self.bounds[::-1])
        milder = partial(_milder, self.sigma, setting.size)
        yield Effect("min_content", "sigma", self.sigma, low, milder, high, self.p == 0)


def _left(sides: tuple[int, int], size: tuple[int, int], sigma: float) -> float:
    # The share of a side that is wider than the kernel; see Kornia's blurs in `policy.foreign`.
    shares = [1 - min(taps, REACH * sigma) / (2 * side)
              for taps, side in zip(sides, size, strict=True)]  # fmt: skip
    return max(0.0, min(shares))


def _milder(sigma: float | Interval, size: tuple[int, int], least: float) -> Any:
    most = rounded_down(2 * min(size) * (1 - least) / REACH)
    return clamped(sigma, 0.0, most) if most > 0 else None
