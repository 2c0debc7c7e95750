"""The steps on frames as a part of a table's rows: a frame's number, codes, what steps read."""

import numpy as np
from numpy.typing import NDArray

from augfeed.engines.cuda.spec import Spec
from augfeed.plan.frames import FRAMES, FrameSteps, has_kernel

# Of a code: that its frame has not been made yet, so that the step reads the image.
FIRST = 256


def words_of_steps(spec: Spec) -> int:
    """Return the words of the part: the frame's number, a code a slot, what each slot reads."""
    return slot_start(spec, len(spec.slots)) if spec.slots or spec.program else 0


def slot_start(spec: Spec, slot: int) -> int:
    """Return where in the part that begins which a slot reads: a kernel, or numbers of a table.

    A kernel is its reach down and across, then its weights down and across.
    """
    return 1 + len(spec.slots) + sum(_words(spec, codes) for codes in spec.slots[:slot])


def _words(spec: Spec, codes: tuple[int, ...]) -> int:
    kernel = 2 + 2 * (spec.reach + 1)
    sizes = (kernel if has_kernel(code) else len(FRAMES[code].read_columns()) for code in codes)
    return max(sizes, default=0)


def fill_steps(part: NDArray[np.int32], steps: FrameSteps, spec: Spec) -> None:
    """Write the steps of all rows to their part of a table, int32 `[M, words or more]`.

    A row without steps has frame -1.
    """
    count, slots = steps.codes.shape
    part[:, 0] = np.where(steps.made, np.arange(count), -1)
    codes = steps.codes.astype(np.int32)
    first = (codes != 0) & (np.cumsum(codes != 0, axis=1) == 1)
    part[:, 1 : 1 + slots] = codes + FIRST * first
    for slot, known in enumerate(spec.slots):
        own = part[:, slot_start(spec, slot) : slot_start(spec, slot + 1)]
        if any(map(has_kernel, known)):
            _fill_kernels(own, steps, spec, slot)
        else:
            own[:] = steps.numbers[:, slot, : own.shape[1]].view(np.int32)


def _fill_kernels(own: NDArray[np.int32], steps: FrameSteps, spec: Spec, slot: int) -> None:
    taps = FrameSteps(steps.codes[:, [slot]], steps.numbers[:, [slot]]).taps(most=spec.reach)[:, 0]
    last = spec.reach - np.argmax(taps[:, :, ::-1] > 0, axis=2)
    own[:, :2] = np.where(taps[:, :, 0] > 0, last, 0)
    own[:, 2:] = taps.reshape(len(taps), -1).view(np.int32)
