"""From rows to batches: the four steps that every batch takes, and what carries them out.

1. rows: the samples of one batch, or several, become a plan.
2. frames: their images are read, cut and resized as the plan says.
3. stages: the policy's stages of Kornia run on the frames.
4. engine: one pass makes the images that come out; labels become targets.

`BatchWork` takes these steps; an `Executor` says where: `executor.cpu` in the threads that run the
tasks, `executor.device` on a device, `executor.workers` on frames that worker processes have made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.batch import Batch
from augfeed.executor.annotations import FollowAnnotations
from augfeed.executor.joined_images import JoinedImages
from augfeed.fields.annotated import FieldTargets
from augfeed.plan import BatchRows, Plan, Sharing, draw_plan
from augfeed.plan.batch_rows import joined
from augfeed.policy import Policy
from augfeed.read.device_frames import DeferredFrame
from augfeed.read.read_errors import RowSources
from augfeed.stage_costs import Costs
from augfeed.targets import AnyTargets

Indices = NDArray[np.int64]
Task = Callable[[], None]
Labeller = Callable[[Plan, RowSources], AnyTargets]


class BatchKey(Protocol):
    """A batch that is asked for: its rows, its number in the epoch, and what keys its draws."""

    @property
    def rows(self) -> BatchRows:
        """The samples."""
        ...

    @property
    def step(self) -> int:
        """The number of the batch in its epoch."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch."""
        ...

    @property
    def seed(self) -> int:
        """The seed."""
        ...


R = TypeVar("R", bound=BatchKey)
R_co = TypeVar("R_co", bound=BatchKey, covariant=True)


