"""Displacements of frames, as a plan has drawn them: for what follows the pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

from augfeed.operation import Displacement
from augfeed.plan.frames import FRAMES, FrameSteps

READS = 5  # strength, standard deviation, fill, and two numbers that are the key
DISPLACEMENTS = frozenset(code for code, cls in FRAMES.items() if issubclass(cls, Displacement))


@dataclass(frozen=True, slots=True)
class Shift:
    """A displacement: each pixel of a frame is looked for elsewhere, by a smooth random field.

    `numbers` `[5]` are what its step reads: see `augfeed.operation.kinds.Displacement`.
    """

    numbers: tuple[float, ...]


def shifts_of(steps: FrameSteps, row: int) -> Iterator[Shift]:
    """Yield the displacements among the steps on the frame of a row, in their order."""
    for slot, code in enumerate(steps.codes[row].tolist()):
        if code in DISPLACEMENTS:
            yield Shift(tuple(steps.numbers[row, slot, :READS].tolist()))
