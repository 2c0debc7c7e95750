"""The two lanes that augment: workers of torch's fetch (general), or our own threads (native)."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import IterableDataset, Sampler

from augfeed.batch import Batch
from augfeed.costs import Costs
from augfeed.deliver import onto, staged
from augfeed.engines import Output, Place, engine_for, indexed
from augfeed.engines.cpu import CpuEngine, Job, allocate
from augfeed.errors import InputTypeError, ReadError
from augfeed.feed.accelerate import accelerate_device
from augfeed.feed.fetch import (
    Fetched,
    Fetching,
    Gather,
    Recipe,
    Streaming,
    WorkerStart,
    as_is,
    cut,
)
from augfeed.feed.samples import moved, put, take
from augfeed.feed.shuffle import foreseen
from augfeed.feed.spatial import Still
from augfeed.feed.tickets import Ticket
from augfeed.labels import Flags, check_declared
from augfeed.memory import Memory
from augfeed.pipeline import Form, Pipeline, Work
from augfeed.plan import Plan, Rows, draw_plan
from augfeed.plan.fixed import Fixed
from augfeed.plan.rows import samples_of
from augfeed.policy import LabelSmoothing, Policy
from augfeed.prefetch import Aside, Prefetcher
from augfeed.read.datasets import Recognised
from augfeed.read.reading import Reading
from augfeed.read.unread import LOG
from augfeed.targets import Targets, make_targets, softens

GROUPS_AHEAD = 4  # of batches made together, which take a device's memory meanwhile
SPREAD = 16 << 20  # bytes of a batch from which on several threads are worth their while
Given = tuple[Any, Batch, Ticket]  # what the caller gets, the batch it came from, its ticket


class Lane(Protocol):
    """A way to make batches of tickets."""

    name: str
    costs: Costs

    def open(self, loader: Any, tickets: Callable[[], Iterator[Ticket]], key: tuple[int, int]
             ) -> Iterator[Given]:  # fmt: skip
        """Return the batches of the tickets of a pass whose draws `key` (seed, epoch) names."""
        ...


@dataclass(frozen=True, slots=True)
class Making:
    """How fetched samples become a batch: what a lane is built with."""

    policy: Policy
    output: Output
    engine: str
    device: Any
    form: Form
    num_classes: int | None
    resident: bool | None = None
    reading: Reading = Reading()  # noqa: RUF009  (frozen)
    told_classes: int | None = None  # by the data set, where `num_classes` is None

    @property
    def place(self) -> Place:
        """Where batches are made: on the device given, else Accelerate's, else the CPU."""
        device = self.device if self.device is not None else accelerate_device() or "cpu"
        return Place(device, self.engine, self.resident)

    def check(self) -> None:
        """Raise what would make every batch fail."""
        self.output.check(self.policy)
        self.place.check()


