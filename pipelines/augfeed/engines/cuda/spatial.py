"""Launches of the steps on frames that make pixels of others, but by taps."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from augfeed.engines.cuda import jpeg, stencils
from augfeed.engines.cuda.spec import Spec
from augfeed.jpeg_tables import COLORS, COSINES, GRAY
from augfeed.operation import Blocks
from augfeed.plan.frames import FRAMES

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan

BLOCK = 256  # pixels of a program
MANY = 4  # blocks of 8 x 8 of a program
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}
NARROW: dict[str, Any] = {"num_warps": 1, "enable_fp_fusion": False}


def floats_of(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many floats of scratch a row needs for the steps of a policy."""
    kinds = {FRAMES[code] for slot in spec.slots for code in slot}
    pixels = spec.channels * size[0] * size[1]
    if any(issubclass(cls, Blocks) for cls in kinds):
        pixels = max(pixels, sum(_planes(spec.channels, size)))
    return pixels


def numbers_of(spec: Spec, device: torch.device) -> torch.Tensor:
    """Return the whole numbers that the steps of a policy need on a device, int32."""
    kinds = {FRAMES[code] for slot in spec.slots for code in slot}
    return _jpeg_numbers(device) if any(issubclass(cls, Blocks) for cls in kinds) else _none(device)


@cache
def _jpeg_numbers(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.stack([COSINES, GRAY, COLORS])).to(device)


@cache
def _none(device: torch.device) -> torch.Tensor:
    return torch.empty(0, dtype=torch.int32, device=device)


def _planes(channels: int, size: tuple[int, int]) -> list[int]:
    # The values of gray, and of each color, whose sides are whole blocks of 8 x 8.
    sides = [size] if channels == 1 else [size, *[(-(-size[0] // 2), -(-size[1] // 2))] * 2]
    return [-(-height // 8) * 8 * (-(-width // 8) * 8) for height, width in sides]


def launch_spatial(
    loaded: "BoundPlan", code: int, constants: dict[str, Any], numbers: int, begin: int, rows: int
) -> None:
    """Launch a step for some rows: see `scratch.step_constants`; `numbers` is where its reads are.

    What it makes stands in the scratch of these rows, before it becomes their frames.
    """
    scratch, pad, (height, width) = loaded.scratch, loaded.spec.pad, loaded.size
    assert scratch is not None
    place = (begin, scratch.sums.shape[1])
    given = (scratch.frames, loaded.table, scratch.sums, *place)
    sides = (height, width, *loaded.images.shape[1:3])
    grid = (rows, -(-height * width // BLOCK))
    if issubclass(FRAMES[code], Blocks):
        sizes = _planes(loaded.spec.channels, loaded.size)
        parts = sum(-(-count // BLOCK) for count in sizes[:2])
        jpeg.fill_planes[(rows, parts)](loaded.images, *given, *sides, **constants, PAD=pad,
                                        BLOCK=BLOCK, **OPTIONS)  # fmt: skip
        parts = sum(-(-count // (64 * MANY)) for count in sizes)
        jpeg.transform_planes[(rows, parts)](
            loaded.table, scratch.sums, scratch.numbers, *place, height, width, **constants,
            NUMBERS=numbers, MANY=MANY, **NARROW,
        )  # fmt: skip
        jpeg.put_planes[grid](*given, height, width, **constants, BLOCK=BLOCK, **OPTIONS)
        return
    stencils.make_stencils[grid](loaded.images, *given, *sides, **constants, NUMBERS=numbers,
                                 PAD=pad, BLOCK=BLOCK, **OPTIONS)  # fmt: skip
    stencils.put_frames[grid](*given, height, width, **constants, BLOCK=BLOCK, **OPTIONS)
