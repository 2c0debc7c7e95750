"""Pixels from where matrices say, for the portable engine: the nearest ones, or 16 of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augfeed.constants import CONSTANT, EDGE, WARP_CUBIC
from augfeed.plan.policy_constants import PolicyConstants

Places = tuple[Tensor, Tensor, Tensor]  # x, y and z of a homogeneous coordinate
FAR = 2.0**20  # coordinates beyond it are held, so that they fit an integer


def ringed(frames: Tensor, fixed: PolicyConstants) -> Tensor:
    """Return frames with a ring of the border's fill around them."""
    count, channels, height, width = frames.shape
    fill = _tensor(fixed.border_fill.astype(np.float32), frames.device).view(1, -1, 1, 1)
    made = fill.expand(count, channels, height + 2, width + 2).contiguous()
    made[:, :, 1:-1, 1:-1] = frames
    return made


def nearest(frames: Tensor, places: Places, fixed: PolicyConstants) -> Tensor:
    """Return the pixels nearest to places, by the border rule."""
    x, y = _divided(places)
    return _at(frames, (x + 0.5).floor(), (y + 0.5).floor(), fixed)


def bicubic(frames: Tensor, places: Places, fixed: PolicyConstants) -> Tensor:
    """Return pixels made of the 16 about each place, by the border rule."""
    x, y = _divided(places)
    left, top = x.floor(), y.floor()
    across, down = _cubic((x - left).unsqueeze(1)), _cubic((y - top).unsqueeze(1))
    total = torch.zeros_like(frames)
    for j in range(4):
        line = torch.zeros_like(frames)
        for i in range(4):
            line = line + across[i] * _at(frames, left + (i - 1), top + (j - 1), fixed)
        total = total + down[j] * line
    return total.clamp(0.0, 1.0)


def _cubic(t: Tensor) -> list[Tensor]:
    # Keys's cubic convolution at the distances of four neighbors.
    a = WARP_CUBIC

    def near(d: Tensor) -> Tensor:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1

    def far(d: Tensor) -> Tensor:
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def _divided(places: Places) -> tuple[Tensor, Tensor]:
    at_x, at_y, at_z = places
    at_z = torch.where(at_z == 0, 1e-30, at_z)  # the horizon of a perspective: far outside
    return (at_x / at_z).clamp(-FAR, FAR), (at_y / at_z).clamp(-FAR, FAR)


def _at(frames: Tensor, x: Tensor, y: Tensor, fixed: PolicyConstants) -> Tensor:
    # The pixels at whole coordinates `[n, H, W]`, by the border rule.
    count, channels, height, width = frames.shape
    column, row = x.to(torch.int64), y.to(torch.int64)
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    mode = fixed.border_mode
    index = _folded(row, height, mode) * width + _folded(column, width, mode)
    flat = index.reshape(count, 1, -1).expand(-1, channels, -1)
    found = frames.flatten(2).gather(2, flat).view_as(frames)
    if mode != CONSTANT:
        return found
    fill = _tensor(fixed.border_fill.astype(np.float32), frames.device).view(1, -1, 1, 1)
    return torch.where(outside.unsqueeze(1), fill, found)


def _folded(index: Tensor, length: int, mode: int) -> Tensor:
    if mode in (CONSTANT, EDGE) or length == 1:
        return index.clamp(0, length - 1)
    around = index.remainder(2 * (length - 1))
    return torch.minimum(around, 2 * (length - 1) - around)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
