"""The two lanes that augment: workers of torch's fetch (general), or our own threads (native)."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import IterableDataset, Sampler

from augfeed.batch import Batch
from augfeed.costs import Costs
from augfeed.engines import Output, Place
from augfeed.errors import InputTypeError, ReadError
from augfeed.executor import BatchGroup, BatchWork, Driver
from augfeed.executor.device import DeviceHandle
from augfeed.executor.workers import WorkerExecutor
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
from augfeed.pipeline import Form, Pipeline
from augfeed.plan import Plan, Rows
from augfeed.policy import LabelSmoothing, Policy
from augfeed.prefetch import Prefetcher
from augfeed.read.datasets import Recognised
from augfeed.read.reading import Reading
from augfeed.read.unread import LOG, Taken
from augfeed.targets import AnyTargets, make_targets, softens

GROUPS_AHEAD = 4  # of batches made together, which take a device's memory meanwhile


class Given(NamedTuple):
    """What the caller gets, the batch that it came from, and its ticket."""

    output: Any
    batch: Batch
    ticket: Ticket


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
        self._device = DeviceHandle(making.place)
        self._flags = Flags()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inner": None, "_desk": _Desk()}

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
        ticket, where = fetched.ticket, fetched.where
        made = self._augmented(fetched)
        images, targets = made.images, made.targets
        batch = moved(fetched.batch, images.device)
        if targets is not None and where.label is not None:
            one = targets[0] if ticket.single and isinstance(targets, torch.Tensor) else targets
            batch = put(batch, where.label, one)
        elif where.label is not None:
            targets = take(batch, where.label)
            check_declared(targets, self.making.num_classes)
        batch = put(batch, where.image, images[0] if ticket.single else images)
        ids = made.ids
        if ticket.end < 0:  # samples of an iterable data set have all bits of an id
            ids = torch.from_numpy(ticket.rows.ids[: ticket.rows.count].copy())
        self.costs.add("fetch", fetched.seconds, len(ticket.rows))
        return Given(batch, replace(made, targets=targets, ids=ids), ticket)

    def _augmented(self, fetched: Fetched) -> Batch:
        making, frames = self.making, fetched.frames
        if self._device.place != making.place:  # Accelerate has been told of another one
            self._device = DeviceHandle(making.place)
        executor = WorkerExecutor(frames, self._device, making.output, self._memory)
        size = (frames.shape[1], frames.shape[2])
        label = partial(self._targets, fetched)
        driver = Driver(executor, making.policy, size, label, self.costs)
        return BatchWork(driver, [fetched.ticket]).run().take(0)

    def _targets(self, fetched: Fetched, plan: Plan, taken: Taken) -> AnyTargets:
        making, labels = self.making, fetched.labels
        told, smoothing = making.told_classes, plan.policy.find(LabelSmoothing)
        # Elsewhere it makes no difference for how many classes flags stand.
        matters = making.form == "sparse" or (smoothing is not None and smoothing.epsilon > 0)
        return make_targets(
            labels, plan, num_classes=told if making.num_classes is None else making.num_classes,
            form=making.form, several=self._flags.see(labels) if matters else None,
        )  # fmt: skip


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
        works = map(pipeline.works_of, self._together(tickets(), grouped=grouped))
        alone = loader._rank_and_world()[1] == 1
        prefetcher = Prefetcher(works, threads=threads, ahead=ahead)
        return Threads(prefetcher, self._output, alone=alone)

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

    def _output(self, batch: Batch) -> Any:
        # In the form of the data set's own samples.
        parts = [batch.images, batch.targets]
        keys = self.recognised.keys
        if keys is None:
            return parts
        if keys[1] is None:
            del parts[1]
        if issubclass(self.recognised.form, dict):
            return dict(zip(keys, parts, strict=False))
        return [parts[key] for key in sorted(range(len(parts)), key=lambda k: keys[k])]


class Threads:
    """Batches from our own threads."""

    def __init__(
        self, works: Prefetcher[BatchGroup[Ticket]], form: Callable[[Batch], Any], *, alone: bool
    ) -> None:
        """Take the prefetcher, whose pieces are one batch or more, and what brings a batch into the
        form of the data set; `alone` without other ranks."""
        self._works, self._form, self._alone = works, form, alone
        self._left = deque[tuple[BatchGroup[Ticket], int]]()

    def __iter__(self) -> "Threads":
        return self

    def __next__(self) -> Given:
        while True:
            if not self._left:
                group = next(self._works)
                self._left.extend((group, k) for k in range(len(group)))
            group, k = self._left.popleft()
            batch, ticket = group.take(k), group.requests[k]
            if len(batch):
                return Given(self._form(batch), batch, ticket)
            if not self._alone:
                # The other ranks have a batch here, and would wait for this one for ever.
                raise ReadError(
                    f"batch {ticket.step} has no picture that can be read, and on_error='skip' "
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
