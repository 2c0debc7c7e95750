"""Pillow's ImageEnhance as steps of programs, on whole levels: a factor of 1 changes nothing.

What is blended is `degenerate + factor * (value - degenerate)` in float32, cut off to a level as
Pillow does. None of them is an operation of its own: `color_jitter` is, on values that are not
rounded.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from augfeed.constants import HUES_BELOW
from augfeed.operation import Column, Statistics
from augfeed.operation.kinds import Frame
from augfeed.operation.levels import real, saturated
from augfeed.operation.reference import SampleColumns

if TYPE_CHECKING:
    from torch import Tensor

GRAY = (19595, 38470, 7471)  # of red, green and blue, of 65536
FACTOR = (Column("factor", np.float32, neutral=1),)


class Brightness(Statistics):
    """Blend with black."""

    reads = FACTOR

    @staticmethod
    def table(counts: Any, level: Any, factor: Any) -> Any:
        """Return levels times the factor."""
        return saturated(factor * real(level))

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return levels times the factor."""
        return _cut(given.column("factor") * _levels(values))


class Contrast(Statistics):
    """Blend with the mean gray of the frame, as the nearest level.

    Pillow rounds the gray of each pixel first, which seldom moves the mean to another level.
    """

    reads = FACTOR
    needs_gray = True

    @staticmethod
    def table(counts: Any, level: Any, gray: Any, factor: Any) -> Any:
        """Return levels at a factor of their distance from the mean gray."""
        return saturated(gray + factor * (real(level) - gray))

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return values at a factor of their distance from the mean gray."""
        levels = _levels(values)
        whole = 2 * values.shape[2] * values.shape[3] * sum(GRAY)
        sums = _weighted(levels.long().sum(dim=(2, 3), keepdim=True))
        mean = ((2 * sums + whole // 2) // whole).to(values.dtype)
        return _cut(mean + given.column("factor") * (levels - mean))


class Color(Frame):
    """Blend with the gray of each pixel; images of one channel stay as they are."""

    reads = FACTOR
    rgb = True

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return values at a factor of their distance from their gray."""
        if values.shape[1] != 3:
            return values
        levels = _levels(values)
        gray = ((_weighted(levels.long()) + sum(GRAY) // 2) // sum(GRAY)).to(values.dtype)
        return _cut(gray + given.column("factor") * (levels - gray))


class Hue(Frame):
    """Add to the hue of HSV, of which Pillow has 256; images of one channel stay as they are."""

    reads = (Column("turn", np.float32),)
    rgb = True

    @staticmethod
    def reference(values: "Tensor", given: SampleColumns) -> "Tensor":
        """Return values after Pillow's way to HSV and back, in whole numbers."""
        import torch

        if values.shape[1] != 3:
            return values
        red, green, blue = levels = _levels(values).long().unbind(dim=1)
        most, least = torch.stack(levels).amax(dim=0), torch.stack(levels).amin(dim=0)
        spread = most - least
        six = (6 * spread).clamp(min=1)
        way = torch.where(green == most, 2 * spread + blue - red, 4 * spread + red - green)
        way = 255 * torch.where(red == most, (green - blue) % six, way)
        hue = torch.div(way, six, rounding_mode="floor")
        below = torch.tensor(HUES_BELOW, device=values.device)[hue]
        hue = hue - (below & (hue * six == way)).long()
        hue = (hue + given.column("turn").long().squeeze(1)) % 256
        share = torch.div(255 * spread, most.clamp(min=1), rounding_mode="floor")
        # How far the hue is from that of each channel, on a circle of 1530.
        turns = [(6 * hue + shift) % 1530 - 765 for shift in (765, 255, 1275)]
        made = []
        for turn in turns:
            away = (turn.abs() - 255).clamp(0, 255)
            made.append((2 * most * (65025 - share * away) + 65025) // 130050)
        changed = torch.stack(made, dim=1).to(values.dtype) / 255.0
        return torch.where((spread == 0).unsqueeze(1), values, changed)


STEPS: tuple[type[Frame], ...] = (Brightness, Contrast, Color, Hue)


def _levels(values: "Tensor") -> "Tensor":
    return (values * 255.0).round()


def _weighted(whole: "Tensor") -> "Tensor":
    # Sums of the channels by their weights, in units of 1 / 65536; one channel is its own gray.
    if whole.shape[1] != 3:
        return whole * sum(GRAY)
    red, green, blue = whole.unbind(dim=1)
    made: Tensor = (red * GRAY[0] + green * GRAY[1] + blue * GRAY[2]).unsqueeze(1)
    return made


def _cut(levels: "Tensor") -> "Tensor":
    return levels.clamp(0.0, 255.0).floor() / 255.0