class GeneralLane:
    """Torch's own workers fetch, cut and collate; the main process augments on the device."""

    name = "general"

    def __init__(self, making: Making, recipe: Recipe, reason: str) -> None:
        """Check what can be known without a sample."""
        making.check()
        self.making, self.recipe, self.reason = making, recipe, reason
        self.costs, self._memory = Costs(), Memory()
        self._inner: TorchLoader[Any] | None = None
        self._desk, self._warmed = _Desk(), False
        self._aside: Aside | None = None
        self._flags = Flags()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inner": None, "_desk": _Desk(), "_aside": None}

    def open(
        self, loader: Any, tickets: Callable[[], Iterator[Ticket]], key: tuple[int, int]
    ) -> "Workers":
        """Return the batches of the tickets of a pass."""
        if loader.num_workers:
            self._warm()
        self._desk.tickets = tickets
        inner = self._inner if loader._iterator is not None else None
        iterable = isinstance(loader.dataset, IterableDataset)
        if inner is None or (iterable and self._desk.key != key):
            inner = self._build(loader, key)
        self._desk.key = (key[0], key[1] + 1)  # what workers that live on will count to
        self._inner = inner if loader.persistent_workers else None
        # Samples without a number are fetched again, to be left out.
        skipped = loader._run.position if iterable else 0
        return Workers(iter(inner), self._finish, skipped)

    def _warm(self) -> None:
        # What is compiled, or loaded, here is there in every worker that is forked.
        if not self._warmed:
            size = self.making.policy.size((32, 32))
            rows = Rows.of(np.zeros(1, np.int64))
            ticket = Ticket(0, 0, 0, None, rows, 1)
            cut([np.zeros((*size, 3), np.uint8)], ticket, self.making.policy)
            self._warmed = True

    def _build(self, loader: Any, key: tuple[int, int]) -> TorchLoader[Any]:
        device = self.making.place.known
        shared: dict[str, Any] = {
            name: getattr(loader, name)
            for name in ("num_workers", "timeout", "multiprocessing_context", "generator",
                         "prefetch_factor", "persistent_workers", "in_order")
        }  # fmt: skip
        shared["pin_memory"] = loader.pin_memory and device.type != "cpu"
        shared["worker_init_fn"] = WorkerStart(loader.worker_init_fn)
        if isinstance(loader.dataset, IterableDataset):
            gather = Gather(self.recipe, *key, rank=loader._rank_and_world()[0])
            return TorchLoader(
                Streaming(loader.dataset), batch_size=loader.batch_size, collate_fn=gather,
                drop_last=loader.drop_last, **shared,
            )  # fmt: skip
        fetching = Fetching(loader.dataset, self.recipe, collated=loader._auto_collation)
        return TorchLoader(
            fetching, batch_size=None, sampler=self._desk, collate_fn=as_is, **shared
        )

    def _finish(self, fetched: Fetched) -> Given:
        begun = time.perf_counter()
        making, ticket = self.making, fetched.ticket
        size = (fetched.frames.shape[1], fetched.frames.shape[2])
        plan = draw_plan(
            making.policy, ticket.rows, seed=ticket.seed, epoch=ticket.epoch, size=size
        )
        images = self._augment(plan, fetched.frames)
        where, targets = fetched.where, self._targets(fetched, plan)
        batch = moved(fetched.batch, images.device)
        if targets is not None and where.label is not None:
            targets = onto(targets, images.device)
            one = targets[0] if ticket.single and isinstance(targets, torch.Tensor) else targets
            batch = put(batch, where.label, one)
        elif where.label is not None:
            targets = take(batch, where.label)
            check_declared(targets, making.num_classes)
        batch = put(batch, where.image, images[0] if ticket.single else images)
        own = plan.ids[: plan.count]
        ids = torch.from_numpy(own.copy() if ticket.end < 0 else samples_of(own))
        self.costs.add("fetch", fetched.seconds, len(plan.ids))
        self.costs.add("augment", time.perf_counter() - begun, plan.count)
        return batch, Batch(images, targets, ids, plan.epoch, ticket.step, plan), ticket

    def _targets(self, fetched: Fetched, plan: Plan) -> torch.Tensor | Targets | None:
        making, labels = self.making, fetched.labels
        told, smoothing = making.told_classes, plan.policy.find(LabelSmoothing)
        # Elsewhere it makes no difference for how many classes flags stand.
        matters = making.form == "sparse" or (smoothing is not None and smoothing.epsilon > 0)
        return make_targets(
            labels, plan, num_classes=told if making.num_classes is None else making.num_classes,
            form=making.form, several=self._flags.see(labels) if matters else None,
        )  # fmt: skip

    def _augment(self, plan: Plan, frames: torch.Tensor) -> torch.Tensor:
        making = self.making
        place = making.place
        engine = engine_for(place.device, place.engine)
        if not isinstance(engine, CpuEngine):
            # Aside, so that the copy of this batch runs beside the step that has the one before.
            aside = self._aside = self._aside or Aside(indexed(place.known))
            return aside.take(aside.run(lambda: engine.apply(
                plan, staged(plan, moved(frames, place.known)), output=making.output)))  # fmt: skip
        frames = staged(plan, frames)
        channels = frames.shape[3]
        out, images = allocate(plan.count, channels, plan.size, making.output, self._memory)
        job = Job(plan, Fixed.of(making.policy, channels), making.output, self._memory)
        threads = torch.get_num_threads() if out.nbytes >= SPREAD else 1
        parts = [part for part in np.array_split(np.arange(plan.count), threads) if len(part)]
        spread(partial(job.run, frames.numpy(), out=out), parts)
        return images


def spread(run: Callable[[NDArray[np.int64]], None], parts: list[NDArray[np.int64]]) -> None:
    """Run over all parts side by side: the first in this thread, each other one in its own."""
    errors: list[BaseException] = []

    def guarded(part: NDArray[np.int64]) -> None:
        try:
            run(part)
        except BaseException as error:  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(part,)) for part in parts[1:]]
    for thread in threads:
        thread.start()
    guarded(parts[0])
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class _Desk(Sampler[Ticket]):
    """Hands the tickets of the current pass to torch's loader."""

    def __init__(self) -> None:
        self.tickets: Callable[[], Iterator[Ticket]] | None = None
        self.key = (0, 0)

    def __iter__(self) -> Iterator[Ticket]:
        assert self.tickets is not None
        return self.tickets()


class Workers:
    """Batches from torch's iterator, whose members (`_workers`, ...) it shows as its own."""

    def __init__(self, inner: Any, finish: Callable[[Fetched], Given], skipped: int) -> None:
        """Take torch's iterator, what makes batches of what it fetches, and how many to skip."""
        self.inner, self._finish, self._skipped = inner, finish, skipped

    def __iter__(self) -> "Workers":
        return self

    def __next__(self) -> Given:
        while self._skipped:
            self._skipped -= 1
            next(self.inner)
        return self._finish(next(self.inner))


