"""Policy, source, reader and engine as one: `batch(epoch, step)` is a pure function."""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.batch import Batch
from augfeed.engines import Engine, Output, Place
from augfeed.errors import InputError, InputTypeError
from augfeed.executor import BatchWork, Driver, R, Task, Work
from augfeed.executor.annotations import following
from augfeed.executor.cpu import CpuExecutor
from augfeed.executor.device import DeviceExecutor
from augfeed.executor.inputs import BatchInputs
from augfeed.executor.planned_ahead import planned_ahead
from augfeed.invariances import ANY, Invariances
from augfeed.labels import check_declared, check_numbers
from augfeed.memory_pool import Memory
from augfeed.philox import check_key
from augfeed.plan import BatchRows, Plan, Sharing, draw_plan, rows_of_views
from augfeed.plan.box_windows import by_boxes
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Policy, Resize
from augfeed.policy.check import check_policy
from augfeed.read.device_frames import DeviceFrames, reader_for
from augfeed.read.frames import Frames
from augfeed.read.huggingface import with_size
from augfeed.read.order import Order as Order
from augfeed.read.order import Orders
from augfeed.read.read_config import Reading
from augfeed.read.read_errors import ReadFailureLog, RowSources
from augfeed.read.resident import resident_pictures
from augfeed.read.sources import Source, open_source
from augfeed.stage_costs import Costs
from augfeed.targets import AnyTargets, make_targets, softens

