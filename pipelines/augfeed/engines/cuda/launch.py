"""How the kernels are launched: arguments, grids, and the constants that they are compiled for."""

import threading
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from augfeed.engines.cuda import fields, kernel
from augfeed.engines.cuda.spec import Spec
from augfeed.engines.cuda.table import Layout

if TYPE_CHECKING:
    from augfeed.engines.cuda import Loaded

_LOCK = threading.Lock()  # Triton compiles and interprets one kernel at a time
SUMS: int = fields.SUMS.value


def sums_for(rows: int, channels: int, device: torch.device) -> torch.Tensor:
    """Return scratch for the sums of the frames of some rows."""
    return torch.empty((rows, SUMS, channels), dtype=torch.int64, device=device)


@cache
def constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `kernel.augment`."""
    layout = Layout.of(spec)
    parts = {"MIXING": "mixing", "PATCH": "patch", "CUTOUT": "cutout", "ERASED": "erased",
             "ID": "id", "SIGMA": "sigma", "SALT": "salt", "WARP": "matrix", "COLOR": "color",
             "STEPPED": "steps"}  # fmt: skip
    return {
        "ROW": layout.width,
        **{name: layout.start(part) for name, part in parts.items()},
        "C": spec.channels, "PAD": spec.pad, "FLIP": spec.flip, "BORDER": spec.border,
        "MEAN": spec.mean, "MIX": spec.mix, "ERASE": int(spec.erase), "LAST": spec.last,
        "VEC": spec.vec, "ALIGNED": spec.aligned, "WIDE": spec.wide, "TILE": spec.tile,
        "LANES": spec.lanes, "BLOCK": spec.block, "STEPS": spec.steps,
    }  # fmt: skip


@cache
def sum_constants(spec: Spec) -> dict[str, Any]:
    """Return the compile-time arguments of `kernel.sum_frames`."""
    return {
        "ROW": Layout.of(spec).width, "C": spec.channels, "PAD": spec.pad, "VEC": spec.vec,
        "ALIGNED": spec.aligned, "BLOCK": spec.block,
    }  # fmt: skip


@cache
def options_of(spec: Spec) -> dict[str, Any]:
    """Return how the kernels are compiled."""
    limit = {"maxnreg": spec.registers} if spec.registers else {}
    return {"num_warps": spec.warps, "enable_fp_fusion": False, **limit}


def programs(spec: Spec, size: tuple[int, int]) -> int:
    """Return how many programs a picture of the output is shared out to."""
    height, width = size
    if spec.tile:
        return -(-width // spec.tile) * -(-height // (spec.block // spec.tile))
    if spec.lanes:
        blocks = -(-height * width // 8)
        return -(-blocks // spec.block)
    return -(-height * width // (spec.block * spec.steps))


def launch(loaded: "Loaded", out: torch.Tensor) -> None:
    """Launch the pass of a loaded plan into `out`, on the current stream; from any thread."""
    images = loaded.images
    device = torch.cuda.device(images.device) if images.is_cuda else nullcontext()
    with _LOCK, device:
        _launch(loaded, out)


def _launch(loaded: "Loaded", out: torch.Tensor) -> None:
    spec, images, (height, width) = loaded.spec, loaded.images, loaded.size
    words = images.view(-1).view(torch.int32) if spec.vec > 1 or spec.wide else loaded.table
    sides = (height, width, images.shape[1], images.shape[2])
    options = options_of(spec)
    sums = loaded.table
    if loaded.sums is not None:
        sums = loaded.sums
        kernel.sum_frames[(loaded.rows, SUMS)](
            words, images, loaded.table, sums, *sides, **sum_constants(spec), **options
        )
    unit = 2.0**-24 if spec.float_in else 1.0 / 255.0
    kernel.augment[(loaded.count, programs(spec, loaded.size))](
        words, images, loaded.table, sums, out, *sides, unit, **constants(spec), **options
    )
