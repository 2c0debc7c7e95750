"""Batches of several views: a plan for each part, over images that are read and decoded once."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.batch import Batch
from augfeed.executor import (
    BatchKey,
    BatchWork,
    Driver,
    FrameSet,
    Indices,
    Labeller,
    R,
    Task,
    onto,
)
from augfeed.executor.device import BufferedFrames
from augfeed.executor.joined_images import JoinedImages
from augfeed.executor.view_batch import ViewBatch, of_samples
from augfeed.plan import BatchRows, draw_plan, rows_of_views
from augfeed.policy import Policy
from augfeed.read.read_errors import RowSources
from augfeed.read.view_frames import ViewFrames, ViewsAsked
from augfeed.targets import AnyTargets

Sizes = tuple[int, int] | NDArray[np.int64]
SAMPLES = 8  # that one task reads, in all their views


class PartOfViews(Protocol):
    """Views side by side that are made by one plan: see `augfeed.views.ViewPart`."""

    @property
    def name(self) -> str:
        """The name of their tensor."""
        ...

    @property
    def first(self) -> int:
        """The number of the first view."""
        ...

    @property
    def count(self) -> int:
        """How many they are."""
        ...


@dataclass(frozen=True, slots=True)
class RowsOfPart:
    """The rows of a part of the views of a batch that is asked for."""

    rows: BatchRows
    step: int
    epoch: int
    seed: int

    @classmethod
    def of(cls, asked: BatchKey, part: PartOfViews) -> "RowsOfPart":
        """Return the rows of all views of a part."""
        rows = rows_of_views(asked.rows, part.first, part.count)
        return cls(rows, asked.step, asked.epoch, asked.seed)


class ViewWork(Generic[R]):
    """One batch of views: `tasks` run in any thread and order, then `finish`.

    `frames` read each image once for all parts; without them, of images in memory, each part cuts
    its own.
    """

    def __init__(
        self, parts: Sequence[tuple[PartOfViews, Driver]], request: R, label: Labeller,
        frames: ViewFrames | None = None, *, sizes: Sizes | None = None,
    ) -> None:  # fmt: skip
        """Draw the plans; `sizes` are height and width of images in memory."""
        self._label, self._skip = label, parts[0][1].skip
        self.request, self.parts = request, [part for part, _ in parts]
        count, views = request.rows.count, Counter[str]()
        for part, _ in parts:
            views[part.name] += part.count
        self._joined = {name: JoinedImages(views[name] * count) for name in views}
        self.works = [
            BatchWork(replace(driver, joined=self._joined[part.name]),
                      [RowsOfPart.of(request, part)])
            for part, driver in parts
        ]  # fmt: skip
        self._taken = RowSources.of(request.rows.ids[:count])
        self._sizes = np.zeros((count, 2), np.int64)
        self._sizes[:] = 0 if sizes is None else sizes
        self._parts = np.array_split(np.arange(count), max(1, -(-count // SAMPLES)))
        self._read = None if frames is None else _Reading(self, frames, len(self._parts))

    @property
    def tasks(self) -> Sequence[Task]:
        """What may run side by side."""
        if self._read is None:
            return [task for work in self.works for task in work.tasks]
        return [partial(self._read.run, part) for part in self._parts]

    @property
    def taken(self) -> RowSources:
        """Whose images the samples' views show."""
        return self._taken

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Height and width of the samples' images, once they are read."""
        return self._sizes

    def run(self) -> "ViewGroup[R]":
        """Return the batch, made in this thread."""
        for task in self.tasks:
            task()
        return self.finish()

    def finish(self) -> "ViewGroup[R]":
        """Return the batch, once all tasks have run."""
        return ViewGroup(self, [self.request])

    def batch(self) -> Batch:
        """Return the batch, which the stream that is current now waits for."""
        made = [work.finish().take(0) for work in self.works]
        request, taken, count = self.request, self._taken, self.request.rows.count
        skipped = taken.unread if self._skip else np.zeros(count, np.bool_)
        kept = np.flatnonzero(~skipped)
        views: dict[str, ViewBatch] = {}
        for name, images in self._joined.items():
            own = [batch for batch, part in zip(made, self.parts, strict=True) if part.name == name]
            joined = own[0].images if len(own) == 1 else images.tensor
            joined = torch.cat([batch.images for batch in own]) if joined is None else joined
            views[name] = ViewBatch(
                of_samples(joined, kept, count), [batch.plan for batch in own], self._sizes, kept
            )
        first = next(iter(views.values()))
        targets, ids = onto(self._targets(), first.images.device), torch.from_numpy(taken.ids)
        if len(kept) < count:
            left = torch.from_numpy(kept)
            ids = ids[left]
            targets = None if targets is None else targets[onto(left, first.images.device)]
        return Batch(first.images, targets, ids, request.epoch, request.step, first.plans[0], views)

    def _targets(self) -> AnyTargets:
        asked, plan = self.request, self.works[0].planned.plan
        own = draw_plan(Policy(), asked.rows, seed=asked.seed, epoch=asked.epoch, size=plan.size)
        return self._label(own, self._taken)


class _Reading:
    # Reads samples for all parts, and hands their frames to the engines: those of each task on a
    # CPU, those of the whole batch on a device.

    def __init__(self, work: ViewWork[R], frames: ViewFrames, tasks: int) -> None:
        self.works, self.frames = work.works, frames
        self.asked = ViewsAsked([one.planned.plan for one in work.works], work.taken, work.sizes)
        runs = [one.execution.frames for one in work.works]
        self.buffers = [run.buffer for run in runs if isinstance(run, BufferedFrames)]
        self._left, self._lock = tasks, threading.Lock()

    def run(self, samples: Indices) -> None:
        rows = [self.asked.rows(k, samples) for k in range(len(self.works))]
        if not self.buffers:
            memory, channels = self.frames.frames.memory, self.frames.frames.source.channels
            outs = [memory.take((len(own), *plan.size, channels), np.uint8)
                    for own, plan in zip(rows, self.asked.plans, strict=True)]  # fmt: skip
            self._read(samples, outs)
            for work, own, out in zip(self.works, rows, outs, strict=True):
                places = np.zeros(len(work.planned.plan.ids), np.int64)
                places[own] = np.arange(len(own))
                self._hand_over(work, FrameSet(torch.from_numpy(out), own, own, places))
            return
        for sample in samples.tolist():  # its frames lie apart in the buffers
            one = np.array([sample])
            outs = [buffer.numpy()[sample :: len(self.asked.sizes)] for buffer in self.buffers]
            self._read(one, outs)
        with self._lock:
            self._left -= 1
            if self._left:
                return
        for work, buffer in zip(self.works, self.buffers, strict=True):
            self._hand_over(work, FrameSet(buffer, np.arange(work.planned.plan.count)))

    def _read(self, samples: Indices, outs: Sequence[NDArray[np.uint8]]) -> None:
        with self.works[0].driver.costs.of("read", len(samples)):
            self.frames.read(self.asked, samples, outs)

    @staticmethod
    def _hand_over(work: BatchWork[RowsOfPart], frames: FrameSet) -> None:
        work.execution.engine.queue(partial(work.augment, frames))


@dataclass(frozen=True, slots=True)
class ViewGroup(Generic[R]):
    """A batch of views, as `BatchGroup` has batches."""

    work: ViewWork[R]
    requests: Sequence[R]

    def __len__(self) -> int:
        return 1

    def take(self, k: int) -> Batch:
        """Return the batch, which the stream that is current now waits for."""
        return self.work.batch()
