"""Programs as a part of a table's rows: a word for the frame, one a slot, what each slot reads."""

import numpy as np
from numpy.typing import NDArray

from augfeed.engines.cuda.spec import Spec
from augfeed.kernels._tables import makes_table, needs_counts
from augfeed.ops import _enhance
from augfeed.ops._steps import LINEAR as LINEAR
from augfeed.ops._steps import MATRIX as MATRIX
from augfeed.plan import Plan, Program
from augfeed.plan.frames import FrameSteps, has_kernel
from augfeed.plan.program import CODES

COLOR, HUE = CODES[_enhance.Color], CODES[_enhance.Hue]
# Bits of a slot's word, above the code of its step: it asks for a histogram, it looks levels up.
# The first word has flips in its lowest bits, and whether the policy has made the frame before, so
# that it is cut out of itself.
COUNTS, TABLES, SECOND = 2048, 512, 1024


def words_of_programs(spec: Spec) -> int:
    """Return the words of the part, 0 without programs."""
    return program_start(spec, len(spec.program)) if spec.program else 0


def program_start(spec: Spec, slot: int) -> int:
    """Return where in the part the numbers of a slot begin; its kernel, if any, lies behind."""
    return 1 + len(spec.program) + sum(_words(spec, codes) for codes in spec.program[:slot])


def kernel_start(spec: Spec, slot: int) -> int:
    """Return where in the part the kernel of a slot begins: its reach and weights, down, across."""
    return program_start(spec, slot) + spec.numbers


def _words(spec: Spec, codes: tuple[int, ...]) -> int:
    kernel = 2 + 2 * (spec.reach + 1) if any(map(has_kernel, codes)) else 0
    return spec.numbers + kernel


def counts_levels(code: int) -> bool:
    """Return whether a step may ask for the histogram of its frame."""
    return code == LINEAR or bool(needs_counts(code))


def fill_programs(part: NDArray[np.int32], plan: Plan, spec: Spec) -> NDArray[np.int32]:
    """Write the programs of all rows to their part of a table, int32 `[M, words or more]`.

    Returns which frame each row reads at the end, -1 without one, int32 `[M]`.
    """
    program = plan.program
    assert program is not None, "only called for policies with programs"
    codes, count = program.code.astype(np.int32), len(program.code)
    begun = plan.frames.made
    part[:, 0] = np.where(program.framed, program.flip_x + 2 * program.flip_y + SECOND * begun, -1)
    slots = len(spec.program)
    part[:, 1 : 1 + slots] = np.where(codes > 0, codes + program_bits(program), 0)
    for slot, known in enumerate(spec.program):
        start = program_start(spec, slot)
        own = part[:, start : start + spec.numbers]
        own[:, : program.value.shape[2]] = program.value[:, slot].view(np.int32)
        if any(map(has_kernel, known)):
            _fill_kernels(part[:, kernel_start(spec, slot) :], program, spec, slot)
    made = program.framed | begun
    return np.where(made, np.arange(count), -1).astype(np.int32)


def program_bits(program: Program) -> NDArray[np.int32]:
    """Return the bits of the slots of all rows, int32 `[M, slots]`: see `COUNTS` and `TABLES`."""
    codes = program.code
    bits = np.zeros(codes.shape, np.int32)
    for code in np.unique(codes):
        if makes_table(code):
            bits[codes == code] |= TABLES | (COUNTS if needs_counts(code) else 0)
    linear = codes == LINEAR
    if linear.any():
        wanted = (program.value[:, :, [12, 13, 14, 17]] != 0).any(axis=2)
        bits[linear & wanted] |= COUNTS
    return bits


def _fill_kernels(own: NDArray[np.int32], program: Program, spec: Spec, slot: int) -> None:
    steps = FrameSteps(program.code[:, [slot]], program.value[:, [slot]])
    taps = steps.taps(most=spec.reach)[:, 0]
    last = spec.reach - np.argmax(taps[:, :, ::-1] > 0, axis=2)
    own[:, :2] = np.where(taps[:, :, 0] > 0, last, 0)
    own[:, 2 : 2 + 2 * (spec.reach + 1)] = taps.reshape(len(taps), -1).view(np.int32)
