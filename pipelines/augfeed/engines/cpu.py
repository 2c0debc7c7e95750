"""The engine for CPUs: compiled loops, one pass a sample, without the GIL."""

import os
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, check_images
from augfeed.engines.memory import Memory
from augfeed.kernels.augment import augment, augment_as
from augfeed.kernels.store import BFLOAT16, FLOAT16, FLOAT32, UINT8
from augfeed.kernels.types import Columns, Setup
from augfeed.philox import normal_quantiles
from augfeed.plan import Plan
from augfeed.plan.fixed import Fixed
from augfeed.policy.color import YIQ

KINDS = {
    torch.float32: (FLOAT32, np.float32),
    torch.uint8: (UINT8, np.uint8),
    torch.bfloat16: (BFLOAT16, np.uint16),
    torch.float16: (FLOAT16, np.uint16),
}


class CpuEngine:
    """Carries out plans with Numba, in the calling thread, without the GIL."""

    name = "cpu"

    def apply(
        self,
        plan: Plan,
        images: torch.Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),  # noqa: B008  (frozen)
    ) -> torch.Tensor:
        """Return the batch `[count, C, H, W]` of a plan; see `augfeed.engines.Engine`."""
        check_images(images, plan.count)
        output.check(plan.policy)
        pixels = np.ascontiguousarray(images.numpy())
        out, batch = allocate(plan.count, pixels.shape[3], plan.size, output)
        job = Job(plan, pixels.shape[3], output)
        job.run(pixels, np.arange(plan.count), out, places=places, offsets=offsets)
        return batch


def allocate(
    count: int, channels: int, size: tuple[int, int], output: Output, memory: Memory | None = None
) -> tuple[NDArray[Any], torch.Tensor]:
    """Return memory for a batch as an array for the loops and as the tensor given out."""
    _, dtype = KINDS[output.dtype]
    shape = (count, channels, *size)
    array = (memory or Memory()).take(shape, dtype, channels_last=output.channels_last)
    tensor = torch.from_numpy(array)
    return array, tensor if tensor.dtype == output.dtype else tensor.view(output.dtype)


class Job:
    """One plan, ready to be carried out row by row, in any thread."""

    def __init__(self, plan: Plan, channels: int, output: Output) -> None:
        """Bring plan and constants into the form of the compiled loops."""
        self.output = output
        self.columns = _columns(plan)
        self.setup = _setup(plan, channels)

    def run(
        self,
        images: NDArray[Any],
        which: NDArray[np.int64],
        out: NDArray[Any],
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
    ) -> None:
        """Write rows `which` of the batch to `out`; see `augfeed.engines.Engine` for the rest."""
        columns = self.columns
        if places is not None:
            columns = columns._replace(place=np.ascontiguousarray(places, np.int64))
        if offsets is not None:
            columns = columns._replace(offset=np.ascontiguousarray(offsets, np.int32))
        kind, _ = KINDS[self.output.dtype]
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        if kind == FLOAT32 and out.flags.c_contiguous:
            augment(images, which, columns, self.setup, scale, out)
        else:
            augment_as(images, which, columns, self.setup, scale, kind, out)


def _columns(plan: Plan) -> Columns:
    colors, mixes, rows = plan.colors, plan.mixes, len(plan.ids)
    factors = np.stack([colors.brightness, colors.contrast, colors.saturation, colors.hue])
    return Columns(
        plan.ids, np.arange(rows), np.zeros((rows, 2), np.int32),
        plan.flip_x, plan.flip_y, plan.warped, np.ascontiguousarray(plan.inverse),
        factors, colors.gray, colors.inverted, colors.bits, colors.threshold,
        mixes.mode, mixes.partner, mixes.lam, mixes.patch,
        plan.cutout, plan.erased, plan.sigma, plan.salt, plan.pepper,
    )  # fmt: skip


def _setup(plan: Plan, channels: int) -> Setup:
    fixed, (yiq, rgb) = Fixed.of(plan.policy, channels), _chroma()
    return Setup(
        np.uint64(plan.seed), np.uint64(plan.epoch),
        fixed.pad_mode, fixed.pad_fill, fixed.border_mode, fixed.border_fill,
        fixed.contrast_about_half, fixed.normalized, fixed.erase_noise,
        fixed.cutout_fill, fixed.erase_fill, fixed.mean, fixed.std, fixed.sigma_scale,
        yiq, rgb, normal_quantiles(),
    )  # fmt: skip


@lru_cache(maxsize=1)
def _chroma() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    yiq = np.array(YIQ)
    return yiq, np.linalg.inv(yiq)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
