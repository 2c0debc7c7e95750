"""Steps on frames: a short program for each row, carried out before the one pass reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.plan.draws import Draws, between
from augfeed.plan.geometry import Decisions
from augfeed.policy import Equalize, GaussianBlur, Policy

NUMBERS = 3  # of a step
# A tap below this is beyond what a sum of float32 holds beside the others.
SMALLEST = 2.0**-28
LEAST_SIGMA = 1e-3


class FrameCode(IntEnum):
    """What a step does; `kernels.frames` and `engines.cuda.frames` know them by these numbers."""

    NONE = 0
    EQUALIZE = 1
    GAUSSIAN_BLUR = 2


@dataclass(frozen=True, slots=True)
class FrameSteps:
    """What is done to the frame of every row: up to K steps, one after another.

    A frame is what the window shows of the image, padding included. `codes` uint8 `[M, K]` are of
    `FrameCode`; NONE is skipped. `numbers` float32 `[M, K, NUMBERS]` are the parameters of a step:
    sigma, height and width of a blur. A row without any step is read where it lies.
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
        """Return the weights of the blurs of some rows: float32 `[n, K, 2, T]`, down and across.

        A kernel is symmetric: `[..., 0]` is its middle, `[..., i]` stands on both sides of it.
        Beyond a kernel, and in other steps, weights are 0. `T` is as many as the rows need, or
        `most` + 1.
        """
        codes, numbers = self.codes[which], self.numbers[which].astype(np.float64)
        blurs = codes == FrameCode.GAUSSIAN_BLUR
        sigma, sizes = numbers[blurs, 0], numbers[blurs, 1:]
        reach = int(sizes.max(initial=1)) // 2 if most is None else most
        made = np.zeros((*codes.shape, 2, reach + 1), np.float32)
        i = np.arange(reach + 1)
        weights = np.exp(-(i**2) / (2 * sigma[:, None] ** 2))[:, None]
        weights = np.where(2 * i < sizes[..., None], weights, 0.0)
        weights /= 2 * weights.sum(axis=2, keepdims=True) - 1  # the middle, 1, counts once
        made[blurs] = np.where(weights >= SMALLEST, weights, 0.0)
        return made


def draw_frames(
    policy: Policy, draws: Draws, decisions: Decisions, size: tuple[int, int]
) -> FrameSteps:
    """Return the steps of all rows; raise `InputError` for a kernel that does not fit the size."""
    steps = [item for item in policy.operations if type(item) in _STEPS]
    count = len(draws.ids)
    made = FrameSteps(
        np.zeros((count, len(steps)), np.uint8),
        np.zeros((count, len(steps), NUMBERS), np.float32),
    )
    for k, item in enumerate(steps):
        applied = draws.applied(item)
        decisions[item.op] = {"applied": applied}
        code, draw = _STEPS[type(item)]
        made.codes[:, k] = np.where(applied, code, FrameCode.NONE)
        if draw is not None:
            numbers = draw(item, draws, decisions, size)
            made.numbers[:, k] = np.where(applied[:, None], numbers, 0.0)
    return made


def slots_of(policy: Policy) -> tuple[tuple[FrameCode, ...], ...]:
    """Return, for each slot of a policy's programs, the codes that may stand there."""
    return tuple((_STEPS[type(item)][0],) for item in policy.operations if type(item) in _STEPS)


def longest_reach(policy: Policy) -> int:
    """Return how far from its middle any kernel of a policy reaches, in pixels."""
    blur = policy.find(GaussianBlur)
    return max(blur.sides) // 2 if blur else 0


def _draw_blur(
    blur: GaussianBlur, draws: Draws, decisions: Decisions, size: tuple[int, int]
) -> NDArray[np.float64]:
    if any(taps // 2 >= side for taps, side in zip(blur.sides, size, strict=True)):
        raise InputError(
            f"gaussian_blur(kernel_size={blur.kernel_size!r}) does not fit into images of "
            f"{size[0]} x {size[1]} pixels, whose borders reflect less than half of it: "
            f"use a smaller kernel_size, of at most {2 * min(size) - 1}"
        )
    sigma = between(draws.of(blur)[1], *blur.bounds)
    decisions[blur.op]["sigma"] = sigma
    # Of a smaller one no neighbor has any weight, and float32 may not hold it.
    held = np.maximum(sigma, LEAST_SIGMA)
    return np.stack([held, *(np.full_like(sigma, taps) for taps in blur.sides)], axis=1)


Draw = Callable[[Any, Draws, Decisions, tuple[int, int]], NDArray[np.float64]]
# The code of an operation, and what draws the numbers of its step, if it has any.
_STEPS: dict[type[Any], tuple[FrameCode, Draw | None]] = {
    Equalize: (FrameCode.EQUALIZE, None),
    GaussianBlur: (FrameCode.GAUSSIAN_BLUR, _draw_blur),
}
