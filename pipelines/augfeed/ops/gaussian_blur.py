"""Blur with a Gaussian."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from augfeed.errors import InputError
from augfeed.operation import (
    Column,
    Drawn,
    Effect,
    Flags,
    Interval,
    Neighbourhood,
    Probability,
    SampleValues,
    Setting,
    Sides,
    Uniforms,
    Wording,
    between,
    ends,
    kind,
    operation,
    ordered,
)
from augfeed.operation.effects import clamped, rounded_down
from augfeed.operation.reference import SampleColumns, correlated
from augfeed.operation.words import bounds_text

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_KERNEL = 255
LARGEST_SIGMA = 1000.0
LEAST_SIGMA = 1e-3  # of a smaller one no neighbor has any weight, and float32 may not hold it
WIDTH = 6.0  # sigmas that a Gaussian is wide: beyond them is 0.3 % of it

Odd = Annotated[int, Field(ge=1, le=LARGEST_KERNEL, json_schema_extra={"not": {"multipleOf": 2}})]
Sigma = Annotated[float, Field(gt=0, le=LARGEST_SIGMA)]


@operation
class GaussianBlur(Neighbourhood):
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
    order = 275
    stream = 29
    uniforms = 2
    columns = (
        Column("blur_sigma", np.float32),
        Column("blur_height", np.float32),
        Column("blur_width", np.float32),
    )
    reads = columns
    moves = False
    cases = {
        "blur": "gaussian_blur(5)",
        "blur, some": "gaussian_blur((7, 3), (0.3, 3.0), p=0.5) | "
        "normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        "blur of one pixel": "gaussian_blur(1)",
    }

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
    def sides(self) -> Sides:
        """The taps as (height, width)."""
        size = self.kernel_size
        return (size[1], size[0]) if isinstance(size, tuple) else (size, size)

    @property
    def reach(self) -> int:
        """Half of the longer side of the kernel."""
        return max(self.sides) // 2

    def fitted(self, size: Sides) -> Self:
        """Return it with a kernel that is no longer than twice the image, less one."""
        height, width = (
            min(taps, 2 * side - 1) for taps, side in zip(self.sides, size, strict=True)
        )
        return self if (height, width) == self.sides else replace(self, kernel_size=(width, height))

    def effects(self, setting: Setting) -> Iterator[Effect]:
        """Yield what the blur leaves: a kernel of twice the image makes one color of it."""
        if setting.size is None:
            yield Effect("min_content", "sigma", self.sigma, None, never=self.p == 0)
            return
        low, high = (_left(self.sides, setting.size, sigma) for sigma in ends(self.sigma)[::-1])
        milder = partial(_milder, self.sigma, setting.size)
        yield Effect("min_content", "sigma", self.sigma, low, milder, high, self.p == 0)

    def draw(self, u: Uniforms, applied: Flags, size: Sides) -> Drawn:
        """Return the standard deviations; raise `InputError` for a kernel that does not fit."""
        if self.fitted(size) != self:
            raise InputError(
                f"gaussian_blur(kernel_size={self.kernel_size!r}) does not fit into images of "
                f"{size[0]} x {size[1]} pixels, whose borders reflect less than half of it: "
                f"use a smaller kernel_size, of at most {2 * min(size) - 1}"
            )
        sigma = between(u[1], *ends(self.sigma))
        numbers: tuple[Any, ...] = (np.maximum(sigma, LEAST_SIGMA), *self.sides)
        columns = {column.name: np.where(applied, number, 0.0)
                   for column, number in zip(self.columns, numbers, strict=True)}  # fmt: skip
        return Drawn({"sigma": sigma}, columns)

    @staticmethod
    def taps(*reads: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the halves of Gaussians, cut at the sides of their kernels."""
        sigma, height, width = reads
        sizes = np.stack([height, width], axis=1)
        i = np.arange(int(sizes.max(initial=1)) // 2 + 1)
        weights = np.exp(-(i**2) / (2 * sigma[:, None] ** 2))[:, None]
        weights = np.where(2 * i < sizes[..., None], weights, 0.0)
        weights /= 2 * weights.sum(axis=2, keepdims=True) - 1  # the middle, 1, counts once
        return weights

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return images weighed along their lines, then along their columns."""
        sigma = given.columns["blur_sigma"].astype(np.float64)
        for dim, name in ((3, "blur_width"), (2, "blur_height")):
            values = correlated(values, _kernels(sigma, given.columns[name]), dim)
        return values

    def explain(self, seen: SampleValues) -> Wording:
        """Return sigma and the kernel."""
        law = f"uniform in {bounds_text(self.sigma)}" if isinstance(self.sigma, tuple) else ""
        height, width = self.sides
        return Wording(f"blurred: sigma {seen.values['sigma']:.3g}, kernel {height} x {width}", law)


def _kernels(sigma: NDArray[np.float64], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    # [n, taps], from the first tap to the last; a row of fewer taps has zeros around them.
    most = int(sizes.max())
    at = np.arange(most) - most // 2
    exponents = -((at / (np.sqrt(2.0) * sigma[:, None])) ** 2)
    exponents[np.abs(at) > sizes[:, None] // 2] = -np.inf
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


def _left(sides: Sides, size: Sides, sigma: float) -> float:
    # The share of a side that is wider than the kernel, as for Kornia's blurs.
    shares = [1 - min(taps, WIDTH * sigma) / (2 * side)
              for taps, side in zip(sides, size, strict=True)]  # fmt: skip
    return max(0.0, min(shares))


def _milder(sigma: float | Interval, size: Sides, least: float) -> Any:
    most = rounded_down(2 * min(size) * (1 - least) / WIDTH)
    return clamped(sigma, 0.0, most) if most > 0 else None
