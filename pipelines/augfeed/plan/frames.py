"""Steps on frames: a short program for each row, carried out before the one pass reads it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.operation import Frame, Neighbourhood, Statistics
from augfeed.operation.kinds import frame_codes
from augfeed.operation.program import parts_of
from augfeed.ops._registry import ALL
from augfeed.plan._columns import Columns
from augfeed.policy import Policy

NONE = 0
# A tap below this is beyond what a sum of float32 holds beside the others.
SMALLEST = 2.0**-28
# What a step does, by its number.
FRAMES = frame_codes(ALL)
CODES = {cls: code for code, cls in FRAMES.items()}


def has_kernel(code: int) -> bool:
    """Return whether a step weighs the neighbors of each pixel by taps."""
    return code in FRAMES and issubclass(FRAMES[code], Neighbourhood)


def has_table(code: int) -> bool:
    """Return whether a step looks levels up."""
    return code in FRAMES and issubclass(FRAMES[code], Statistics)


def is_spatial(code: int) -> bool:
    """Return whether a step makes pixels of others, but by taps."""
    return code in FRAMES and not (has_kernel(code) or has_table(code))


@dataclass(frozen=True, slots=True)
class FrameSteps:
    """What is done to the frame of every row: up to K steps, one after another.

    A frame is what the window shows of the image, padding included. `codes` uint8 `[M, K]` are of
    `FRAMES`; NONE is skipped. `numbers` float32 `[M, K, n]` are what a step reads: the columns that
    its operation declares as `reads`. A row without any step is read where it lies.
    """

    codes: NDArray[np.uint8]
    numbers: NDArray[np.float32]

    @property
    def made(self) -> NDArray[np.bool_]:
        """Whether a row has any step, so that its frame has to be made: bool `[M]`."""
        return np.asarray(self.codes.any(axis=1))

    def taps(
        self, which: NDArray[np.int64] | slice = slice(None), most: int | None = None
    ) -> NDArray[np.float32]:
        """Return the weights of the kernels of some rows: float32 `[n, K, 2, T]`, down and across.

        A kernel is symmetric: `[..., 0]` is its middle, `[..., i]` stands on both sides of it.
        Beyond a kernel, and in other steps, weights are 0. `T` is as many as the rows need, or
        `most` + 1.
        """
        codes, numbers = self.codes[which], self.numbers[which].astype(np.float64)
        found = []
        for code, cls in FRAMES.items():
            here = codes == code
            if issubclass(cls, Neighbourhood) and here.any():
                reads = numbers[here][:, : len(cls.read_columns())]
                found.append((here, cls.taps(*reads.T)))
        count = max((weights.shape[2] for _, weights in found), default=1)
        made = np.zeros((*codes.shape, 2, count if most is None else most + 1), np.float32)
        for here, weights in found:
            kept = np.where(np.abs(weights) >= SMALLEST, weights, 0.0)
            part = np.zeros((len(kept), *made.shape[2:]), np.float32)
            part[..., : kept.shape[2]] = kept[..., : made.shape[3]]
            made[here] = part
        return made


def steps_of(policy: Policy, columns: Columns) -> FrameSteps:
    """Return the steps of all rows, by what has been drawn."""
    steps = _frames(policy)
    count = len(columns.flip_x)
    width = max((len(item.read_columns()) for item in steps), default=0)
    made = FrameSteps(
        np.zeros((count, len(steps)), np.uint8), np.zeros((count, len(steps), width), np.float32)
    )
    for k, item in enumerate(steps):
        first = item.columns[0]
        applied = getattr(columns, first.name) != first.neutral
        made.codes[:, k] = np.where(applied, CODES[type(item)], NONE)
        for i, column in enumerate(item.read_columns()):
            made.numbers[:, k, i] = getattr(columns, column.name)
    return made


def slots_of(policy: Policy) -> tuple[tuple[int, ...], ...]:
    """Return, for each slot of a policy's programs, the codes that may stand there."""
    return tuple((CODES[type(item)],) for item in _frames(policy))


def longest_reach(policy: Policy) -> int:
    """Return how far from its middle any kernel of a policy reaches, in pixels."""
    reaches = [item.reach for item in policy.parts if isinstance(item, Neighbourhood)]
    for item in policy.programs:
        reaches += [part[0].candidate.reach for part, _ in parts_of(item.program)
                    if isinstance(part, tuple)]  # fmt: skip
    return max(reaches, default=0)


def _frames(policy: Policy) -> list[Any]:
    return [item for item in policy.operations if isinstance(item, Frame)]
