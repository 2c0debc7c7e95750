"""Batches of frames that worker processes have made: on the CPU, or on a device."""

import math

import numpy as np
import torch

from augfeed.engines import Output
from augfeed.executor import Execution, FrameSet, Indices, Planned
from augfeed.executor.cpu import CpuRun
from augfeed.executor.device import DeviceHandle, DeviceRun
from augfeed.memory_pool import Memory
from augfeed.plan.policy_constants import PolicyConstants

SPREAD = 16 << 20  # bytes of a batch from which on several threads are worth their while


class WorkerExecutor:
    """Carries out the plan of one batch whose frames have come from a worker process."""

    def __init__(
        self, frames: torch.Tensor, device: DeviceHandle, output: Output, memory: Memory, *,
        uncut: bool = False,
    ) -> None:  # fmt: skip
        """Take frames `[M, H, W, C]` of all rows of the plan, on the host.

        With `uncut` they are images `[M, h, w, C]` that the engine is to cut.
        """
        self.frames, self.device, self.uncut = frames, device, uncut
        self.output, self.memory = output, memory

    def start(self, planned: Planned) -> Execution:
        """Return what gives out the frames, and what makes images of them."""
        frames = FetchedFrames(self.frames, planned, uncut=self.uncut)
        if not self.device.on_cpu_alone:
            return Execution(frames, DeviceRun(self.device, planned, self.output))
        plan, channels = planned.plan, self.frames.shape[3]
        size = plan.count * channels * math.prod(plan.size) * self.output.dtype.itemsize
        threads = torch.get_num_threads() if size >= SPREAD else 1
        fixed = PolicyConstants.of(plan.policy, channels)
        run = CpuRun(planned, fixed, self.output, self.memory, threads=threads)
        return Execution(frames, run)


class FetchedFrames:
    """Frames of all rows of a plan, which are there."""

    def __init__(self, frames: torch.Tensor, planned: Planned, *, uncut: bool) -> None:
        """Take the frames, or images which are `uncut`; there is one task."""
        self.frames, self.planned, self.uncut = frames, planned, uncut
        self.parts = [np.arange(planned.rows.count)]

    def read(self, part: Indices) -> FrameSet:
        """Return all frames."""
        sizes = self.frames.shape[1:3]
        offsets = self.planned.plan.window.offsets(*sizes) if self.uncut else None
        return FrameSet(self.frames, part, offsets=offsets)
