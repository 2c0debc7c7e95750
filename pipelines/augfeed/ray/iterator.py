"""The iterator of a `RayLoader`: what is asked of actors, and what becomes of their batches."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from augfeed.batch import Batch
from augfeed.errors import ReadError, StateError
from augfeed.feed.epoch_pass import EpochPass
from augfeed.fields.annotated import FieldTargets
from augfeed.prefetch import Prefetcher, SideStream, tensors_of
from augfeed.ray.crops import Finisher
from augfeed.ray.errors import ClusterError
from augfeed.ray.jobs import Address
from augfeed.ray.pool import Pool
from augfeed.ray.shipment import Unpacker
from augfeed.read.read_errors import LOG, ReadFailureLog
from augfeed.wire import is_fields


@dataclass(frozen=True, slots=True)
class _Work:
    tasks: list[Callable[[], None]]
    finish: Callable[[], Batch]


class Course:
    """The batches of a pass, in order: from step `first` to before `steps`, both in `part`.

    `key` is the epoch, and (rank, world); `together` the samples of a step, of all ranks.
    `finisher` makes batches of crops; None where actors make them.
    """

    def __init__(
        self, pool: Pool, key: tuple[int, tuple[int, int]], part: tuple[int, int], together: int,
        device: torch.device | None, finisher: Finisher | None = None,
    ) -> None:  # fmt: skip
        """Ask for the first batches."""
        self.pool, self.device, self.together = pool, device, together
        (self.epoch, self.shard), (self.step, self.steps) = key, part
        self.finisher, self.log = finisher, ReadFailureLog()
        job, cuda = pool.job, device is not None and device.type == "cuda"
        self._skips, self._reported, self._closed = job.reading.on_error == "skip", False, False
        self._unpacker = Unpacker(job.policy, job.views, job.seed, pinned=cuda)
        self._side = None if device is None or device.type == "cpu" else SideStream(device)
        # Memory that a copy reads from lives until the copy is done.
        self._copied: deque[tuple[Any, Any]] = deque()
        ahead = pool.actors.ahead
        works = self._works(range(*part))
        self._prefetcher = Prefetcher(works, threads=ahead, ahead=ahead)

    def take(self) -> Batch:
        """Return the batch of the next step, or raise what came in its place."""
        while self.step < self.steps:
            if self._closed:
                raise ClusterError(
                    f"batch {self.step}: the loader was closed: begin a new pass; a state that was "
                    "taken says where"
                )
            self.step += 1
            begun = time.perf_counter()
            batch: Batch = next(self._prefetcher)
            self.pool.waited(time.perf_counter() - begun)
            if len(batch):
                return batch
            if self.shard[1] > 1:  # the other ranks have one, and would wait for this one for ever
                raise ReadError(
                    f"batch {self.step - 1} has no image that can be read, and on_error='skip' "
                    "leaves nothing of it: use on_error='replace' with several ranks"
                )
        report = "" if self._reported else self.log.report(self.epoch, skipped=self._skips)
        self._reported = True
        if report:
            LOG.warning(report)
        raise StopIteration

    def close(self) -> None:
        """Ask for no more."""
        self._closed = True
        self._prefetcher.close()

    def _works(self, steps: range) -> Iterator[_Work]:
        fetch = self._fetch if self.finisher is None else self._fetch_crops
        for step in steps:
            held: list[Any] = []
            yield _Work([partial(fetch, step, held)], partial(self._finish, held))

    def _ask(self, step: int, *, crops: bool = False) -> Any:
        came = self.pool.ask(Address(self.epoch, step, *self.shard), crops=crops)
        for failure in came.unread_files:
            self.log.add(failure)
        return came

    def _fetch_crops(self, step: int, held: list[Any]) -> None:
        assert self.finisher is not None
        work = self.finisher.work(self._ask(step, crops=True), self._unpacker)
        for task in work.tasks:
            task()
        group = work.finish()
        held.append(lambda: group.take(0))

    def _fetch(self, step: int, held: list[Any]) -> None:
        batch = self._unpacker.batch(self._ask(step))
        if self._side is None:
            held.append(lambda: batch)
            return
        assert self.device is not None
        moved = self._side.run(partial(_moved, batch, self.device))
        held.append(partial(self._taken, moved, batch))

    @staticmethod
    def _finish(held: list[Any]) -> Batch:
        batch: Batch = held[0]()
        return batch

    def _taken(self, moved: tuple[Batch, Any], host: Batch) -> Batch:
        assert self._side is not None
        self._copied.append((moved[1], host))
        while self._copied and (self._copied[0][0] is None or self._copied[0][0].query()):
            self._copied.popleft()
        return self._side.take(moved)


class _Loader(Protocol):
    def begin(self) -> tuple[EpochPass, Course]: ...

    def __len__(self) -> int: ...


class RayIterator:
    """One pass; it begins with its first batch, and keeps the loader.

    Lightning makes the iterator of a run that it resumes at the end of an epoch before it says
    which epoch comes. After an error of the data the next batch follows; after a `ClusterError`
    the pass has ended, as a batch would be missing, and raises it again.
    """

    def __init__(self, loader: _Loader) -> None:
        """Begin nothing yet."""
        self._loader, self._process = loader, os.getpid()
        self._begun: tuple[EpochPass, Course] | None = None
        self._error: Exception | None = None

    def __iter__(self) -> "RayIterator":
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        """Return `(images, targets)`, where images of views are tensors by name."""
        batch = self.next_batch()
        return batch.given, batch.targets

    def next_batch(self) -> Batch:
        """Return the next batch with the ids of its samples."""
        if self._error is not None:
            raise self._error
        if os.getpid() != self._process:
            raise StateError(
                "the pass was begun in another process, whose threads are not in this one: "
                "begin a new pass; load_state_dict() says where"
            )
        if self._begun is None:
            self._begun = self._loader.begin()
        run, course = self._begun
        try:
            batch = course.take()
        except StopIteration:
            run.done = True
            course.close()
            raise
        except ClusterError as error:
            self._error = error
            course.close()
            raise
        run.position = course.step * course.together
        return batch

    def batches(self) -> Iterator[Batch]:
        """Iterate over whole batches."""
        while True:
            try:
                yield self.next_batch()
            except StopIteration:
                return

    def __del__(self) -> None:
        if (begun := self.__dict__.get("_begun")) is not None:
            begun[1].close()  # it and its threads refer to each other


def _moved(batch: Batch, device: torch.device) -> Batch:
    targets = batch.targets
    if targets is not None:
        pinned = next(iter(tensors_of(targets))).is_pinned()
        given = FieldTargets.of(targets, len(batch)) if is_fields(targets) else targets
        there = given.to(device, non_blocking=pinned)
        targets = there.value if isinstance(there, FieldTargets) else there
    views = {name: replace(view, images=view.images.to(device, non_blocking=True))
             for name, view in batch.views.items()}  # fmt: skip
    images = (
        next(iter(views.values())).images if views else batch.images.to(device, non_blocking=True)
    )
    return replace(batch, images=images, targets=targets, views=views)
