"""Batches that lie in the memory of a CPU as tensors: cut, and made images of, by threads."""

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, check_images
from augfeed.engines.cpu import allocate, job_of
from augfeed.executor import Indices
from augfeed.executor.cpu import spread
from augfeed.kernels.resample_stack import interleave, resample_stack
from augfeed.memory_pool import Memory
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants

SHARE = 1 << 18  # values of images for which one more thread is worth its start


def interleaved(images: torch.Tensor, memory: Memory) -> torch.Tensor:
    """Return images `[B, C, H, W]` as `[B, H, W, C]`, C-contiguous; the same memory if it is so.

    torch takes seventy times as long to turn bytes, and waits for all of its threads.
    """
    turned = images.permute(0, 2, 3, 1)
    if turned.is_contiguous() or not images.is_contiguous():
        return turned.contiguous()
    planes = images.numpy()
    pixels = memory.take(tuple(turned.shape), planes.dtype)
    interleave(planes, pixels)
    return torch.from_numpy(pixels)


def cut_stack(plan: Plan, images: torch.Tensor, memory: Memory) -> torch.Tensor:
    """Return what the windows of a plan show of images `[B, h, w, C]` of one size."""
    count, height, width, channels = images.shape
    fixed, parts = PolicyConstants.of(plan.policy, channels), plan.window.at(height, width).parts
    pixels = images.numpy()
    frames = memory.take((count, *plan.size, channels), pixels.dtype)

    def cut(rows: Indices) -> None:
        own = slice(rows[0], rows[-1] + 1)
        resample_stack(pixels[own], *(part[own] for part in parts), fixed.pad_mode, fixed.pad_fill,
                       frames[own])  # fmt: skip

    spread(cut, _shared_out(count, frames.size))
    return torch.from_numpy(frames)


def images_of(
    plan: Plan, frames: torch.Tensor, offsets: NDArray[np.int32] | None, output: Output,
    memory: Memory,
) -> torch.Tensor:  # fmt: skip
    """Return what `CpuEngine.apply` does, made by as many threads as torch has."""
    check_images(frames, plan.count)
    output.check(plan.policy)
    fixed = PolicyConstants.of(plan.policy, frames.shape[3])
    out, batch = allocate(plan.count, fixed.channels, plan.size, output, memory)
    job, pixels = job_of(plan, fixed, output, memory), frames.numpy()
    parts = _shared_out(plan.count, out.size)
    spread(lambda rows: job.run(pixels, rows, out, offsets=offsets), parts)
    return batch


def _shared_out(count: int, values: int) -> list[Indices]:
    threads = max(1, min(torch.get_num_threads(), values // SHARE, count))
    return np.array_split(np.arange(count), threads) if count else []
