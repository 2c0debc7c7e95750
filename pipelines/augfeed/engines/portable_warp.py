"""Geometry of the portable engine: pixels from where matrices say, by one of three filters."""

from typing import Any

import numpy as np
import torch
from kornia.geometry import create_meshgrid
from kornia.geometry.transform import remap
from numpy.typing import NDArray
from torch import Tensor

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT, EDGE, WARP_CUBIC
from augfeed.plan.fixed import Fixed

FAR = 2.0**20  # coordinates beyond it are held, so that they fit an integer


def warped(
    frames: Tensor, inverse: NDArray[np.float32], filters: NDArray[np.int32], fixed: Fixed
) -> Tensor:
    """Return frames `[n, C, H, W]`, each by its matrix `[n, 3, 3]` and filter `[n]`."""
    if len(kinds := np.unique(filters)) == 1:
        make = _bilinear if kinds[0] == BILINEAR else _bicubic if kinds[0] == BICUBIC else _nearest
        return make(frames, _places(frames, inverse), fixed)
    made = torch.empty_like(frames)
    for kind in kinds:
        rows = np.flatnonzero(filters == kind)
        where = torch.from_numpy(rows).to(frames.device)
        made[where] = warped(frames[where], inverse[rows], filters[rows], fixed)
    return made


def _places(frames: Tensor, inverse: NDArray[np.float32]) -> tuple[Tensor, Tensor, Tensor]:
    height, width = frames.shape[2:]
    grid = create_meshgrid(height, width, False, frames.device, torch.float32)
    x, y = grid[..., 0], grid[..., 1]
    matrix = _tensor(inverse, frames.device)[..., None, None]
    at_x, at_y, at_z = (
        matrix[:, k, 0] * x + matrix[:, k, 1] * y + matrix[:, k, 2] for k in range(3)
    )
    return at_x, at_y, at_z


def _bilinear(frames: Tensor, places: tuple[Tensor, Tensor, Tensor], fixed: Fixed) -> Tensor:
    height, width = frames.shape[2:]
    at_x, at_y, at_z = places
    at_x = _within(at_x / at_z, width, fixed.border_mode)
    at_y = _within(at_y / at_z, height, fixed.border_mode)
    if fixed.border_mode == CONSTANT:
        # A ring of the fill: beyond it nothing but the fill has weight, so `_within` stops there.
        frames = _ringed(frames, fixed)
        at_x, at_y = at_x + 1.0, at_y + 1.0
    # Coordinates lie inside already; "reflection" for those that rounding moves out, because some
    # devices have no "border" (Apple's before torch 2.13).
    return remap(frames, at_x, at_y, padding_mode="reflection", align_corners=True)


def _ringed(frames: Tensor, fixed: Fixed) -> Tensor:
    count, channels, height, width = frames.shape
    fill = _tensor(fixed.border_fill.astype(np.float32), frames.device).view(1, -1, 1, 1)
    made = fill.expand(count, channels, height + 2, width + 2).contiguous()
    made[:, :, 1:-1, 1:-1] = frames
    return made


def _nearest(frames: Tensor, places: tuple[Tensor, Tensor, Tensor], fixed: Fixed) -> Tensor:
    x, y = _held(places)
    return _at(frames, (x + 0.5).floor(), (y + 0.5).floor(), fixed)


def _bicubic(frames: Tensor, places: tuple[Tensor, Tensor, Tensor], fixed: Fixed) -> Tensor:
    x, y = _held(places)
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


def _held(places: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    at_x, at_y, at_z = places
    at_z = torch.where(at_z == 0, 1e-30, at_z)  # the horizon of a perspective: far outside
    return (at_x / at_z).clamp(-FAR, FAR), (at_y / at_z).clamp(-FAR, FAR)


def _at(frames: Tensor, x: Tensor, y: Tensor, fixed: Fixed) -> Tensor:
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


def _within(at: Tensor, length: int, mode: int) -> Tensor:
    # The coordinate that reads the same value by the border rule, at most one pixel outside. NaN,
    # at the horizon of a perspective, reads the first pixel.
    if mode == CONSTANT:
        return at.nan_to_num(nan=-1.0).clamp(-1.0, length)
    if mode != EDGE and length > 1:
        period = 2.0 * (length - 1)
        at = at - (at / period).floor() * period
        at = torch.minimum(at, period - at)
    return at.nan_to_num().clamp(0.0, length - 1.0)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
