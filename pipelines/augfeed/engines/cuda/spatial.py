"""Launches of the steps on frames that make pixels of others, but by taps."""

from typing import TYPE_CHECKING, Any

from augfeed.engines.cuda import stencils
from augfeed.engines.cuda.spec import Spec

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan

BLOCK = 256  # pixels of a program
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}


def floats_of(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many floats of scratch a row needs for the steps of a policy."""
    return spec.channels * size[0] * size[1]


def launch_spatial(
    loaded: "BoundPlan", constants: dict[str, Any], numbers: int, begin: int, rows: int
) -> None:
    """Launch a step for some rows: see `scratch.step_constants`; `numbers` is where its reads are.

    What it makes stands in the scratch of these rows, before it becomes their frames.
    """
    scratch, spec, (height, width) = loaded.scratch, loaded.spec, loaded.size
    assert scratch is not None
    given = (scratch.frames, loaded.table, scratch.sums, begin, scratch.sums.shape[1])
    sides = (height, width, *loaded.images.shape[1:3])
    grid = (rows, -(-height * width // BLOCK))
    stencils.make_stencils[grid](loaded.images, *given, *sides, **constants, NUMBERS=numbers,
                                 PAD=spec.pad, BLOCK=BLOCK, **OPTIONS)  # fmt: skip
    stencils.put_frames[grid](*given, height, width, **constants, BLOCK=BLOCK, **OPTIONS)
