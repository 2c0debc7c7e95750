"""Batches that lie in the memory of a CPU as tensors: cut, and made images of, by threads."""

from collections.abc import Callable
from typing import Any

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
    count, channels, height, width = images.shape
    if channels == 1 or height * width == 1 or not images.is_contiguous():
        return images.permute(0, 2, 3, 1).contiguous()
    planes = images.numpy()
    pixels = memory.take((count, height, width, channels), planes.dtype)
    interleave(planes, pixels)
    return torch.from_numpy(pixels)


def cut_stack(plan: Plan, images: torch.Tensor, memory: Memory) -> torch.Tensor:
    """Return what the windows of a plan show of images `[B, h, w, C]` of one size."""
    height, width, channels = images.shape[1:]
    fixed, parts = PolicyConstants.of(plan.policy, channels), plan.window.at(height, width).parts
    return torch.from_numpy(cut_to(plan.size, images.numpy(), parts, fixed, memory))


def cut_to(
    size: tuple[int, int], images: NDArray[Any], parts: tuple[NDArray[np.int32], ...],
    fixed: PolicyConstants, memory: Memory,
) -> NDArray[Any]:  # fmt: skip
    """Return frames of a size, cut of images `[B, h, w, C]` as the parts of their windows say."""
    frames = memory.take((len(images), *size, images.shape[3]), images.dtype)

    def cut(rows: Indices) -> None:
        own = slice(rows[0], rows[-1] + 1)
        resample_stack(images[own], *(part[own] for part in parts), fixed.pad_mode, fixed.pad_fill,
                       frames[own])  # fmt: skip

    share(cut, len(images), frames.size)
    return frames


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
    share(lambda rows: job.run(pixels, rows, out, offsets=offsets), plan.count, out.size)
    return batch


def share(run: Callable[[Indices], None], count: int, values: int) -> None:
    """Run over `count` rows of so many values in all, by as many threads as they are worth."""
    threads = max(1, min(torch.get_num_threads(), values // SHARE, count))
    rows = np.arange(count)
    if threads > 1:
        spread(run, np.array_split(rows, threads))
    elif count:
        run(rows)
