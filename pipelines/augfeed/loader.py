"""`DataLoader`: takes the place of `torch.utils.data.DataLoader`, and augments."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
import torch.utils.data
from typing_extensions import TypeVar

from augfeed.batch import Batch
from augfeed.engines import Output
from augfeed.errors import InputError
from augfeed.feed import generators, lane_selection, next_pass, schedule
from augfeed.feed.batch_requests import first_step
from augfeed.feed.epoch_pass import EpochPass, run_of, state_of
from augfeed.feed.explain import explained
from augfeed.feed.iterator import Feed
from augfeed.feed.lanes import AugmentConfig
from augfeed.feed.loader_state import LoaderState
from augfeed.feed.native_lane import NativeLane
from augfeed.feed.shard import rank_and_world
from augfeed.feed.torch_iterator import ResumableSampler, counted
from augfeed.invariances import Invariances
from augfeed.philox import check_key
from augfeed.pipeline import Form, Pipeline
from augfeed.plan.repeats import Repeats
from augfeed.policy import Policy
from augfeed.read.decode import MAX_PIXELS
from augfeed.read.read_config import OnError, Reader, Reading
from augfeed.read.read_errors import ReadFailure
from augfeed.stage_costs import LoaderStats
from augfeed.whole_number import whole_number

T_co = TypeVar("T_co", covariant=True, default=Any)
OWN = (
    "policy", "seed", "engine", "invariances", "allow", "image_key", "label_key", "num_classes",
    "passive", "fields", "resident", "cache", "max_pixels", "reader", "views", "repeats",
    *lane_selection.OF_A_POLICY,
)  # fmt: skip


class DataLoader(torch.utils.data.DataLoader[T_co]):
    """`torch.utils.data.DataLoader` with a policy: batches come augmented, on the device.

    Every argument of PyTorch's class is taken, and means the same. Without `policy` all behavior is
    PyTorch's; another `device`, `dtype` or form is refused. With a policy, recognized datasets
    without a transform are read by `num_workers` threads (the native lane); all others are fetched
    by PyTorch's worker processes (the general lane). `lane` is the name, `explain()` the reason.
    Batches have the form of a sample of the dataset, with images `[B, C, H, W]`.

    Args:
        dataset: any dataset of PyTorch's; with a policy also whatever `augfeed.open_source` opens:
            a path, a list of files, a pair `(images, labels)` with images uint8, or floats in
            [0, 1], `[N, H, W, C]` or `[N, C, H, W]`.
        batch_size: samples of a batch, of one rank.
        shuffle: whether every epoch has a new order.
        sampler: gives the indices; respected with a policy, too.
        batch_sampler: gives lists of indices.
        num_workers: worker processes; in the native lane threads of this process.
        collate_fn: sees samples whose images are cut and resized, and must return images stacked.
        pin_memory: as PyTorch's.
        drop_last: whether an incomplete last batch is left out.
        timeout: seconds to wait for a worker process.
        worker_init_fn: called in each worker process.
        multiprocessing_context: how worker processes are started.
        generator: decides the order, if there is no `seed`.
        prefetch_factor: batches made ahead by each worker.
        persistent_workers: whether worker processes live on between epochs.
        pin_memory_device: as PyTorch's.
        in_order: whether batches come in the order of the sampler, also if a later one is ready.
        policy: a `Policy`, or a text as `"imagenet(224)"` or `"hflip | normalize(0.5, 0.5)"`.
        seed: makes the augmentation, and the order of `shuffle=True`, a pure function of seed and
            epoch; an integer in [0, 2**64). None lets PyTorch's generator decide both.
        device: where batches are made and go, as `"cuda"`; None means the CPU.
        engine: `"auto"`, or `"cpu"`, `"cuda"`, `"portable"`.
        dtype: of the images: float32, float16, bfloat16, or uint8 (then without `normalize`).
        channels_last: whether the memory of images is in channels-last order.
        targets: `"auto"` gives class numbers int64 `[B]`, or float32 `[B, K]` where the policy
            softens labels; `"dense"` always the second; `"sparse"` an `augfeed.Targets`.
        split: `"train"` or `"test"`, for paths that hold both.
        invariances: what keeps labels true: `Invariances` or the name of known ones.
        allow: names of rules of them that the policy may break.
        image_key: where the image is in a sample: a key, a position, or a path of these. Several
            images that share one plan, as of a stereo camera, are a list of keys.
        label_key: where the label is.
        num_classes: width of soft targets, where the dataset does not say it.
        passive: parts of a sample that stay as they are although pixels move (further images, or
            masks of texts).
        fields: parts of a sample that follow its image, as `{"mask": "mask", "bbox":
            augfeed.fields.Boxes(format="xywh")}`. Torchvision's `tv_tensors`, and masks and boxes
            whose names and types leave no doubt, are recognized; others of which it seems are
            refused.
        resident: whether a dataset in memory is kept in the memory of the device; None does so if
            it takes at most a quarter of what is free on an NVIDIA GPU.
        on_error: what is done about a file that cannot be read: `"raise"`, `"replace"` it by
            another sample, or `"skip"` it. `unread` lists them.
        cache: `"ram"`, `"disk"`, `"gpu"` or an `augfeed.read.cache.Cache` keeps decoded images.
        max_pixels: how many pixels a file may declare.
        reader: who decodes JPEGs: `"cpu"`, `"dali"`, or `"auto"`.
        shard: `"auto"` splits epochs over the ranks of `torch.distributed` if no sampler is given;
            `(rank, world)` does so as it says; None never.
        views: makes several images of each sample: a number of them by `policy`, or, without
            `policy`, names of tensors and their views (`{"global": ("simclr", 2)}`), or a preset
            (`"dino"`). Images come as `[V * B, C, H, W]`, those of one view after another, by name
            if they have one; labels come once. See `augfeed.Views`.
        repeats: how often a sample comes in an epoch, whose number of images stays: 3 in one
            batch, or `(3, "ranks")` spread over the ranks of a step. Each is augmented again, and
            none is mixed with another of its sample. `batch_size` counts images.

    Raises:
        InputError: an argument is out of bounds.
        PolicyError: the policy cannot be carried out.
        InvarianceError: the policy would make labels wrong.

    Example:
        ```python
        loader = DataLoader("photos/train", 64, True, num_workers=8, policy="imagenet(224)", seed=0)
        for images, targets in loader:  # float32 [64, 3, 224, 224]
            ...
        ```
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        policy: Policy | str | None = None,
        seed: int | None = None,
        device: Any = None,
        engine: str = "auto",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        targets: Form = "auto",
        split: str = "train",
        invariances: Invariances | str | None = None,
        allow: Sequence[str] = (),
        image_key: Any = None,
        label_key: Any = None,
        num_classes: int | None = None,
        passive: Any = None,
        fields: Any = None,
        resident: bool | None = None,
        on_error: OnError = "raise",
        cache: Any = None,
        max_pixels: int = MAX_PIXELS,
        reader: Reader = "auto",
        shard: Any = "auto",
        views: Any = None,
        repeats: int | tuple[int, str] = 1,
    ) -> None:
        """Build torch's loader, then the lane; nothing is read yet, no device is touched."""
        if seed is not None:
            seed = whole_number("seed", seed, 0)
            check_key(seed, 0)
        rank_and_world(shard)
        self.policy, self.seed, self.device, self.engine = policy, seed, device, engine
        self.dtype, self.channels_last, self.targets = dtype, channels_last, targets
        self.split, self.invariances, self.allow = split, invariances, allow
        self.image_key, self.label_key, self.num_classes = image_key, label_key, num_classes
        self.passive, self.fields, self.resident, self.shard = passive, fields, resident, shard
        self.on_error, self.cache, self.max_pixels = on_error, cache, max_pixels
        self.reader, self.views, self.repeats = reader, views, repeats
        reading = Reading(on_error, cache, max_pixels, reader)
        self._opening: ResumableSampler | None = None
        asked = lane_selection.views_of(views, policy)
        own = lane_selection.policy_of(policy, dataset) if asked is None else asked.parts[0].policy
        state = LoaderState(own, seed, shard, views=asked, repeats=Repeats.of(repeats))
        self._state = state
        state.repeats.check(
            owned=own is not None
            and lane_selection.wants_order(dataset, sampler, batch_sampler),
            batch_size=batch_size, mixing=own is not None and bool(own.mixer or own.scenes),
        )  # fmt: skip
        state.bind(self)
        items = dataset
        if state.policy is not None:
            batched = batch_size is not None or batch_sampler is not None
            collate_fn = lane_selection.given_collate(collate_fn, batched=batched)
            config = AugmentConfig(
                state.policy, Output(dtype, channels_last), engine, device, targets, num_classes,
                resident, reading, asked,
            )  # fmt: skip
            options = lane_selection.LaneOptions(
                split, image_key, label_key, passive, fields, invariances, allow
            )
            state.lane = lane_selection.lane_for(options, dataset, collate_fn, batch_size, config)
            items = dataset if state.lane.source is None else state.lane.source
            collate_fn = lane_selection.guarded(collate_fn)
            batch_size = int(batch_size) if isinstance(batch_size, np.integer) else batch_size
            lane_selection.check_workers(num_workers, prefetch_factor)
        else:
            lane_selection.refuse_unused(self, DataLoader.__init__)
        if lane_selection.wants_order(dataset, sampler, batch_sampler):
            sampler = schedule.own_order(
                items, shuffle=shuffle, generator=generator, seed=seed,
                augments=state.policy is not None,
            )  # fmt: skip
            shuffle = None
        super().__init__(
            dataset, batch_size, shuffle, sampler, batch_sampler, num_workers, collate_fn,
            pin_memory, drop_last, timeout, worker_init_fn, multiprocessing_context, generator,
            prefetch_factor=prefetch_factor, persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device, in_order=in_order,
        )  # fmt: skip
        if state.policy is not None:
            # See `augfeed.feed.accelerate`.
            self._is_accelerate_prepared = True
        self._ready = True

    # What torch asks for
    def __setattr__(self, name: str, value: Any) -> None:
        if name in OWN and "_ready" in self.__dict__:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        if name == "collate_fn" and "_ready" in self.__dict__:
            lane_selection.check_collate(self.collate_fn, value, type(self).__name__)
        if name == "shard" and "_ready" in self.__dict__:
            rank_and_world(value)
            self._state.shard = value
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        state = copy(self._state)
        return {**self.__dict__, "_iterator": None, "_opening": None, "_state": state}

    def __setstate__(self, held: dict[str, Any]) -> None:
        self.__dict__.update(held)
        self._state.bind(self)

    def check_worker_number_rationality(self) -> None:
        """Warn as torch does if there are more workers than cores; threads are no such workers."""
        if not isinstance(self._state.lane, NativeLane):
            super().check_worker_number_rationality()

    def __len__(self) -> int:
        """Return the number of batches of an epoch, for this rank."""
        split = schedule.split_of(self._state)
        return split.steps(len(schedule.own_sampler(self._state))) if split else super().__len__()

    def __iter__(self) -> Any:
        if self._state.lane is not None:
            return self._get_iterator()
        return self._plain(next_pass.begun(self._state))

    @property
    def _index_sampler(self) -> Any:
        return super()._index_sampler if self._opening is None else self._opening

    @property
    def use_stateful_dataloader(self) -> bool:
        """Whether Accelerate keeps the loader's own state: with a policy."""
        # No attribute of the instance: loaders are built again from those that are public.
        return self._state.lane is not None

    # What is ours
    @property
    def lane(self) -> str:
        """The way batches are made: "torch" (no policy), "general" or "native"."""
        return self._state.lane_name

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of the native lane; raises `InputError` in another one."""
        if not isinstance(lane := self._state.lane, NativeLane):
            raise InputError(f"lane={self.lane!r} has no pipeline: see explain()")
        return lane.pipeline

    @property
    def unread(self) -> tuple[ReadFailure, ...]:
        """The files that could not be read in the newest pass, and what took their places."""
        run, lane = self._state.run, self._state.lane
        if run is None or not isinstance(lane, NativeLane):
            return ()
        return lane.pipeline.log.of(run.epoch)

    def explain(self) -> str:
        """Return which lane is taken and why, and what each stage runs on and has cost so far."""
        return explained(self._state)

    def stats(self) -> LoaderStats:
        """Return what the batches given so far took: what the caller waited, and each stage.

        Raises `InputError` without a policy.
        """
        if self._state.lane is None:
            raise InputError("policy=None measures nothing: give a policy, if only ''")
        return self._state.lane.costs.stats()

    def batches(self) -> Iterator[Batch]:
        """Iterate over whole `Batch` objects, with the ids and the plan."""
        iterator = iter(self)
        if not isinstance(iterator, Feed):
            raise InputError("policy=None makes no Batch objects: give a policy, if only ''")
        return iterator.batches()

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next iterator; a position within it, once loaded, is kept.

        A sampler that has a `set_epoch` is reported as well.
        """
        epoch = whole_number("epoch", epoch, 0)
        check_key(self.seed or 0, epoch)
        state = self._state
        if callable(tell := getattr(state.sampler, "set_epoch", None)):
            tell(epoch)
            state.seen = epoch
        if state.following is None or state.following.epoch != epoch:
            state.following = next_pass.moved_on(state, epoch)

    def skip(self, batches: int) -> None:
        """Leave out the first `batches` of the next iterator; they are not made."""
        batches = whole_number("batches", batches, 0)
        position = batches
        if self._dataset_kind == 0 and self.batch_sampler is not None:
            size = getattr(self.batch_sampler, "batch_size", None)
            if not isinstance(size, int):
                raise InputError(
                    f"skip({batches}) needs batches of a known size, and a "
                    f"{type(self.batch_sampler).__name__} has no batch_size: use load_state_dict"
                )
            position = min(batches, len(self)) * size * self._state.rank_and_world[1]
        self._state.following = next_pass.skipping(self._state, position)

    def state_dict(self) -> dict[str, Any]:
        """Return where the newest iterator stands, as JSON.

        Some 200 bytes; each `generator=` of the loader or its samplers adds some 4 KB, its state.
        `position` counts the samples that all ranks together have been given in `epoch` (batches,
        for an iterable dataset).
        """
        return state_of(next_pass.standing(self._state), next_pass.identity_of(self._state))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken: the next iterator yields the batch after it.

        Also with another number of workers, or of ranks and samples a rank where `position` is a
        whole number of batches. Raises `StateError` for a state of other data, policy, seed or
        generators.
        """
        run = run_of(state, self.seed, next_pass.identity_of(self._state))
        run.wanted = generators.check_states(self, state)
        if split := schedule.split_of(self._state):
            steps = split.steps(len(schedule.own_sampler(self._state)))
            for place in (run.position, *(end for part in run.given for end in part)):
                first_step(place, split.batch_size * split.world, steps)
        next_pass.check_counted(self._state, run)
        self._state.following = run

    # How a pass begins
    def _plain(self, run: EpochPass) -> Any:
        course = None
        if self._dataset_kind == 0:
            sampler, known = schedule.replayable(super()._index_sampler, run)
            course = ResumableSampler(sampler, run, batched=self._auto_collation, checked=not known)
            self._opening = course
            if self._iterator is not None and self.persistent_workers:
                self._iterator._index_sampler = course
        try:
            iterator = super().__iter__()
        finally:
            self._opening = None
        if course is None:
            run.begin()
        return counted(iterator, run, course, loose=next_pass.is_loose(self._state))

    def _get_iterator(self) -> Any:  # torch's name, which subclasses call, as Ultralytics' does
        state = self._state
        if state.lane is None:
            return super()._get_iterator()
        run = next_pass.begun(state)
        schedule.check_split(state)
        state.drawn = next_pass.draw(state)
        run.seed = run.seed if run.seed is not None else state.drawn
        feed = Feed(schedule.opened(state, run), run, state)
        if state.iterates:
            run.begin()
        if self.persistent_workers and state.lane_name == "general":
            self._iterator = feed  # type: ignore[assignment]
        return feed
