"""Frames that are made before the pass: their memory, and the launches that fill it."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from augfeed.engines.cuda import frames, levels
from augfeed.engines.cuda.frame_steps import slot_start
from augfeed.engines.cuda.kernel_launch import launch_kernel
from augfeed.engines.cuda.spatial import Launch, floats_of, numbers_of
from augfeed.engines.cuda.spec import Spec
from augfeed.engines.cuda.table import Layout
from augfeed.plan.frames import has_kernel, has_table, is_spatial

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan

LEVELS: int = levels.LEVELS.value
PARTS: int = frames.PARTS.value
BLOCK = 1024  # pixels of a program
KERNEL_BLOCK = 256
KERNEL_BYTES = 64 << 20  # of sums that kernels take at a time, most of which a cache holds
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory for the frames of all rows, and for what they are made by; see `cuda.frames`."""

    frames: torch.Tensor
    counts: torch.Tensor
    tables: torch.Tensor
    sums: torch.Tensor
    numbers: torch.Tensor

    @classmethod
    def of(
        cls, spec: Spec, rows: int, size: tuple[int, int], images: torch.Tensor
    ) -> "Scratch | None":
        """Return memory for the frames of some rows; None where a policy has no steps on them.

        Rows that have a program have two frames.
        """
        if not spec.slots and not spec.program:
            return None
        channels, device = spec.channels, images.device
        codes = {code for slot in spec.slots for code in slot}
        remade = any(is_spatial(code) for slot in spec.program for code in slot)
        counted = rows if any(map(has_table, codes)) else 0
        remade = remade or not all(map(has_table, codes))
        weighed = min(rows, rows_at_once(spec, size)) if remade else 0
        pitch = frame_pitch(channels, size)

        def empty(*shape: int, dtype: torch.dtype) -> torch.Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        return cls(
            empty(2 * rows if spec.program else rows, pitch, dtype=images.dtype),
            empty(counted, PARTS, channels, LEVELS, dtype=torch.int32),
            empty(counted, channels, LEVELS, dtype=torch.int32),
            empty(weighed, floats_of(spec, size), dtype=torch.float32),
            numbers_of(spec, device),
        )


def frame_pitch(channels: int, size: tuple[int, int]) -> int:
    """Return how many values apart frames lie, as `frames.frame_pitch` does."""
    return -(-size[0] * size[1] * channels // 16) * 16


def rows_at_once(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many rows are weighed, or made of their own pixels, by one launch."""
    return max(1, KERNEL_BYTES // (4 * floats_of(spec, size)))


@cache
def step_constants(spec: Spec, slot: int, code: int) -> dict[str, Any]:
    """Return the compile-time arguments that all kernels of a step have."""
    layout = Layout.of(spec)
    return {"ROW": layout.width, "MADE": layout.start("made"), "SLOT": slot, "CODE": code,
            "C": spec.channels}  # fmt: skip


@cache
def reading_constants(spec: Spec, slot: int, code: int) -> dict[str, Any]:
    """Return the compile-time arguments of `frames.count_levels` and `look_up`."""
    return {**step_constants(spec, slot, code), "PAD": spec.pad, "BLOCK": BLOCK}


@cache
def table_constants(spec: Spec, slot: int, code: int) -> dict[str, Any]:
    """Return the compile-time arguments of `frames.fill_tables`."""
    return {**step_constants(spec, slot, code), "NUMBERS": slot_start(spec, slot)}


@cache
def kernel_constants(spec: Spec, slot: int, code: int) -> dict[str, Any]:
    """Return the compile-time arguments of `frames.weigh_down`, and all but two of the other's."""
    return {**step_constants(spec, slot, code),
            "KERNEL": slot_start(spec, slot), "BLOCK": KERNEL_BLOCK}  # fmt: skip


def make_frames(loaded: "BoundPlan") -> None:
    """Launch the steps of a loaded plan on the current stream, slot after slot; nothing waits."""
    for slot, codes in enumerate(loaded.spec.slots):
        for code in codes:
            run = _weigh if has_kernel(code) else _tabulate if has_table(code) else _remake
            run(loaded, slot, code)


def _tabulate(loaded: "BoundPlan", slot: int, code: int) -> None:
    scratch, spec, (height, width) = loaded.scratch, loaded.spec, loaded.size
    assert scratch is not None
    given = (loaded.images, scratch.frames, loaded.table)
    sides = (height, width, *loaded.images.shape[1:3])
    own, read = table_constants(spec, slot, code), reading_constants(spec, slot, code)
    launch_kernel(frames.count_levels, (loaded.rows, PARTS), (*given, scratch.counts, *sides),
                  {**read, **OPTIONS})  # fmt: skip
    launch_kernel(frames.fill_tables, (loaded.rows, spec.channels),
                  (loaded.table, scratch.counts, scratch.tables), {**own, **OPTIONS})  # fmt: skip
    grid = (loaded.rows, -(-height * width // BLOCK))
    launch_kernel(frames.look_up, grid, (*given, scratch.tables, *sides), {**read, **OPTIONS})


def _weigh(loaded: "BoundPlan", slot: int, code: int) -> None:
    scratch, spec, (height, width) = loaded.scratch, loaded.spec, loaded.size
    assert scratch is not None
    given = (scratch.frames, loaded.table, scratch.sums)
    sides = (height, width, *loaded.images.shape[1:3])
    own, most = kernel_constants(spec, slot, code), len(scratch.sums)
    for begin in range(0, loaded.rows, most):
        grid = (min(most, loaded.rows - begin), -(-height * width // KERNEL_BLOCK))
        launch_kernel(frames.weigh_across, grid, (loaded.images, *given, begin, *sides),
                      {**own, "REACH": spec.reach, "PAD": spec.pad, **OPTIONS})  # fmt: skip
        launch_kernel(frames.weigh_down, grid, (*given, begin, height, width),
                      {**own, **OPTIONS})  # fmt: skip


def _remake(loaded: "BoundPlan", slot: int, code: int) -> None:
    scratch, spec = loaded.scratch, loaded.spec
    assert scratch is not None
    own, most = step_constants(spec, slot, code), len(scratch.sums)
    for begin in range(0, loaded.rows, most):
        rows = min(most, loaded.rows - begin)
        Launch(loaded, own, slot_start(spec, slot), begin, rows).run(code)
