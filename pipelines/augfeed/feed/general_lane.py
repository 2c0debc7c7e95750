"""The general lane: torch's own workers fetch and cut, this process augments on the device."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import IterableDataset, Sampler

from augfeed.batch import Batch
from augfeed.errors import InputError, InputTypeError
from augfeed.executor import BatchWork, Driver
from augfeed.executor.device import DeviceHandle
from augfeed.executor.views import ViewWork
from augfeed.executor.workers import WorkerExecutor
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.crop import CutViews, cut, cut_stack
from augfeed.feed.fetch import Fetching, as_is
from augfeed.feed.fields import FieldOptions
from augfeed.feed.lanes import AugmentConfig, LoadedBatch, PassRequest
from augfeed.feed.named_parts import NamedParts
from augfeed.feed.recipe import Fetched, Recipe
from augfeed.feed.sample_fields import moved
from augfeed.feed.spatial import SpatialCheck, passive_of
from augfeed.feed.streaming import Gather, Streaming, WorkerStart
from augfeed.feed.torch_iterator import keep_queues
from augfeed.fields.sample_parts import put, take
from augfeed.labels import Flags, check_declared
from augfeed.memory_pool import Memory
from augfeed.pipeline import Form
from augfeed.plan import BatchRows, Plan
from augfeed.plan.policy_constants import channels_of
from augfeed.policy import LabelSmoothing, Policy
from augfeed.read.read_errors import RowSources
from augfeed.read.sources import Source
from augfeed.stage_costs import Costs
from augfeed.targets import AnyTargets, make_targets, softens
from augfeed.views import Views


class GeneralLane:
    """Torch's own workers fetch, cut and collate; the main process augments on the device."""

    name = "general"

    def __init__(self, config: AugmentConfig, recipe: Recipe, reason: str) -> None:
        """Check what can be known without a sample."""
        config.check()
        # On a GPU all samples are to come by one kernel, whatever their neighbors are.
        uncut = config.place.engine_name == "cpu"
        self.config, self.recipe, self.reason = config, replace(recipe, uncut=uncut), reason
        self.costs, self._memory = Costs(), Memory()
        self._inner: TorchLoader[Any] | None = None
        self._desk, self._warmed = _RequestSampler(), False
        self._device = DeviceHandle(config.place)
        self._flags = Flags()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inner": None, "_desk": _RequestSampler()}

    @property
    def source(self) -> Source | None:
        """None: workers read the dataset."""
        return None

    @property
    def ended(self) -> Callable[[int], None] | None:
        """None: nothing is left to say."""
        return None

    def open(self, loader: TorchLoader[Any], asked: PassRequest) -> "Workers":
        """Return the batches of the requests of a pass."""
        key = asked.key
        if loader.num_workers:
            self._warm()
        self._desk.requests = asked.requests
        inner = self._inner if loader._iterator is not None else None
        iterable = isinstance(loader.dataset, IterableDataset)
        if inner is None or (iterable and self._desk.key != key):
            inner = self._build(loader, asked)
        self._desk.key = (key[0], key[1] + 1)  # what workers that live on will count to
        self._inner = inner if loader.persistent_workers else None
        # Samples without a number are fetched again, to be left out.
        skipped = asked.position if iterable else 0
        return Workers(keep_queues(iter(inner)), self._finish, skipped)

    def _warm(self) -> None:
        # What is compiled, or loaded, here is there in every worker that is forked.
        if not (self._warmed or self.config.policy.needs_fields):
            size = self.config.policy.size((32, 32))
            rows = BatchRows.of(np.zeros(1, np.int64))
            request = BatchRequest(0, 0, 0, None, rows, 1)
            image = np.zeros((*size, channels_of(self.config.policy)), np.uint8)
            cut([image], request, self.config.policy)
            cut_stack(image[None], request, self.config.policy)
            self._warmed = True

    def _build(self, loader: TorchLoader[Any], asked: PassRequest) -> TorchLoader[Any]:
        device = self.config.place.known
        shared: dict[str, Any] = {
            name: getattr(loader, name)
            for name in ("num_workers", "timeout", "multiprocessing_context", "generator",
                         "prefetch_factor", "persistent_workers", "in_order")
        }  # fmt: skip
        shared["pin_memory"] = loader.pin_memory and device.type != "cpu"
        shared["worker_init_fn"] = WorkerStart(loader.worker_init_fn)
        if isinstance(loader.dataset, IterableDataset):
            gather = Gather(self.recipe, *asked.key, rank=asked.rank)
            return TorchLoader(
                Streaming(loader.dataset), batch_size=loader.batch_size, collate_fn=gather,
                drop_last=loader.drop_last, **shared,
            )  # fmt: skip
        fetching = Fetching(loader.dataset, self.recipe, collated=loader._auto_collation)
        return TorchLoader(
            fetching, batch_size=None, sampler=self._desk, collate_fn=as_is, **shared
        )

    def _finish(self, fetched: Fetched) -> LoadedBatch:
        request, where = fetched.request, fetched.where
        self.recipe.white.found |= fetched.bright  # for the workers of later passes
        made = self._augmented(fetched)
        images, targets = made.given, made.targets
        batch = moved(fetched.batch, made.images.device)
        if targets is not None and where.label is not None:
            one = targets[0] if request.single and isinstance(targets, torch.Tensor) else targets
            batch = put(batch, where.label, one)
        elif where.label is not None:
            targets = take(batch, where.label)
            check_declared(targets, self.config.num_classes)
        given = _alone(images) if request.single else images
        if fetched.listed is not None:
            given = fetched.listed(images)
        batch = put(batch, where.image, given)
        for path, frames in fetched.more.items():
            one = self._augmented(replace(fetched, frames=frames, labels=None)).images
            batch = put(batch, path, one[0] if request.single else one)
        ids = made.ids
        if request.end < 0:  # samples of an iterable dataset have all bits of an id
            ids = torch.from_numpy(request.rows.ids[: request.rows.count].copy())
        self.costs.add("read", fetched.seconds, len(request.rows))
        return LoadedBatch(batch, replace(made, targets=targets, ids=ids), request)

    def _augmented(self, fetched: Fetched) -> Batch:
        config, frames = self.config, fetched.frames
        if self._device.place != config.place:  # Accelerate has set another one
            self._device = DeviceHandle(config.place)
        if fetched.views is not None:
            return self._views(fetched, fetched.views)
        executor = WorkerExecutor(
            frames, self._device, config.output, self._memory, uncut=fetched.uncut
        )
        size = (frames.shape[1], frames.shape[2])
        policy = config.policy.at(fetched.request.epoch)
        size = policy.size(size) if fetched.uncut else size
        label = partial(self._targets, fetched)
        driver = Driver(executor, config.policy, size, label, self.costs)
        return BatchWork(driver, [fetched.request]).run().take(0)

    def _views(self, fetched: Fetched, cut: CutViews) -> Batch:
        config, label = self.config, partial(self._targets, fetched)
        assert config.views is not None
        parts = []
        for part, frames in zip(config.views.parts, cut.frames, strict=True):
            executor = WorkerExecutor(frames, self._device, config.output, self._memory)
            size = (frames.shape[1], frames.shape[2])
            driver = Driver(executor, part.policy, size, label, self.costs, sharing=part.sharing)
            parts.append((part, driver))
        return ViewWork(parts, fetched.request, label, sizes=cut.sizes).run().take(0)

    def _targets(self, fetched: Fetched, plan: Plan, taken: RowSources) -> AnyTargets:
        config, labels = self.config, fetched.labels
        # Labels keep their form when nothing is mixed any more.
        over = config.form == "auto" and softens(config.policy) and not softens(plan.policy)
        form: Form = "dense" if over and config.views is None else config.form
        told, smoothing = config.told_classes, plan.policy.find(LabelSmoothing)
        # Elsewhere it makes no difference for how many classes flags stand.
        matters = config.form == "sparse" or (smoothing is not None and smoothing.epsilon > 0)
        return make_targets(
            labels, plan, num_classes=told if config.num_classes is None else config.num_classes,
            form=form, several=self._flags.see(labels) if matters else None,
        )  # fmt: skip


