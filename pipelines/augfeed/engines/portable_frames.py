"""Steps on frames for the portable engine, by formulas of their own: what the compiled engines'
frames are held against.

Blurs are sums of shifted images, one tap after another, not convolutions: those of a library add in
an order that depends on the batch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augfeed.plan import Plan
from augfeed.plan.frames import FrameCode

LEVELS = 256


def changed_frames(plan: Plan, frames: Tensor, *, whole: bool) -> Tensor:
    """Return frames float32 `[M, C, H, W]` in [0, 1] after the steps of a plan.

    `whole`: the images are uint8, so that each step ends with a rounding to 256 levels.
    """
    steps = plan.frames
    made = np.flatnonzero(steps.made)
    if not len(made):
        return frames
    # The fill of a padding need not be a whole level, so that frames are rounded before, too.
    rounded = _rounded if whole else _kept
    frames, rows = frames.clone(), _indices(made, frames.device)
    frames[rows] = rounded(frames[rows])
    for slot in range(steps.codes.shape[1]):
        for code, change in ((FrameCode.EQUALIZE, _equalized), (FrameCode.GAUSSIAN_BLUR, _blurred)):
            wanted = np.flatnonzero(steps.codes[:, slot] == code)
            if len(wanted):
                rows = _indices(wanted, frames.device)
                frames[rows] = rounded(change(frames[rows], steps.numbers[wanted, slot]))
    return frames


def _rounded(values: Tensor) -> Tensor:
    return (values * 255.0).round() / 255.0


def _kept(values: Tensor) -> Tensor:
    return values


def _equalized(values: Tensor, _: NDArray[np.float32]) -> Tensor:
    # As torchvision writes it: a histogram and a table for each plane.
    count, channels, height, width = values.shape
    planes = count * channels
    levels = (values * 255.0 + 0.5).floor().nan_to_num(0.0).clamp(0.0, 255.0).to(torch.int64)
    levels = levels.view(planes, height * width)
    histogram = torch.zeros((planes, LEVELS), dtype=torch.int64, device=values.device)
    histogram.scatter_add_(1, levels, torch.ones_like(levels))
    highest = levels.max(dim=1, keepdim=True).values
    step = (height * width - histogram.gather(1, highest)) // 255
    below = histogram.cumsum(dim=1) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    made = table.gather(1, levels).to(torch.float32) / 255.0
    return torch.where(step == 0, values.view(planes, -1), made).view(values.shape)


def _blurred(values: Tensor, numbers: NDArray[np.float32]) -> Tensor:
    for dim, sizes in ((3, numbers[:, 2]), (2, numbers[:, 1])):
        values = _weighed(values, _kernels(numbers[:, 0], sizes), dim)
    return values


def _kernels(sigma: NDArray[np.float32], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    # [n, taps], from the first tap to the last; a row of fewer taps has zeros around them.
    most = int(sizes.max())
    at = np.arange(most) - most // 2
    exponents = -((at / (np.sqrt(2.0) * sigma[:, None].astype(np.float64))) ** 2)
    exponents[np.abs(at) > sizes[:, None] // 2] = -np.inf
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


def _weighed(values: Tensor, kernels: NDArray[np.float32], dim: int) -> Tensor:
    length, reach = values.shape[dim], kernels.shape[1] // 2
    at = np.arange(-reach, length + reach)
    if length > 1:  # beyond an edge lies the reflection, without the edge itself
        at = np.abs(at)
        at = length - 1 - np.abs(length - 1 - at)
    at = np.clip(at, 0, length - 1)
    wide = values.index_select(dim, _indices(at, values.device))
    weights = torch.from_numpy(kernels).to(values.device)
    total = torch.zeros_like(values)
    for k in range(kernels.shape[1]):
        total = total + weights[:, k].view(-1, 1, 1, 1) * wide.narrow(dim, k, length)
    return total


def _indices(numbers: NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(device)
