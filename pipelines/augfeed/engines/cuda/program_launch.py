"""Programs on a device: their memory, and the launches that carry them out, slot after slot."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from augfeed.engines.cuda import frames, levels, program, program_blur, program_chains
from augfeed.engines.cuda.kernel_launch import launch_kernel
from augfeed.engines.cuda.program_layout import (
    COLOR,
    COUNTS,
    HUE,
    LINEAR,
    MATRIX,
    TABLES,
    counts_levels,
    kernel_start,
    program_start,
)
from augfeed.engines.cuda.scratch import (
    BLOCK,
    KERNEL_BLOCK,
    OPTIONS,
    frame_pitch,
    rows_at_once,
)
from augfeed.engines.cuda.spatial import Launch
from augfeed.engines.cuda.spec import Spec
from augfeed.engines.cuda.table import Layout
from augfeed.kernels._tables import makes_table
from augfeed.ops._steps import CHAINS
from augfeed.plan.frames import has_kernel, is_spatial

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan

LEVELS: int = levels.LEVELS.value
PARTS: int = frames.PARTS.value
WARP_BLOCK = 256  # pixels of a program that moves them
LAST_CHAINS = CHAINS + 2
COPIED = 512  # of one that copies them: of twice as many a register would be spilled


@dataclass(frozen=True, slots=True)
class ProgramScratch:
    """Memory for what the programs of all rows are carried out by; see `cuda.program`."""

    counts: torch.Tensor
    tables: torch.Tensor
    means: torch.Tensor
    sums: torch.Tensor
    kept: torch.Tensor  # the frames that chains start from, and what they add up to
    totals: torch.Tensor

    @classmethod
    def of(
        cls, spec: Spec, rows: int, size: tuple[int, int], images: torch.Tensor
    ) -> "ProgramScratch | None":
        """Return memory for the programs of some rows; None where a policy has none."""
        if not spec.program:
            return None
        (height, width), channels = size, spec.channels
        codes = {code for slot in spec.program for code in slot}
        mixed, pitch = rows if CHAINS in codes else 0, frame_pitch(channels, size)
        weighed = min(rows, rows_at_once(spec, size)) if any(map(has_kernel, codes)) else 0

        def empty(*shape: int, dtype: torch.dtype) -> torch.Tensor:
            return torch.empty(shape, dtype=dtype, device=images.device)

        return cls(
            empty(rows, PARTS, channels, LEVELS, dtype=torch.int32),
            empty(rows, channels, LEVELS, dtype=torch.int32),
            empty(rows, dtype=torch.float32),
            empty(weighed, channels, height, width, dtype=torch.float32),
            empty(mixed, pitch, dtype=images.dtype),
            empty(mixed, pitch, dtype=torch.float32),
        )


@cache
def slot_constants(spec: Spec, slot: int) -> dict[str, Any]:
    """Return the compile-time arguments that all kernels of a slot have."""
    layout = Layout.of(spec)
    return {"ROW": layout.width, "START": layout.start("program"), "SLOT": slot,
            "C": spec.channels}  # fmt: skip


@cache
def cut_constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `program.cut_frames`."""
    layout = Layout.of(spec)
    return {"ROW": layout.width, "START": layout.start("program"), "C": spec.channels,
            "PAD": spec.pad, "BLOCK": BLOCK}  # fmt: skip