Form = Literal["auto", "dense", "sparse"]
Indices = NDArray[np.int64]
_ALONE: Sharing | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A batch by its rows, whatever order they are of."""

    rows: BatchRows
    step: int
    epoch: int
    seed: int


class OneBatch:
    """One batch in the making: `tasks` run in any thread and order, then `finish` gives it."""

    def __init__(self, work: Work[Request]) -> None:
        """Take the work of one batch."""
        self._work = work

    @property
    def tasks(self) -> Sequence[Task]:
        """What may run side by side."""
        return self._work.tasks

    def finish(self) -> Batch:
        """Return the batch, once all tasks have run, to the stream that is current."""
        return self._work.finish().take(0)


class Pipeline:
    """Augmented batches of a dataset, each a pure function of `(epoch, step)`.

    Raises, when it is built, whatever would make every batch fail: `InvarianceError` for a policy
    that would change labels of this dataset (`invariances`, those of the policy and those known
    of the dataset; `allow` overrides rules by name), `InputError` for sizes and channels that do
    not fit.
    """

    def __init__(
        self,
        data: Any,
        policy: Policy,
        *,
        order: Order = Order(),  # noqa: B008  (frozen)
        seed: int = 0,
        output: Output = Output(),  # noqa: B008  (frozen)
        targets: Form = "auto",
        place: Place = Place(),  # noqa: B008  (frozen)
        reading: Reading = Reading(),  # noqa: B008  (frozen)
    ) -> None:
        """Open the data and check that policy, data and output fit each other."""
        if not isinstance(policy, Policy):
            raise InputTypeError(
                f"policy={policy!r} is not a Policy: build one, as in resolve_policy('fashion')"
            )
        if targets not in get_args(Form):
            raise InputError(f"targets={targets!r} is unknown: use one of {get_args(Form)}")
        check_key(seed, 0)
        self.source: Source = with_size(open_source(data), policy)
        self.policy, self.order, self.seed = policy, order, seed
        self.output, self.form, self.place, self.reading = output, targets, place, reading
        self._memory = reading.memory or Memory()
        self._follow = following(self.source, policy, targets, self._memory)
        output.check(policy)
        place.check()
        self.size = policy.size(self.source.sizes)
        self.fixed = PolicyConstants.of(policy, self.source.channels)
        self.costs, self.log = Costs(), ReadFailureLog()
        self._frames = Frames(
            self.source, policy, self._memory, reading, self.log, self.place.known
        )
        self.reader = reader_for(reading, self.source, self.place.known, policy.scenes)
        self._inputs = BatchInputs(
            self.source, self.fixed, output, resident_pictures(self.source, policy), self._frames,
            self._device_frames(), self._memory, self.costs,
        )  # fmt: skip
        self._executor: CpuExecutor | DeviceExecutor = (
            CpuExecutor(self._inputs) if self._on_cpu_alone else DeviceExecutor(self._inputs, place)
        )
        self.orders, self._begun, self._mixing = Orders(), -1, True
        self.num_classes = self.source.num_classes
        self._stages: dict[str, Pipeline] = {}
        self._view, self._sharing = 0, _ALONE
        for _, stage in policy.scheduled:
            self._check_first(stage)

    def declare(self, num_classes: int | None) -> None:
        """Make rows of shares so wide; raise `InputError` if labels need more, or other, classes.

        Without it they are as wide as the source says. None leaves that as it is.
        """
        check_declared(self.source.labels, num_classes)
        self.num_classes = self.num_classes if num_classes is None else num_classes

    def _device_frames(self) -> DeviceFrames | None:
        kept = self.reading.kept if self._frames.side else None
        if kept is not None and kept.kind == "gpu" and self._on_cpu_alone:
            raise InputError(
                "cache='gpu' is for batches that are made on a GPU, and these are made on "
                f"device={str(self.place.known)!r}: use cache='ram', or 'disk'"
            )
        if self.reader == "cpu" and (kept is None or kept.kind != "gpu"):
            return None
        return DeviceFrames(self._frames, self.place.known, self.reader)

    def check(self, invariances: Invariances | str | None, allow: Sequence[str] = ()) -> None:
        """Raise `InvarianceError` if the policy breaks its own rules, the dataset's or these.

        So it does if it leaves nothing of any image.
        """
        known = (invariances, self.policy.invariances, self.source.name, ANY)
        for rules in known:
            if rules is not None:
                check_policy(self.policy, rules, allow=allow, source=self.source.sizes)

    def for_rank(self, order: Order) -> "Pipeline":
        """Return the same batches cut and given out in another way, with all else shared."""
        order.sources(len(self.source), mixing=self._mixes(0))
        made = copy.copy(self)
        made.order = order
        return made

    def of_view(self, number: int, sharing: Sharing | None = None) -> "Pipeline":
        """Return the pipeline whose `sample` and `sample_plan` are those of a view."""
        made = copy.copy(self)
        made._view, made._sharing, made._stages = number, sharing, {}
        return made

    def begin(self) -> None:
        """See, at the start of an epoch, what other processes have put into the cache."""
        self._frames.begin()

    @property
    def kept_side(self) -> int:
        """The short side, in pixels, at which decoded images are kept; 0 if none are."""
        return self._frames.side

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.steps

    @property
    def steps(self) -> int:
        """The number of batches of an epoch, for each rank."""
        return self.order.steps(len(self.source))

    @property
    def device(self) -> torch.device:
        """The device that batches are made on."""
        return self.place.known

    @property
    def engine(self) -> Engine:
        """The engine; made when it is first asked for, so that building touches no device."""
        return self._executor.engine

    @property
    def engine_name(self) -> str:
        """The name of the engine: "cpu", "cuda" or "portable"."""
        return self.place.engine_name

    @property
    def in_memory(self) -> bool:
        """Whether the engine takes images from memory as they are."""
        return self._inputs.pictures is not None

    @property
    def resident(self) -> bool:
        """Whether the dataset lies in the memory of the device; may copy it there."""
        return self.in_memory and self._executor.resident

    @property
    def whole_batches(self) -> bool:
        """Whether a batch is one task, not many: where the engine takes images from memory."""
        return self.resident

    @property
    def _on_cpu_alone(self) -> bool:
        return self.engine_name == "cpu"

    @property
    def fingerprint(self) -> str:
        """What a sample in an epoch depends on: data, policy, seed, shuffling; 64 hexadecimals.

        How samples are put into batches and given out (size, rank, dtype, targets) is not part.
        """
        shuffled = str(self.order.shuffle)
        parts = [self.source.fingerprint(), self.policy.digest, str(self.seed), shuffled]
        if self._frames.side:
            parts.append(f"from images of {self._frames.side} pixels")
        if self.reader != "cpu":
            parts.append(f"read by {self.reader} on {self.place.known.type}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def batch(self, epoch: int, step: int) -> Batch:
        """Return a batch, made in the calling thread."""
        rows = BatchRows.at(
            self._positions(step), self._epoch_order(epoch), mixing=self._mixes(epoch)
        )
        return self._work(rows, epoch, step).run().take(0)

    def sample(self, index: int, epoch: int) -> Batch:
        """Return one sample as it comes in an epoch, partner included, as a batch of one."""
        rows = self._rows_of(index, epoch)
        return self._work(rows, epoch, -1).run().take(0)

    def sample_plan(self, index: int, epoch: int) -> tuple[Plan, Any]:
        """Return the plan and the labels of `sample`, without its pixels."""
        rows = self._rows_of(index, epoch)
        stage = self.at(epoch)
        plan = draw_plan(
            stage.policy, rows, seed=self.seed, epoch=epoch, size=stage.size, sharing=self._sharing
        )
        return plan, stage._targets(plan, RowSources.of(plan.ids))

    def _rows_of(self, index: int, epoch: int) -> BatchRows:
        if not 0 <= index < len(self.source):
            raise InputError(
                f"index={index} is not in [0, {len(self.source)}): give a sample of it"
            )
        ids, order = self._epoch_order(epoch), self.order
        found = np.flatnonzero(ids == index)
        if not len(found):
            raise InputError(
                f"index={index} is not among the samples of epoch {epoch}, which are repeated "
                f"{order.repeats.count} times: give another, or another epoch"
            )
        place = int(found[0])
        begin = place - place % (order.batch_size * order.world)
        # The last batch of several ranks is shared out evenly.
        share = min(order.batch_size, -(-(len(self.source) - begin) // order.world))
        first = place - (place - begin) % share
        rows = BatchRows.at(
            np.array([place], np.int64), ids, mixing=self._mixes(epoch), first=first
        )
        return rows_of_views(rows, self._view, 1)

    def work(self, epoch: int, step: int) -> OneBatch:
        """Return a batch as tasks that may run side by side; its plan is drawn here."""
        return OneBatch(self._work(self.rows(epoch, step), epoch, step))

    def rows(self, epoch: int, step: int) -> BatchRows:
        """Return the rows of the plan of a batch: those that come out, and what is seen in them."""
        order = self._epoch_order(epoch)
        return BatchRows.at(self._positions(step), order, mixing=self._mixes(epoch))

    def _mixes(self, epoch: int) -> bool:
        return self._mixing and self.policy.mixes_in(epoch)

    def _positions(self, step: int) -> Indices:
        return self.order.positions(len(self.source), step)

    def _work(self, rows: BatchRows, epoch: int, step: int) -> Work[Request]:
        return self.works_of([Request(rows, step, epoch, self.seed)])

    def together(self, count: int) -> int:
        """Return how many batches of `count` samples are best made at once: one, or more of a data
        set in memory, whose pixels take less time than Python does to ask for a small batch.
        """
        if not self.whole_batches or self.policy.per_batch:
            return 1
        return self._executor.together(count, self._bytes)

    @property
    def _bytes(self) -> int:
        return self.fixed.channels * self.size[0] * self.size[1] * self.output.dtype.itemsize

    def planned_together(self, count: int) -> int:
        """Return how many batches of `count` samples are best planned at once where each of them is
        made, by the CPU, when it is asked for."""
        alone = not self.whole_batches or self.policy.per_batch
        if alone or isinstance(self._executor, DeviceExecutor):
            return 1
        return self._executor.planned_together(count)

    def works_of(self, requests: Sequence[R], *, lazily: bool = False) -> Work[R]:
        """Return batches of one seed and epoch that are made as one and then given one by one.

        With `lazily` they are planned as one, and each is made when it is taken.
        """
        if (stage := self.at(requests[0].epoch)) is not self:
            return stage.works_of(requests, lazily=lazily)
        driver = self._driver(lazily=lazily)
        # Of images in memory a thread draws the plan, too: Python takes as long as the pixels do.
        return BatchWork(driver, requests, at_once=self.whole_batches)

    def planned_ahead(self, groups: Iterator[Sequence[R]]) -> Iterator[Work[R]]:
        """Return batches of images in memory, of which the CPU plans each group as one."""
        return planned_ahead(groups, partial(self.works_of, lazily=True), self._bytes)

    def at(self, epoch: int) -> "Pipeline":
        """Return the pipeline of an epoch: itself, unless the policy has a `schedule`."""
        policy = self.policy.at(epoch)
        if policy is self.policy:
            return self
        if policy.digest not in self._stages:
            # Labels keep their form when nothing is mixed any more.
            dense = self.form == "auto" and softens(self.policy)
            made = Pipeline(
                self.source, policy, order=self.order, seed=self.seed, output=self.output,
                targets="dense" if dense else self.form, place=self.place,
                reading=replace(self.reading, memory=self._memory),
            )  # fmt: skip
            made.num_classes, self._stages = self.num_classes, {policy.digest: made}
            made.share(self.costs, self.log)
        return self._stages[policy.digest]

    def share(self, costs: Costs, log: ReadFailureLog) -> None:
        """Count what stages take, and what cannot be read, in those of another pipeline."""
        self.costs = self._inputs.costs = costs
        self.log = self._frames.log = log

    def _driver(self, *, lazily: bool = False, sharing: Sharing | None = None) -> Driver:
        return Driver(
            self._executor, self.policy, self.size, self._targets, self.costs,
            skip=self.reading.on_error == "skip", lazily=lazily,
            sharing=sharing or self._sharing,
            follow=self._follow,
        )  # fmt: skip

    def _targets(self, plan: Plan, taken: RowSources) -> AnyTargets:
        if self._follow is not None:
            return self._follow.together(plan, taken)
        labels = self.source.labels
        several = (labels is not None and labels.dtype.kind == "b") or None
        given = None if labels is None else torch.from_numpy(labels[taken.ids])
        return make_targets(given, plan, num_classes=self.num_classes, form=self.form,
                            several=several)  # fmt: skip

    def _epoch_order(self, epoch: int) -> Indices:
        if self._begun != epoch:
            self._begun = epoch
            self.begin()
        mixing = self.policy.mixes_in(epoch)
        key = {"seed": self.seed, "epoch": epoch}
        return self.order.ids(self.orders, len(self.source), mixing=mixing, **key)

    def _check_first(self, policy: Policy) -> None:
        # What would make batches fail is reported now.
        if softens(policy) or self.form == "dense":
            check_numbers(self.source.labels)
        self.order.sources(len(self.source), mixing=policy.mixes_in(0))
        if self.steps:
            self._positions(0)
        rows = BatchRows.of(np.zeros(1, np.int64))
        size = policy.size(self.source.sizes)
        plan = draw_plan(policy, rows, seed=self.seed, epoch=0, size=size)
        resize = policy.find(Resize)
        exact = resize.size if resize is not None and isinstance(resize.size, tuple) else None
        sizes = self.source.sizes or exact
        if sizes and by_boxes(policy) is None:
            plan.window.at(*sizes)
