"""Steps on frames for the portable engine, as each operation's own definition says."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augfeed.operation.reference import SampleColumns
from augfeed.plan import Plan
from augfeed.plan.frames import FRAMES


def changed_frames(plan: Plan, frames: Tensor, *, quantized: bool) -> Tensor:
    """Return frames float32 `[M, C, H, W]` in [0, 1] after the steps of a plan.

    `quantized`: the images are uint8, so that each step ends with a rounding to 256 levels.
    """
    steps = plan.frames
    made = np.flatnonzero(steps.made)
    if not len(made):
        return frames
    # The fill of a padding need not be a whole level, so that frames are rounded before, too.
    rounded = _rounded if quantized else _kept
    frames, rows = frames.clone(), _indices(made, frames.device)
    frames[rows] = rounded(frames[rows])
    for slot in range(steps.codes.shape[1]):
        for code, cls in FRAMES.items():
            wanted = np.flatnonzero(steps.codes[:, slot] == code)
            if len(wanted):
                rows = _indices(wanted, frames.device)
                names = (column.name for column in cls.read_columns())
                columns = dict(zip(names, steps.numbers[wanted, slot].T, strict=False))
                mean = torch.zeros((len(wanted), 1, 1, 1), device=frames.device)
                given = SampleColumns(columns, mean, quantized)
                frames[rows] = rounded(cls.reference(frames[rows], given))
    return frames


def _rounded(values: Tensor) -> Tensor:
    return (values * 255.0).round() / 255.0


def _kept(values: Tensor) -> Tensor:
    return values


def _indices(numbers: NDArray[np.int64], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(device)
