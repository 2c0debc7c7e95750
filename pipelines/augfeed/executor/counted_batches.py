"""Batches of samples that are counted, on a CPU: those that follow one another are planned as one.

A plan costs Python as much for a batch of small images as for sixteen of them.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines.cpu import Job, allocate, job_of
from augfeed.executor.cpu_tensors import cut_to, share
from augfeed.executor.given_images import Asked
from augfeed.memory_pool import Memory
from augfeed.plan import Plan, Windows, draw_plan
from augfeed.plan.counted_rows import counted_rows
from augfeed.plan.mixing import unmixed
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.read.resident import cut_by_engine

MOST = 2048  # rows that are planned as one, in about a millisecond


@dataclass(frozen=True, slots=True)
class _Ahead:
    # Batches of `each` samples from sample `first` to before `end`; without a job there has been
    # one, planned alone.
    asked: Asked
    first: int
    end: int
    each: int
    job: Job | None = None
    rows: NDArray[np.void] | None = None
    windows: Windows | None = None

    def has(self, asked: Asked, first: int, count: int) -> bool:
        return (
            self.first <= first
            and first + count <= self.end
            and count <= self.each
            and (first - self.first) % self.each == 0
            and self.asked == asked
        )


@dataclass(frozen=True, slots=True)
class CountedBatch:
    """A batch whose plan is part of a larger one."""

    job: Job
    rows: NDArray[np.void]
    windows: Windows | None
    part: slice  # of the larger plan
    memory: Memory

    @property
    def label_plan(self) -> Plan:
        """A plan for the labels, which nothing mixes; its columns are those of the larger one."""
        count = self.part.stop - self.part.start
        plan = self.job.plan
        return replace(plan, ids=plan.ids[self.part], count=count, mixes=unmixed(count))

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the images that come out, of those `[B, h, w, C]` that are given."""
        job, count = self.job, len(pixels)
        frames = pixels.numpy()
        if self.windows is not None:
            parts = tuple(part[self.part] for part in self.windows.parts)
            frames = cut_to(job.plan.size, frames, parts, job.fixed, self.memory)
        channels = frames.shape[3]
        out, batch = allocate(count, channels, job.plan.size, job.output, self.memory)
        first = self.part.start
        share(lambda which: job.run_some(frames, self.rows, first, which, out), count, out.size)
        return batch


class CountedBatches:
    """The batches of a module, as long as they follow one another; others are nothing to it.

    It plans as far ahead as batches have come before: a batch alone is not planned twice.
    """

    def __init__(self, memory: Memory) -> None:
        """Know of no batch yet; `memory` is for what is made."""
        self._memory = memory
        self._ahead: _Ahead | None = None  # replaced as a whole, so that threads may share it

    def next(self, asked: Asked, first: int, count: int) -> CountedBatch | None:
        """Return the batch of samples from `first` on; None where it is to be planned alone."""
        if not count:
            return None
        ahead = self._ahead
        if ahead is None or not ahead.has(asked, first, count):
            ahead = self._ahead = self._after(ahead, asked, first, count)
        if ahead.job is None or ahead.rows is None:
            return None
        begin = first - ahead.first
        return CountedBatch(ahead.job, ahead.rows, ahead.windows, slice(begin, begin + count),
                            self._memory)  # fmt: skip

    def _after(self, before: _Ahead | None, asked: Asked, first: int, count: int) -> _Ahead:
        follows = (before is not None and before.end == first and before.each == count
                   and before.asked == asked)  # fmt: skip
        most = min(2 * (before.end - before.first), MOST) // count if follows and before else 0
        policy = asked.policy
        mixes = policy.mixer or policy.scenes or policy.stages
        if most < 2 or mixes or asked.channels not in (1, 3):
            return _Ahead(asked, first, first + count, count)
        rows = counted_rows(first, most * count)
        plan = draw_plan(policy, rows, seed=asked.seed, epoch=asked.epoch,
                         size=policy.size(asked.size))  # fmt: skip
        job = job_of(plan, PolicyConstants.of(policy, asked.channels), asked.output, self._memory)
        offsets = windows = None
        if cut_by_engine(policy, asked.size):
            offsets = plan.window.offsets(*asked.size)
        else:
            windows = plan.window.at(*asked.size)
        places = np.arange(most * count) % count
        placed = job.placed(count, places, offsets)
        return _Ahead(asked, first, first + most * count, count, job, placed, windows)
