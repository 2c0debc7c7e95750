"""Programs for the portable engine: one step after another, as each one's own definition says."""

from collections.abc import Callable
from dataclasses import dataclass
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
from augfeed.operation.reference import SampleColumns, weighted
from augfeed.ops import _chains
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
    mixture = _Mixture.of(program, frames)
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
            if mixture is not None and mixture.takes(program.leaves[number - 1]):
                numbers = program.value[which, slot]
                leaf = program.leaves[number - 1]
                frames[rows] = mixture.step(leaf, rows, numbers, frames[rows])
                continue
            frames[rows] = _rounded(_changed(program, int(number), slot, which, frames[rows]))
    return frames


@dataclass(frozen=True, slots=True)
class _Mixture:
    """The images that chains start from, and their sums: levels, float32 `[M, C, H, W]`."""

    images: Tensor
    sums: Tensor

    @classmethod
    def of(cls, program: Program, frames: Tensor) -> "_Mixture | None":
        """Return memory for the chains of a program, None where it has none."""
        if not any(map(cls.takes, program.leaves)):
            return None
        return cls(torch.zeros_like(frames), torch.zeros_like(frames))

    @staticmethod
    def takes(leaf: Any) -> bool:
        """Return whether a step of a program is one that mixes chains."""
        return isinstance(leaf, Candidate) and leaf.step in _chains.STEPS

    def step(
        self, leaf: Candidate, rows: Tensor, numbers: NDArray[np.float32], values: Tensor
    ) -> Tensor:
        """Return rows of frames after a step; `numbers` `[n, P]` are what it reads."""
        read = torch.from_numpy(numbers[:, :3].copy()).to(values.device)[:, :, None, None, None]
        levels = (values * 255.0).round()
        if leaf.step is _chains.Keep:
            self.images[rows], self.sums[rows] = levels, read[:, 0] * levels
            return values
        if leaf.step is _chains.Add:
            sums = read[:, 0] * self.sums[rows] + read[:, 1] * levels
            self.sums[rows] = torch.where(read[:, 2] != 0, sums.floor(), sums)
            return self.images[rows] / 255.0
        images, sums = self.images[rows], self.sums[rows].floor()
        return (images + read[:, 0] * (sums - images)).floor() / 255.0


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
    made: Tensor = step.reference(values, SampleColumns(columns, _means(values), quantized=True))
    return made


def _means(values: Tensor) -> Tensor:
    # Mean grays [n, 1, 1, 1], or [n, C, 1, 1], of frames of whole levels: exact sums.
    sums = (values * 255.0).round().to(torch.int64).sum(dim=(2, 3), keepdim=True)
    means = sums.to(torch.float32) / (255.0 * values.shape[2] * values.shape[3])
    return weighted(means, LUMA) if values.shape[1] == 3 else means


def _mirrored(values: Tensor, flips: NDArray[np.bool_]) -> Tensor:
    for axis, dim in ((0, 3), (1, 2)):
        rows = _indices(np.flatnonzero(flips[:, axis]), values)
        values[rows] = values[rows].flip(dim)
    return values


def _rounded(values: Tensor) -> Tensor:
    return (values.nan_to_num(0.0).clamp(0.0, 1.0) * 255.0).round() / 255.0


def _indices(numbers: NDArray[np.int64], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(like.device)
