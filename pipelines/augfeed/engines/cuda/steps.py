"""The steps on frames as a part of a table's rows: a frame's number, codes, kernels of blurs."""

import numpy as np
from numpy.typing import NDArray

from augfeed.engines.cuda.spec import Spec
from augfeed.plan.frames import FrameSteps, has_kernel

# Of a code: that its frame has not been made yet, so that the step reads the image.
FIRST = 256


def words_of_steps(spec: Spec) -> int:
    """Return the words of the part: the frame's number, a code a slot, the kernels of blurs."""
    if not spec.slots:
        return 0
    return 1 + len(spec.slots) + sum(kernel_words(spec) for _ in _blurs(spec))


def kernel_words(spec: Spec) -> int:
    """Return the words of one blur: its reach down and across, its weights down and across."""
    return 2 + 2 * (spec.reach + 1)


def kernel_start(spec: Spec, slot: int) -> int:
    """Return where in the part the blur of a slot begins."""
    return 1 + len(spec.slots) + _blurs(spec).index(slot) * kernel_words(spec)


def fill_steps(part: NDArray[np.int32], steps: FrameSteps, spec: Spec) -> None:
    """Write the steps of all rows to their part of a table, int32 `[M, words or more]`.

    A row without steps has frame -1.
    """
    count, slots = steps.codes.shape
    part[:, 0] = np.where(steps.made, np.arange(count), -1)
    codes = steps.codes.astype(np.int32)
    first = (codes != 0) & (np.cumsum(codes != 0, axis=1) == 1)
    part[:, 1 : 1 + slots] = codes + FIRST * first
    for slot in _blurs(spec):
        taps = FrameSteps(steps.codes[:, [slot]], steps.numbers[:, [slot]]).taps(most=spec.reach)
        begin, end = kernel_start(spec, slot) + 2, kernel_start(spec, slot) + kernel_words(spec)
        last = spec.reach - np.argmax(taps[:, 0, :, ::-1] > 0, axis=2)
        part[:, begin - 2 : begin] = np.where(taps[:, 0, :, 0] > 0, last, 0)
        part[:, begin:end] = taps.reshape(count, -1).view(np.int32)


def _blurs(spec: Spec) -> list[int]:
    return [k for k, codes in enumerate(spec.slots) if any(map(has_kernel, codes))]