@dataclass(frozen=True, slots=True)
class Planned:
    """Batches whose plan is drawn, as one: their rows, and how many come out in each batch."""

    plan: Plan
    rows: BatchRows
    counts: list[int]
    taken: RowSources
    driver: "Driver"

    def targets(self) -> AnyTargets:
        """Return the targets of all batches, on the host."""
        with self.driver.costs.of("targets", self.rows.count):
            return self.driver.label(self.plan, self.taken)

    def part(self, k: int) -> slice:
        """Return the rows of batch `k`."""
        first = sum(self.counts[:k])
        return slice(first, first + self.counts[k])


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Images for the engine, and the rows of the batch that it makes of them.

    `images` `[N, h, w, C]` are frames of `rows` of the plan (None: of all, in their order), or a
    whole dataset of which `offsets` says where to cut. `places[row]` is the image of a row of the
    plan (None: the one of the same number). `written` are the rows of the batch that come of them.
    `waiting` are frames that the device is yet to make.
    """

    images: torch.Tensor
    written: Indices
    rows: Indices | None = None
    places: Indices | None = None
    offsets: NDArray[np.int32] | None = None
    waiting: list[DeferredFrame] = field(default_factory=list)


class FrameReader(Protocol):
    """Makes the frames of one plan, some rows at a time, in any thread and order."""

    @property
    def parts(self) -> Sequence[Indices]:
        """The rows of each task."""
        ...

    def read(self, part: Indices) -> FrameSet | None:
        """Return what is ready for the engine once these rows are read; None if nothing is."""
        ...


class EngineRun(Protocol):
    """Makes the images of one plan of its frames, and gives them out."""

    def queue(self, work: Task) -> None:
        """Run the stages and the engine where the images are made."""
        ...

    def load(self, frames: FrameSet) -> torch.Tensor:
        """Return the images of a frame set where the engine runs."""
        ...

    def apply(self, frames: FrameSet, images: torch.Tensor) -> None:
        """Run the engine on the images of a frame set, which stages may have changed."""
        ...

    def label(self, frames: FrameSet) -> None:
        """Make the targets, once all frames are read of which the rows of the batch are made."""
        ...

    def take(self, k: int) -> tuple[torch.Tensor, AnyTargets]:
        """Return images and targets of batch `k` of the plan, for the current stream."""
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """One plan that is carried out."""

    frames: FrameReader
    engine: EngineRun


class Executor(Protocol):
    """Says where plans are carried out: `executor.cpu`, `executor.device`, `executor.workers`."""

    def start(self, planned: Planned) -> Execution:
        """Return what makes the frames of a plan, and what makes images of them."""
        ...


class Group(Protocol[R_co]):
    """Batches that were made as one, which are given out one by one."""

    @property
    def requests(self) -> Sequence[R_co]:
        """What was asked for."""
        ...

    def __len__(self) -> int: ...

    def take(self, k: int) -> Batch:
        """Return batch `k`, which the stream that is current now waits for."""
        ...


class Work(Protocol[R_co]):
    """Batches in the making: `tasks` run in any thread and order, then `finish`."""

    @property
    def tasks(self) -> Sequence[Task]:
        """What may run side by side."""
        ...

    def run(self) -> Group[R_co]:
        """Return the batches, made in this thread."""
        ...

    def finish(self) -> Group[R_co]:
        """Return the batches, once all tasks have run."""
        ...


@dataclass(frozen=True, slots=True)
class Driver:
    """What batches have in common that are made in one way; `size` is (height, width) of an image.

    `skip` leaves samples out that could not be read. `lazily` makes the images of each batch only
    when it is taken, where a CPU takes them from memory; all else is made for all batches at once.
    `sharing` is what views draw together, and `joined` the memory that their images lie in, where
    several plans make those of one tensor.
    """

    executor: Executor
    policy: Policy
    size: tuple[int, int]
    label: Labeller
    costs: Costs
    skip: bool = False
    lazily: bool = False
    sharing: Sharing | None = None
    follow: FollowAnnotations | None = None
    joined: JoinedImages | None = None


class BatchWork(Generic[R]):
    """Batches that are made as one: `tasks` run in any thread and order, then `finish`."""

    def __init__(self, driver: Driver, requests: Sequence[R], *, at_once: bool = False) -> None:
        """Draw the plan now; `at_once` leaves that to the one task that does everything then."""
        self.driver, self.requests, self._at_once = driver, requests, at_once
        if not at_once:
            self._begin()

    @property
    def tasks(self) -> Sequence[Task]:
        """What may run side by side."""
        if self._at_once:
            return [self._run_all]
        return [partial(self._run, part) for part in self.execution.frames.parts]

    def run(self) -> "BatchGroup[R]":
        """Return the batches, made in this thread."""
        for task in self.tasks:
            task()
        return self.finish()

    def finish(self) -> "BatchGroup[R]":
        """Return the batches, once all tasks have run."""
        return BatchGroup(self.driver, self.requests, self.planned, self.execution.engine)

    def _run_all(self) -> None:
        self._begin()
        for part in self.execution.frames.parts:
            self._run(part)

    # The four steps

    def _begin(self) -> None:
        rows = joined([request.rows for request in self.requests])
        driver, first = self.driver, self.requests[0]
        counts = [request.rows.count for request in self.requests]
        with driver.costs.of("plan", sum(counts)):
            plan = draw_plan(
                driver.policy, rows, seed=first.seed, epoch=first.epoch, size=driver.size,
                sharing=driver.sharing,
            )  # fmt: skip
        self.planned = Planned(plan, rows, counts, RowSources.of(plan.ids), driver)
        self.execution = driver.executor.start(self.planned)

    def _run(self, part: Indices) -> None:
        frames, planned = self.execution.frames.read(part), self.planned
        if self.driver.follow is not None:
            self.driver.follow.move(planned.plan, part, planned.taken)
        if frames is not None:
            self.execution.engine.queue(partial(self.augment, frames))

    def augment(self, frames: FrameSet) -> None:
        """Make images of frames: the steps 3 and 4; the engine says where."""
        engine, plan = self.execution.engine, self.planned.plan
        images = engine.load(frames)
        with self.driver.costs.of("augment", len(frames.written)):
            engine.apply(frames, staged(plan, images, frames.rows))
        engine.label(frames)


@dataclass(frozen=True, slots=True)
class BatchGroup(Generic[R]):
    """Batches that were made as one; on a device they may still be in the making."""

    driver: Driver
    requests: Sequence[R]
    planned: Planned
    engine: EngineRun

    def __len__(self) -> int:
        return len(self.requests)

    def take(self, k: int) -> Batch:
        """Return batch `k`, which the stream that is current now waits for."""
        images, targets = self.engine.take(k)
        planned, request = self.planned, self.requests[k]
        plan, taken = planned.plan, planned.taken
        if len(self.requests) > 1:
            drawn = partial(draw_plan, plan.policy, request.rows, seed=plan.seed,
                            epoch=plan.epoch, size=plan.size)  # fmt: skip
            ids = torch.from_numpy(taken.ids[planned.part(k)].copy())
            return Batch(images, targets, ids, plan.epoch, request.step, drawn)
        ids = torch.from_numpy(taken.ids[: plan.count])
        if self.driver.skip and (unread := taken.unread[: plan.count]).any():
            left = torch.from_numpy(np.flatnonzero(~unread))
            there = onto(left, images.device)
            images, ids = images[there], ids[left]
            if targets is not None:
                targets = targets[left if isinstance(targets, FieldTargets) else there]
        given = targets.value if isinstance(targets, FieldTargets) else targets
        return Batch(images, given, ids, plan.epoch, request.step, plan)


def staged(plan: Plan, frames: torch.Tensor, rows: Indices | None = None) -> torch.Tensor:
    """Return frames `[M, H, W, C]` of some rows (None: of all) after the policy's stages of Kornia;
    the frames themselves if it has none."""
    if not plan.policy.stages:
        return frames
    from augfeed.stages import run_stages

    return run_stages(plan, frames, rows)


@overload
def onto(targets: torch.Tensor, device: torch.device) -> torch.Tensor: ...
@overload
def onto(targets: AnyTargets, device: torch.device) -> AnyTargets: ...
def onto(targets: AnyTargets, device: torch.device) -> AnyTargets:
    """Return targets on a device; to a GPU they go through page-locked memory, so nothing waits."""
    if targets is None or device.type == "cpu":
        return targets
    if device.type == "cuda":
        targets = targets.pin_memory()
    return targets.to(device, non_blocking=True)
