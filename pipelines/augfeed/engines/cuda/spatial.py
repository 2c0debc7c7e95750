"""Launches of the steps on frames that make pixels of others, but by taps."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from augfeed.engines.cuda import elastic, jpeg, stencils
from augfeed.jpeg_tables import COLORS, COSINES, GRAY
from augfeed.operation import Blocks, Displacement, Frame, Stencil
from augfeed.plan.frames import FRAMES

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan

Slots = tuple[tuple[int, ...], ...]
BLOCK = 256  # pixels of a program
FIELDS = 4  # planes of a row that the field of a displacement needs
MANY = 4  # blocks of 8 x 8 of a program
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}
NARROW: dict[str, Any] = {"num_warps": 1, "enable_fp_fusion": False}


def is_spatial(code: int) -> bool:
    """Return whether a step is one of these, by its number."""
    return code in FRAMES and issubclass(FRAMES[code], Stencil | Blocks | Displacement)


def floats_of(channels: int, slots: Slots, size: tuple[int, int]) -> int:
    """Return how many floats of scratch a row needs for the steps of some slots."""
    pixels = channels * size[0] * size[1]
    floats = [pixels]
    if _any(slots, Blocks):
        floats.append(sum(_planes(channels, size)))
    if _any(slots, Displacement):
        floats.append(FIELDS * size[0] * size[1] + pixels)
    return max(floats)


def numbers_of(slots: Slots, device: torch.device) -> torch.Tensor:
    """Return the whole numbers that the steps of some slots need on a device, int32."""
    return _jpeg_numbers(device) if _any(slots, Blocks) else _none(device)


def _any(slots: Slots, kind: type[Frame]) -> bool:
    codes = {code for slot in slots for code in slot}
    return any(issubclass(FRAMES[code], kind) for code in codes if code in FRAMES)


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
    """Steps of some rows, those from `begin` on.

    `constants` are the compile-time arguments that all kernels of a step have, `numbers` is where
    its reads begin. `sums` and `tables` are scratch and what `numbers_of` gave. `whole` is for
    programs: frames are whole levels, and steps find no images.
    """

    loaded: "BoundPlan"
    constants: dict[str, Any]
    numbers: int
    sums: torch.Tensor
    tables: torch.Tensor
    begin: int
    rows: int
    whole: bool = False

    def run(self, code: int) -> None:
        """Launch the kernels of a step on the current stream; nothing waits."""
        cls = FRAMES[code]
        if issubclass(cls, Blocks):
            self._blocks()
        elif issubclass(cls, Displacement):
            self._displacement()
        else:
            stencils.make_stencils[self._grid](*self._read, WHOLE=self.whole, **self._reading)
            self._put(0)

    @property
    def _place(self) -> tuple[int, int, int, int, int]:
        return (self.begin, self.loaded.rows, self.sums.shape[1], *self.loaded.size)

    @property
    def _grid(self) -> tuple[int, int]:
        height, width = self.loaded.size
        return self.rows, -(-height * width // BLOCK)

    @property
    def _frames(self) -> torch.Tensor:
        assert self.loaded.scratch is not None
        return self.loaded.scratch.frames

    @property
    def _read(self) -> tuple[Any, ...]:
        loaded = self.loaded
        sides = loaded.size if self.whole else loaded.images.shape[1:3]
        return (loaded.images, self._frames, loaded.table, self.sums, *self._place, *sides)

    @property
    def _reading(self) -> dict[str, Any]:
        pad = -1 if self.whole else self.loaded.spec.pad
        return {**self._writing, "NUMBERS": self.numbers, "PAD": pad}

    @property
    def _writing(self) -> dict[str, Any]:
        return {**self.constants, "BLOCK": BLOCK, **OPTIONS}

    def _put(self, first: int) -> None:
        # Frames from planes that begin so many floats behind the start of a row.
        planes = self.sums.view(-1)[first:]
        stencils.put_frames[self._grid](self._frames, self.loaded.table, planes, *self._place,
                                        WHOLE=self.whole, **self._writing)  # fmt: skip

    def _blocks(self) -> None:
        sizes, reading = _planes(self.loaded.spec.channels, self.loaded.size), self._reading
        del reading["NUMBERS"]
        parts = sum(-(-count // BLOCK) for count in sizes[:2])
        jpeg.fill_planes[(self.rows, parts)](*self._read, **reading)
        parts = sum(-(-count // (64 * MANY)) for count in sizes)
        jpeg.transform_planes[(self.rows, parts)](
            self.loaded.table, self.sums, self.tables, *self._place, **self.constants,
            NUMBERS=self.numbers, MANY=MANY, **NARROW,
        )  # fmt: skip
        jpeg.put_planes[self._grid](self._frames, self.loaded.table, self.sums, *self._place,
                                    **self._writing)  # fmt: skip

    def _displacement(self) -> None:
        grid, given = (*self._grid, 2), (self.loaded.table, self.sums, *self._place)
        fields = {**self._writing, "NUMBERS": self.numbers}
        elastic.fill_fields[grid](*given, **fields)
        for down in (0, 1):
            elastic.smooth_fields[grid](*given, DOWN=down, **fields)
        elastic.displace[self._grid](*self._read, WHOLE=self.whole, **self._reading)
        height, width = self.loaded.size
        self._put(FIELDS * height * width)