class NativeLane:
    """Our own threads read and augment; no worker processes."""

    name = "native"

    def __init__(self, making: Making, recognised: Recognised, reason: str) -> None:
        """Build the pipeline, which checks that policy, data and output fit each other."""
        self.recognised, self.reason = recognised, reason
        self.making, self.pipeline = making, self._build(making, recognised)

    @property
    def costs(self) -> Costs:
        """What the stages took so far."""
        return self.pipeline.costs

    @staticmethod
    def _build(making: Making, recognised: Recognised) -> Pipeline:
        pipeline = Pipeline(
            recognised.source, making.policy, output=making.output, targets=making.form,
            place=making.place, reading=making.reading,
        )  # fmt: skip
        pipeline.declare(making.num_classes)
        return pipeline

    def open(
        self, loader: Any, tickets: Callable[[], Iterator[Ticket]], key: tuple[int, int]
    ) -> "Threads":
        """Return the batches of the tickets of a pass."""
        if self.pipeline.device != self.making.place.known:
            self.pipeline = self._build(self.making, self.recognised)
        pipeline, threads = self.pipeline, loader.num_workers
        pipeline.begin()
        pipeline.log.begin(key[1])
        each = max(1, threads) if pipeline.whole_batches else 1
        ahead = (loader.prefetch_factor or 2) * each
        # On a CPU as torch does: without threads no batch is begun before it is asked for, and of a
        # sampler of the user's no more is read ahead than `prefetch_factor` says.
        ahead_at_will = pipeline.engine_name != "cpu" or (threads > 0 and foreseen(loader))
        grouped = pipeline.together(1) > 1 and ahead_at_will
        if grouped:
            ahead = min(ahead, max(GROUPS_AHEAD, threads + 1))
        works = map(self._work, self._together(tickets(), grouped=grouped))
        alone = loader._rank_and_world()[1] == 1
        return Threads(Prefetcher(works, threads=threads, ahead=ahead), alone=alone)

    def ended(self, epoch: int) -> None:
        """Tell, at the end of an epoch, what could not be read in it."""
        skipped = self.making.reading.on_error == "skip"
        if report := self.pipeline.log.report(epoch, skipped=skipped):
            LOG.warning(report)

    def _together(self, tickets: Iterator[Ticket], *, grouped: bool) -> Iterator[list[Ticket]]:
        # Batches that are made as one: of any number but one only for a data set in memory.
        for ticket in tickets:
            group, error = [ticket], None
            others = self.pipeline.together(ticket.rows.count) - 1 if grouped else 0
            try:
                for other in islice(tickets, others):
                    group.append(other)
            except Exception as caught:  # of a sampler: the batches before it come first
                error = caught
            yield group
            if error is not None:
                raise error

    def _work(self, tickets: list[Ticket]) -> Work[list[Callable[[], Given]]]:
        many = [(ticket.rows, ticket.step) for ticket in tickets]
        work = self.pipeline.works_of(many, seed=tickets[0].seed, epoch=tickets[0].epoch)

        def finish() -> list[Callable[[], Given]]:
            return [partial(self._formed, *pair) for pair in zip(work.finish(), tickets,
                                                                 strict=True)]  # fmt: skip

        return Work(work.tasks, finish)

    def _formed(self, made: Callable[[], Batch], ticket: Ticket) -> Given:
        batch = made()
        parts = [batch.images, batch.targets]
        keys = self.recognised.keys
        if keys is None:
            return parts, batch, ticket
        if keys[1] is None:
            del parts[1]
        if issubclass(self.recognised.form, dict):
            return dict(zip(keys, parts, strict=False)), batch, ticket
        return (
            [parts[key] for key in sorted(range(len(parts)), key=lambda k: keys[k])],
            batch,
            ticket,
        )


class Threads:
    """Batches from our own threads."""

    def __init__(self, works: Prefetcher[list[Callable[[], Given]]], *, alone: bool) -> None:
        """Take the prefetcher, whose pieces are one batch or more; `alone` without other ranks."""
        self._works, self._made = works, deque[Callable[[], Given]]()
        self._alone = alone

    def __iter__(self) -> "Threads":
        return self

    def __next__(self) -> Given:
        while True:
            if not self._made:
                self._made.extend(next(self._works))
            given = self._made.popleft()()
            if len(given[1]):
                return given
            if not self._alone:
                # The other ranks have a batch here, and would wait for this one for ever.
                raise ReadError(
                    f"batch {given[2].step} has no picture that can be read, and on_error='skip' "
                    "leaves nothing of it: use on_error='replace' with several ranks"
                )


def recipe_for(
    policy: Policy, collate: Any, keys: tuple[Any, Any], form: Form, *, passive: Any = None
) -> Recipe:
    """Return what workers need to know."""
    if collate is not None and not callable(collate):
        raise InputTypeError(f"collate_fn={collate!r} is no function: give one, or None")
    labelled = softens(policy) or form != "auto"
    return Recipe(policy, collate, *keys, labelled, Still.under(policy, passive))
