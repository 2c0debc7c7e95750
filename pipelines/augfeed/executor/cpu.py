"""Batches by the engine for CPUs: the threads that read frames make images of them at once."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Engine, Output, engine_for
from augfeed.engines.cpu import allocate, job_of
from augfeed.executor import Execution, FrameReader, FrameSet, Indices, Planned, Task
from augfeed.executor.inputs import BatchInputs
from augfeed.executor.scenes import SceneReader
from augfeed.fields.annotated import FieldTargets
from augfeed.memory_pool import Memory
from augfeed.plan import BatchRows
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.targets import AnyTargets, Targets

READ_ROWS = 32  # images that one task decodes
CPU_ROWS, CPU_BYTES = 2048, 8 << 20  # of small batches that a thread plans, and makes, as one
PLAN_ROWS = 8192  # of small batches that are planned as one, each made when it is asked for
CPU_GROUPS = 8  # of an epoch, at least: threads share them, and the first should come soon


class CpuExecutor:
    """Carries plans out on the CPU, by Numba's loops."""

    resident = True  # a dataset in memory is where the engine takes it from

    def __init__(self, inputs: BatchInputs) -> None:
        """Take what batches are made of."""
        self.inputs = inputs

    @property
    def engine(self) -> Engine:
        """The engine as others have it, a batch at a time."""
        return engine_for("cpu", "cpu")

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def together(self, count: int, each: int) -> int:
        """Return how many batches of `count` images are best planned as one by threads."""
        return max(1, min(PLAN_ROWS, len(self.inputs.source) // CPU_GROUPS) // max(1, count))

    def planned_together(self, count: int) -> int:
        """Return how many batches of `count` images are best planned as one, and made alone."""
        return max(1, min(PLAN_ROWS, len(self.inputs.source) // CPU_GROUPS) // max(1, count))

    def start(self, planned: Planned) -> Execution:
        """Return what makes the frames of a plan, and what makes images of them."""
        inputs = self.inputs
        run = CpuRun(planned, inputs.fixed, inputs.output, inputs.memory)
        frames: FrameReader
        frames = (SceneReader if planned.plan.joins else HostFrames)(inputs, planned)
        return Execution(frames, run)


class HostFrames:
    """Frames of a plan that are read by parts, each with the partners of its rows."""

    def __init__(self, inputs: BatchInputs, planned: Planned) -> None:
        """Read nothing yet."""
        self.inputs, self.planned = inputs, planned
        whole = inputs.pictures is not None
        self.parts = [np.arange(planned.rows.count)] if whole else by_groups(planned.rows)

    def read(self, part: Indices) -> FrameSet:
        """Return the frames that some rows of the batch are made of."""
        inputs, plan, taken = self.inputs, self.planned.plan, self.planned.taken
        if inputs.pictures is not None:
            return FrameSet(
                inputs.images(), part, places=inputs.places(taken), offsets=inputs.offsets(plan)
            )
        needed = plan.mixes.needed(part)
        places = np.zeros(len(plan.ids), np.int64)
        places[needed] = np.arange(len(needed))
        frames = inputs.read(plan, needed, taken)
        return FrameSet(torch.from_numpy(frames), part, needed, places)


def by_groups(rows: BatchRows) -> list[Indices]:
    """Return the rows that come out in parts of some 32; mixing groups stay whole, so that no
    partner is read twice."""
    starts = np.flatnonzero(np.diff(rows.groups[: rows.count], prepend=-1))
    cuts = [0]
    for start in starts:
        if start - cuts[-1] >= READ_ROWS:
            cuts.append(int(start))
    return [np.arange(*cut) for cut in pairwise([*cuts, rows.count])]


class CpuRun:
    """Images of a plan by Numba's loops, in the threads that ask for them."""

    def __init__(
        self,
        planned: Planned,
        fixed: PolicyConstants,
        output: Output,
        memory: Memory,
        *,
        threads: int = 1,
    ) -> None:
        """Take memory for the batches; `threads` share the rows of each frame set."""
        plan = planned.plan
        self.planned, self.threads = planned, threads
        self._job = job_of(plan, fixed, output, memory)
        self._empty = partial(allocate, channels=fixed.channels, size=plan.size, output=output,
                              memory=memory)  # fmt: skip
        driver, joined = planned.driver, planned.driver.joined
        take = self._empty if joined is None else partial(joined.take, empty=self._empty)
        self._made = [] if driver.lazily else [take(count) for count in planned.counts]
        self._left: tuple[NDArray[Any], NDArray[Any]] | None = None  # images and rows, if lazily
        self._targets: list[AnyTargets] = []

    def queue(self, work: Task) -> None:
        """Do it in this thread."""
        work()

    def load(self, frames: FrameSet) -> torch.Tensor:
        """Return the images of a frame set, which lie where they are needed."""
        return frames.images

    def apply(self, frames: FrameSet, images: torch.Tensor) -> None:
        """Write what the engine makes of the images of a frame set."""
        pixels, outs = images.numpy(), [out for out, _ in self._made]
        places, offsets = frames.places, frames.offsets
        if self.planned.driver.lazily:
            self._left = pixels, self._job.placed(len(pixels), places, offsets)
        elif len(outs) > 1:
            assert places is not None
            self._job.run_each(pixels, outs, places=places, offsets=offsets)
        else:
            run = partial(self._job.run, pixels, out=outs[0], places=places, offsets=offsets)
            if self.threads < 2:
                run(frames.written)
            else:
                parts = np.array_split(frames.written, self.threads)
                spread(run, [part for part in parts if len(part)])

    def label(self, frames: FrameSet) -> None:
        """Make the targets, unless some frames may be yet to be read."""
        if len(frames.written) == self.planned.rows.count:
            self._label()

    def take(self, k: int) -> tuple[torch.Tensor, AnyTargets]:
        """Return images and targets of one batch."""
        if not self._targets:
            self._label()
        return self._made[k][1] if self._left is None else self._run(k), self._targets[k]

    def _run(self, k: int) -> torch.Tensor:
        assert self._left is not None
        part, (images, rows) = self.planned.part(k), self._left
        out, tensor = self._empty(part.stop - part.start)
        with self.planned.driver.costs.of("augment", 0):  # its samples have been counted
            self._job.run_part(images, rows, part.start, out)
        return tensor

    def _label(self) -> None:
        targets, counts = self.planned.targets(), self.planned.counts
        if targets is None or len(counts) == 1:
            self._targets = [targets] * len(counts)
        else:
            self._targets = [own_memory(targets[self.planned.part(k)]) for k in range(len(counts))]


def spread(run: Callable[[Indices], None], parts: list[Indices]) -> None:
    """Run over all parts side by side: the first in this thread, each other one in its own."""
    errors: list[BaseException] = []

    def guarded(part: Indices) -> None:
        try:
            run(part)
        except BaseException as error:  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(part,)) for part in parts[1:]]
    for thread in threads:
        thread.start()
    for part in parts[:1]:
        guarded(part)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def cpu_together(count: int, each: int) -> int:
    """Return how many batches of `count` images of `each` bytes a thread best makes as one.

    Python takes as long for a batch as the loops take for its pixels, where images are small, and
    only one thread at a time can run it; what is larger than the caches waits for memory.
    """
    return max(1, min(CPU_ROWS, CPU_BYTES // each) // max(1, count))


def own_memory(
    given: torch.Tensor | Targets | FieldTargets,
) -> torch.Tensor | Targets | FieldTargets:
    """Return targets that share memory with no other batch."""
    if isinstance(given, Targets):
        return replace(given, a=given.a.clone(), b=given.b.clone(), lam=given.lam.clone())
    return given.clone()