@cache
def brought_constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `program.bring_back` before any slot."""
    return {**slot_constants(spec, -1), "CODE": 0, "MOVED": True, "BLOCK": COPIED}


@cache
def spatial_constants(spec: Spec, slot: int, code: int) -> dict[str, Any]:
    """Return what `scratch.step_constants` does, of a slot of a program."""
    layout = Layout.of(spec)
    return {"ROW": layout.width, "MADE": layout.start("program"), "SLOT": slot, "CODE": code,
            "C": spec.channels}  # fmt: skip


@cache
def kernels_of(spec: Spec, slot: int) -> dict[str, dict[str, Any]]:
    """Return the kernels that a slot needs, in their order, and their compile-time arguments."""
    codes, own = spec.program[slot], slot_constants(spec, slot)
    start, found = program_start(spec, slot), {}
    counted = any(map(counts_levels, codes))
    tables = any(map(makes_table, codes))
    if counted:
        found["count_drawn"] = {**own, "COUNTS": COUNTS, "BLOCK": BLOCK}
    if counted or tables:
        found["fill_drawn"] = {**own, "COUNTS": COUNTS, "NUMBERS": start}
    if tables:
        found["look_up_drawn"] = {**own, "TABLES": TABLES, "BLOCK": BLOCK}
    if not {LINEAR, COLOR, HUE}.isdisjoint(codes):
        found["combine_drawn"] = {**own, "COUNTS": COUNTS, "NUMBERS": start, "BLOCK": BLOCK}
    if any(CHAINS <= code <= LAST_CHAINS for code in codes):
        found["mix_drawn"] = {**own, "NUMBERS": start, "BLOCK": COPIED}
    if MATRIX in codes:
        found["warp_drawn"] = {**own, "MATRIX": MATRIX, "NUMBERS": start, "BORDER": spec.border,
                               "PERSPECTIVE": spec.perspective, "FILTERS": spec.filters,
                               "EACH": spec.each, "WARP": Layout.of(spec).start("matrix"),
                               "BLOCK": WARP_BLOCK}  # fmt: skip
        found["bring_back"] = {**own, "CODE": MATRIX, "MOVED": True, "BLOCK": COPIED}
    for code in filter(has_kernel, codes):
        kernel = {**own, "CODE": code, "KERNEL": kernel_start(spec, slot), "BLOCK": KERNEL_BLOCK}
        found["weigh_drawn_across"] = {**kernel, "REACH": spec.reach}
        found["weigh_drawn_down"] = kernel
    return found


def run_programs(loaded: "BoundPlan") -> None:
    """Launch the programs of a loaded plan on the current stream; nothing waits."""
    spec, images, (height, width) = loaded.spec, loaded.images, loaded.size
    if loaded.programs is None or loaded.scratch is None:
        return
    given = (images, loaded.scratch.frames, loaded.table)
    blocks = -(-height * width // BLOCK)
    launch_kernel(
        program.cut_frames, (loaded.rows, blocks),
        (*given, loaded.rows, height, width, *images.shape[1:3]),
        {**cut_constants(spec), **OPTIONS},
    )  # fmt: skip
    if spec.slots:
        _launch(loaded, "bring_back", brought_constants(spec))
    for slot, codes in enumerate(spec.program):
        for name, own in kernels_of(spec, slot).items():
            _launch(loaded, name, own)
        for code in filter(is_spatial, codes):
            _remake(loaded, slot, code)


def _remake(loaded: "BoundPlan", slot: int, code: int) -> None:
    scratch, spec = loaded.scratch, loaded.spec
    assert scratch is not None
    own, most = spatial_constants(spec, slot, code), len(scratch.sums)
    for begin in range(0, loaded.rows, most):
        rows = min(most, loaded.rows - begin)
        Launch(loaded, own, program_start(spec, slot), begin, rows, quantized=True).run(code)
    if spec.float_in:
        own = {**slot_constants(spec, slot), "CODE": code, "MOVED": False, "BLOCK": COPIED}
        _launch(loaded, "bring_back", own)


def _launch(loaded: "BoundPlan", name: str, own: dict[str, Any]) -> None:
    scratch, (height, width) = loaded.programs, loaded.size
    assert scratch is not None and loaded.scratch is not None
    given = (loaded.images, loaded.scratch.frames, loaded.table)
    sides, pixels = (loaded.rows, height, width), height * width
    whole = (loaded.rows, -(-pixels // own.get("BLOCK", 1)))
    constants = {**own, **OPTIONS}
    match name:
        case "count_drawn":
            launch_kernel(program.count_drawn, (loaded.rows, PARTS),
                          (*given, scratch.counts, *sides), constants)  # fmt: skip
        case "fill_drawn":
            launch_kernel(
                program.fill_drawn, (loaded.rows,),
                (loaded.table, scratch.counts, scratch.tables, scratch.means, pixels), constants,
            )  # fmt: skip
        case "look_up_drawn":
            launch_kernel(program.look_up_drawn, whole, (*given, scratch.tables, *sides), constants)
        case "combine_drawn":
            launch_kernel(program.combine_drawn, whole, (*given, scratch.means, *sides), constants)
        case "warp_drawn":
            launch_kernel(program.warp_drawn, whole, (*given, *sides), constants)
        case "bring_back":
            launch_kernel(program.bring_back, whole, (*given, *sides), constants)
        case "mix_drawn":
            launch_kernel(program_chains.mix_drawn, whole,
                          (*given, scratch.kept, scratch.totals, *sides), constants)  # fmt: skip
        case "weigh_drawn_across":
            _weigh(loaded, own)


def _weigh(loaded: "BoundPlan", own: dict[str, Any]) -> None:
    scratch, (height, width) = loaded.programs, loaded.size
    assert scratch is not None and loaded.scratch is not None
    given = (loaded.images, loaded.scratch.frames, loaded.table, scratch.sums)
    down, most = {key: own[key] for key in own if key != "REACH"}, len(scratch.sums)
    for begin in range(0, loaded.rows, most):
        grid = (min(most, loaded.rows - begin), -(-height * width // KERNEL_BLOCK))
        sides = (begin, loaded.rows, height, width)
        launch_kernel(program_blur.weigh_drawn_across, grid, (*given, *sides), {**own, **OPTIONS})
        launch_kernel(program_blur.weigh_drawn_down, grid, (*given, *sides), {**down, **OPTIONS})
