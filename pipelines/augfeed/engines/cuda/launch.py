"""How the kernels are launched: arguments, grids, and the constants that they are compiled for."""

from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from augfeed.engines.cuda import color, kernel, table_layout
from augfeed.engines.cuda.kernel_launch import Words, launch_kernel
from augfeed.engines.cuda.program_launch import run_programs
from augfeed.engines.cuda.scratch import make_frames
from augfeed.engines.cuda.spec import Spec
from augfeed.engines.cuda.table import Layout

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan

SUMS: int = table_layout.SUMS.value
FINISHED = 32  # rows that one program of `finish_colors` takes


def means_for(rows: int, channels: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scratch for the sums of the frames of some rows, and the offsets of their colors."""
    sums = torch.empty((rows, SUMS, channels), dtype=torch.int64, device=device)
    return sums, torch.empty((rows, channels), dtype=torch.float32, device=device)


@cache
def constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `kernel.augment`."""
    layout = Layout.of(spec)
    parts = {"MIXING": "mixing", "PATCH": "patch", "CUTOUT": "cutout",
             "ERASED": "random_erasing", "ID": "id", "SIGMA": "gaussian_noise",
             "SALT": "salt_and_pepper", "WARP": "matrix", "COLOR": "color",
             "POINTS": "points", "MADE": "made"}  # fmt: skip
    return {
        "ROW": layout.width,
        **{name: layout.start(part) for name, part in parts.items()},
        "USED": spec.points,
        "C": spec.channels, "PAD": spec.pad, "FLIP": spec.flip, "BORDER": spec.border,
        "PERSPECTIVE": spec.perspective, "FILTERS": spec.filters, "EACH": spec.each,
        "MEAN": spec.mean, "MIX": spec.mix,
        "ERASE": int(spec.erase), "LAST": spec.last,
        "VEC": spec.vec, "ALIGNED": spec.aligned, "WIDE": spec.wide, "TILE": spec.tile,
        "LANES": spec.lanes, "KEEP_COLOR": spec.keep_color, "BLOCK": spec.block,
        "STEPS": spec.steps, "MORE": spec.more,
    }  # fmt: skip


@cache
def sum_constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `kernel.sum_frames`."""
    layout = Layout.of(spec)
    return {
        "ROW": layout.width, "MADE": layout.start("made"), "C": spec.channels, "PAD": spec.pad,
        "VEC": spec.vec, "ALIGNED": spec.aligned, "BLOCK": spec.sum_block,
    }  # fmt: skip


@cache
def finish_constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `color.finish_colors`."""
    layout = Layout.of(spec)
    return {"ROW": layout.width, "COLOR": layout.start("color"), "C": spec.channels,
            "BLOCK": FINISHED}  # fmt: skip


@cache
def reciprocal(width: int) -> tuple[int, int]:
    """Return `factor` (the bits of an int32) and `shift`: a quotient by `width` as a product.

    For n in [0, 2**31), `n // width` is the upper half of `2 n * factor`, of 64 bits, shifted right
    (Granlund and Montgomery, Division by invariant integers using multiplication, 1994).
    """
    shift = (width - 1).bit_length()
    factor = -(-(1 << 31 + shift) // width)
    return factor - (1 << 32), shift


def sum_options(spec: Spec) -> dict[str, Any]:
    """Return how `kernel.sum_frames` is compiled."""
    return {"num_warps": spec.sum_warps, "enable_fp_fusion": False}


@cache
def options_of(spec: Spec) -> dict[str, Any]:
    """Return how `kernel.augment` is compiled."""
    limit = {"maxnreg": spec.registers} if spec.registers else {}
    return {"num_warps": spec.warps, "enable_fp_fusion": False, **limit}


def steps_of(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many steps an image of the output takes, of all of its programs."""
    height, width = size
    if spec.tile:
        return -(-width // spec.tile) * -(-height // (spec.block // spec.tile))
    if spec.lanes:
        blocks = -(-height * width // 8)
        return 8 * -(-blocks // spec.block)
    return -(-height * width // spec.block)


def programs(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many programs an image of the output is shared out to."""
    return -(-steps_of(spec, size) // spec.steps)


def launch(loaded: "BoundPlan", out: torch.Tensor) -> None:
    """Launch the pass of a loaded plan into `out`, on the current stream; from any thread."""
    images = loaded.images
    device = torch.cuda.device(images.device) if images.is_cuda else nullcontext()
    with device:
        _launch(loaded, out)


def _launch(loaded: "BoundPlan", out: torch.Tensor) -> None:
    spec, images, (height, width) = loaded.spec, loaded.images, loaded.size
    frames = images if loaded.scratch is None else loaded.scratch.frames
    wide = spec.vec > 1 or spec.wide
    words, frame_words = (Words(each) if wide else loaded.table for each in (images, frames))
    given = (words, images, frame_words, frames, loaded.table)
    sides = (height, width, images.shape[1], images.shape[2], *reciprocal(width))
    offsets = loaded.table
    make_frames(loaded)
    run_programs(loaded)
    if loaded.means is not None:
        sums, offsets = loaded.means
        launch_kernel(kernel.sum_frames, (loaded.rows, SUMS), (*given, sums, *sides),
                      {**sum_constants(spec), **sum_options(spec)})  # fmt: skip
        unit = 2.0**-24 if spec.float_in else 1.0 / 255.0
        launch_kernel(
            color.finish_colors, (-(-loaded.rows // FINISHED),),
            (loaded.table, sums, offsets, loaded.rows, height * width, unit),
            {**finish_constants(spec), "num_warps": 1, "enable_fp_fusion": False},
        )  # fmt: skip
    launch_kernel(
        kernel.augment, (loaded.count, programs(spec, loaded.size)),
        (*given, offsets, out, *sides), {**constants(spec), **options_of(spec)},
    )  # fmt: skip
