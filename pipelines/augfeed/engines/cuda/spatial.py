"""Launches of the steps on frames that make pixels of others, but by taps."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from augfeed.engines.cuda import elastic, jpeg, stencils
from augfeed.engines.cuda.kernel_launch import launch_kernel
from augfeed.engines.cuda.spec import Spec
from augfeed.jpeg_tables import COLORS, COSINES, GRAY
from augfeed.operation import Blocks, Displacement
from augfeed.plan.frames import FRAMES

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan
    from augfeed.engines.cuda.scratch import Scratch

BLOCK = 256  # pixels of a program
FIELDS = 4  # planes of a row that the field of a displacement needs
MANY = 4  # blocks of 8 x 8 of a program
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}
NARROW: dict[str, Any] = {"num_warps": 1, "enable_fp_fusion": False}


def floats_of(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many floats of scratch a row needs for the steps of a policy."""
    kinds = _kinds(spec)
    pixels = spec.channels * size[0] * size[1]
    floats = [pixels]
    if any(issubclass(cls, Blocks) for cls in kinds):
        floats.append(sum(_planes(spec.channels, size)))
    if any(issubclass(cls, Displacement) for cls in kinds):
        floats.append(FIELDS * size[0] * size[1] + pixels)
    return max(floats)


def _kinds(spec: Spec) -> set[Any]:
    slots = (*spec.slots, *spec.program)
    return {FRAMES[code] for slot in slots for code in slot if code in FRAMES}


def numbers_of(spec: Spec, device: torch.device) -> torch.Tensor:
    """Return the whole numbers that the steps of a policy need on a device, int32."""
    kinds = _kinds(spec)
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


@dataclass(frozen=True, slots=True)
class Launch:
    """A step of some rows: see `scratch.step_constants`; `numbers` is where its reads are.

    What it makes stands in the scratch of these rows, before it becomes their frames.
    """

    loaded: "BoundPlan"
    constants: dict[str, Any]
    numbers: int
    begin: int
    rows: int
    quantized: bool = False  # whether floats are whole levels, as they are in programs

    def run(self, code: int) -> None:
        """Launch the kernels of the step on the current stream; nothing waits."""
        cls = FRAMES[code]
        if issubclass(cls, Blocks):
            self._blocks()
        elif issubclass(cls, Displacement):
            self._displacement()
        else:
            constants = {"QUANTIZED": self.quantized, **self._reading, **self._numbers}
            launch_kernel(stencils.make_stencils, self._grid, self._read, constants)
            self._put(0)

    @property
    def _scratch(self) -> "Scratch":
        assert self.loaded.scratch is not None
        return self.loaded.scratch

    @property
    def _place(self) -> tuple[int, int, int, int]:
        return (self.begin, self._scratch.sums.shape[1], *self.loaded.size)

    @property
    def _grid(self) -> tuple[int, int]:
        height, width = self.loaded.size
        return self.rows, -(-height * width // BLOCK)

    @property
    def _read(self) -> tuple[Any, ...]:
        loaded, scratch = self.loaded, self._scratch
        return (loaded.images, scratch.frames, loaded.table, scratch.sums, *self._place,
                *loaded.images.shape[1:3])  # fmt: skip

    @property
    def _reading(self) -> dict[str, Any]:
        return {**self._writing, "PAD": self.loaded.spec.pad}

    @property
    def _writing(self) -> dict[str, Any]:
        return {**self.constants, "BLOCK": BLOCK, **OPTIONS}

    @property
    def _numbers(self) -> dict[str, int]:
        return {"NUMBERS": self.numbers}

    def _put(self, first: int) -> None:
        # Frames from planes that begin so many floats behind the start of a row.
        scratch = self._scratch
        planes = scratch.sums.view(-1)[first:]
        launch_kernel(stencils.put_frames, self._grid,
                      (scratch.frames, self.loaded.table, planes, *self._place),
                      self._writing)  # fmt: skip

    def _blocks(self) -> None:
        loaded, scratch = self.loaded, self._scratch
        sizes = _planes(loaded.spec.channels, loaded.size)
        parts = sum(-(-count // BLOCK) for count in sizes[:2])
        launch_kernel(jpeg.fill_planes, (self.rows, parts), self._read, self._reading)
        parts = sum(-(-count // (64 * MANY)) for count in sizes)
        launch_kernel(
            jpeg.transform_planes, (self.rows, parts),
            (loaded.table, scratch.sums, scratch.numbers, *self._place),
            {**self.constants, **self._numbers, "MANY": MANY, **NARROW},
        )  # fmt: skip
        launch_kernel(jpeg.put_planes, self._grid,
                      (scratch.frames, loaded.table, scratch.sums, *self._place),
                      self._writing)  # fmt: skip

    def _displacement(self) -> None:
        grid, given = (*self._grid, 2), (self.loaded.table, self._scratch.sums, *self._place)
        constants = {**self._writing, **self._numbers}
        launch_kernel(elastic.fill_fields, grid, given, constants)
        for down in (0, 1):
            launch_kernel(elastic.smooth_fields, grid, given, {"DOWN": down, **constants})
        launch_kernel(elastic.displace, self._grid, self._read,
                      {**self._reading, **self._numbers})  # fmt: skip
        height, width = self.loaded.size
        self._put(FIELDS * height * width)
