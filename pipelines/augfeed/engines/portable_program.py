"""Programs for the portable engine: one step after another, as each one's own definition says."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augfeed.constants import LUMA
from augfeed.operation import Frame
from augfeed.operation.program import Candidate
from augfeed.operation.reference import Given, weighted
from augfeed.ops._steps import MATRIX
from augfeed.plan import Plan, Program
from augfeed.plan.program import columns_of

Warp = Callable[[Tensor, NDArray[np.float32], NDArray[np.int64]], Tensor]


def programmed(plan: Plan, frames: Tensor, warp: Warp) -> Tensor:
    """Return frames float32 `[M, C, H, W]` in [0, 1] after the programs of a plan.

    `warp` samples frames where inverse maps `[n, 3, 3]` say, by the filters of their rows. Frames
    with a program are rounded to 256 levels before it, and after each step.
    """
    program = plan.program
    made = np.flatnonzero(program.framed) if program is not None else np.empty(0, np.int64)
    if program is None or not len(made):
        return frames
    frames = frames.clone()
    rows = _indices(made, frames)
    frames[rows] = _mirrored(_rounded(frames[rows]), program.flips[made])
    for slot in range(program.code.shape[1]):
        matrices = np.flatnonzero(program.code[:, slot] == MATRIX)
        if len(matrices):
            rows = _indices(matrices, frames)
            inverse = program.value[matrices, slot, :9].reshape(-1, 3, 3)
            frames[rows] = _rounded(warp(frames[rows], inverse, matrices))
        here = np.where(program.code[:, slot] == MATRIX, 0, program.slots.leaf[:, slot])
        here = np.where(program.code[:, slot] == 0, 0, here)
        for number in np.unique(here[here > 0]):
            which = np.flatnonzero(here == number)
            rows = _indices(which, frames)
            frames[rows] = _rounded(_changed(program, int(number), slot, which, frames[rows]))
    return frames


def _changed(
    program: Program, number: int, slot: int, rows: NDArray[np.int64], values: Tensor
) -> Tensor:
    size = (values.shape[2], values.shape[3])
    leaf, drawn = program.leaves[number - 1], program.made[number - 1]
    columns: dict[str, Any]
    if isinstance(leaf, Candidate):
        step: Any = leaf.step
        numbers = leaf.numbers(program.slots.magnitude[rows, slot], size)
        columns = columns_of(step, np.asarray(numbers, np.float64))
        if not issubclass(step, Frame):  # whose definition needs no operation
            step = SimpleNamespace(reference=partial(step.reference, None))
    else:
        assert drawn is not None
        step = leaf
        columns = {name: column[rows] for name, column in drawn.columns.items()}
    made: Tensor = step.reference(values, Given(columns, _means(values), whole=True))
    return made


def _means(values: Tensor) -> Tensor:
    # Mean grays [n, 1, 1, 1] of frames of whole levels: exact sums.
    sums = (values * 255.0).round().to(torch.int64).sum(dim=(2, 3), keepdim=True)
    means = sums.to(torch.float32) / (255.0 * values.shape[2] * values.shape[3])
    return means if values.shape[1] == 1 else weighted(means, LUMA)


def _mirrored(values: Tensor, flips: NDArray[np.bool_]) -> Tensor:
    for axis, dim in ((0, 3), (1, 2)):
        rows = _indices(np.flatnonzero(flips[:, axis]), values)
        values[rows] = values[rows].flip(dim)
    return values


def _rounded(values: Tensor) -> Tensor:
    return (values.nan_to_num(0.0).clamp(0.0, 1.0) * 255.0).round() / 255.0


def _indices(numbers: NDArray[np.int64], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(like.device)