def _alone(images: Any) -> Any:
    # Of views, one sample's keep the dimension that tells them apart.
    return images[0] if isinstance(images, torch.Tensor) and len(images) == 1 else images


class _RequestSampler(Sampler[BatchRequest]):
    """Hands the requests of the current pass to torch's loader."""

    def __init__(self) -> None:
        self.requests: Callable[[], Iterator[BatchRequest]] | None = None
        self.key = (0, 0)

    def __iter__(self) -> Iterator[BatchRequest]:
        assert self.requests is not None
        return self.requests()


class Workers:
    """Batches from torch's iterator, whose members (`_workers`, ...) it shows as its own."""

    def __init__(
        self, inner: Iterator[Fetched], finish: Callable[[Fetched], LoadedBatch], skipped: int
    ) -> None:
        """Take torch's iterator, what makes batches of what it fetches, and how many to skip."""
        self.inner, self._finish, self._skipped = inner, finish, skipped

    def __iter__(self) -> "Workers":
        return self

    def __next__(self) -> LoadedBatch:
        while self._skipped:
            self._skipped -= 1
            next(self.inner)
        return self._finish(next(self.inner))


def recipe_for(
    policy: Policy, collate: Any, keys: tuple[Any, Any], form: Form, *, passive: Any = None,
    fields: FieldOptions = FieldOptions(),  # noqa: B008  (frozen)
    views: Views | None = None,
) -> Recipe:  # fmt: skip
    """Return what workers need to know."""
    if collate is not None and not callable(collate):
        raise InputTypeError(f"collate_fn={collate!r} is not a function: give one, or None")
    if views is not None and collate is not None:
        raise InputError(
            f"collate_fn={collate!r} sees one image of a sample, and views are several: leave it "
            "out, and collate after the loader"
        )
    if views is not None and fields.given:
        raise InputError(
            f"fields={dict(fields.given)!r} follow one image of a sample, and views are several: "
            "leave fields out, and take the windows and matrices of loader.batches()"
        )
    labelled = softens(policy) or form != "auto"
    still = SpatialCheck.under(policy, (*passive_of(passive), *fields.passive))
    named = NamedParts.of(passive_of(passive), (key for key, _ in fields.given))
    return Recipe(policy, collate, *keys, labelled, still, fields, views=views, named=named)
