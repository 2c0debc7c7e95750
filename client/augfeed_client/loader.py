"""`RemoteLoader`: a loader whose batches come from a service."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from augfeed.batch import Batch
from augfeed.errors import InputError, StateError
from augfeed.feed.shard import rank_and_world
from augfeed.fields.annotated import FieldTargets
from augfeed.plan.repeats import Repeats
from augfeed.policy import Normalize, Policy
from augfeed.prefetch import Prefetcher, SideStream, tensors_of
from augfeed.presets import resolve_policy
from augfeed.targets import Form
from augfeed.views import resolve_views
from augfeed.whole_number import whole_number
from augfeed.wire import Description, dtype_name, formed, is_fields
from augfeed_client.connection import Connection
from augfeed_client.plan import PlanInfo, batch_request, register
from augfeed_client.replica import allocate
from augfeed_client.replicas import Replicas, Stats

FORMS = ("auto", "dense", "sparse")


@dataclass(frozen=True, slots=True)
class Remote:
    """The dataset of a loader, as far as it is here: its name and length."""

    name: str
    length: int

    def __len__(self) -> int:
        return self.length


class RemoteLoader:
    """Batches of a plan, from any replica of a service, in order, each exactly once.

    `urls` are the addresses of replicas that hold the same dataset under the name `dataset`.
    `policy`, `batch_size` (that of one rank), `shuffle`, `drop_last`, `seed`, `dtype`,
    `channels_last`, `targets`, `device`, `shard`, `views` and `repeats` mean what they do for
    `augfeed.DataLoader`, and
    batches are the same, bit for bit, as that one makes of the same data on the same kind of
    machine; `seed` is 0 by default. `dtype=None` is uint8, which takes the fewest bytes, and
    float32 for a policy that normalizes. `connection` says how many requests are under way, and how
    long is waited.

    A batch that does not come from one replica comes from another. While one answers within the
    deadline, an epoch yields every batch once and in order; if none does, `RemoteError` is raised
    in the place of the batch. All batches have one fingerprint: data, versions and kind of device.

    It is not a `torch.utils.data.DataLoader`, which frameworks would rebuild, or split once more;
    they take it as an iterable with a length, an epoch and a state.
    """

    def __init__(
        self, urls: str | list[str], *, dataset: str, policy: Policy | str | None = None,
        batch_size: int = 1, shuffle: bool = False, drop_last: bool = False, seed: int = 0,
        device: Any = None, dtype: torch.dtype | None = None, channels_last: bool = False,
        targets: Form = "auto", shard: Any = "auto", views: Any = None,
        repeats: int | tuple[int, str] = 1,
        connection: Connection = Connection(),  # noqa: B008  (frozen)
    ) -> None:  # fmt: skip
        """Check the arguments; nothing is asked of a service yet."""
        if targets not in FORMS:
            raise InputError(f"targets={targets!r} is unknown: use one of {FORMS}")
        if policy is None and views is None:
            raise InputError("policy=None makes no images: give a policy, or views")
        self.views = None if views is None else resolve_views(views, policy)
        self.policy = self.views.parts[0].policy if self.views else resolve_policy(policy or "")
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.repeats = Repeats.of(repeats)
        self.drop_last, self.targets, self.shard = drop_last, targets, shard
        self.device = None if device is None else torch.device(device)
        if dtype is None:
            dtype = torch.float32 if self._normalizes else torch.uint8
        self._fields: dict[str, Any] = {
            "dataset": dataset, "seed": whole_number("seed", seed, 0),
            "shuffle": shuffle, "drop_last": drop_last, "dtype": dtype_name(dtype),
            "layout": "NHWC" if channels_last else "NCHW", "repeats": self.repeats,
            **({"policy": self.policy} if self.views is None else {"views": self.views}),
        }  # fmt: skip
        rank_and_world(shard)
        mixing = self.views is None and bool(self.policy.mixer or self.policy.scenes)
        self.repeats.check(owned=True, batch_size=self.batch_size, mixing=mixing)
        self.description(1)
        self.connection = connection
        self._replicas = Replicas(urls, connection)
        self._epoch = self._given = self._skip = 0
        self._info: PlanInfo | None = None
        self._running: set[Prefetcher[Batch]] = set()  # of passes side by side

    def description(self, world: int) -> Description:
        """Return the description of the plan for so many ranks."""
        try:
            made = Description(batch_size=self.batch_size * world, **self._fields)
        except ValueError as error:
            raise InputError(f"this is not a plan: {error}") from None
        for policy in made.policies:
            made.output.check(policy)
        return made

    @property
    def _normalizes(self) -> bool:
        policies = [self.policy] if self.views is None else [
            part.policy for part in self.views.parts]  # fmt: skip
        return any(policy.find(Normalize) is not None for policy in policies)

    # What frameworks ask for

    @property
    def sampler(self) -> "RemoteLoader":
        """Itself: Lightning tells the sampler which epoch begins."""
        return self

    @property
    def dataset(self) -> Remote:
        """The name and the length of the dataset; asks the service for the length."""
        return Remote(self._fields["dataset"], self.info.num_samples)

    @property
    def stats(self) -> Stats:
        """What was asked in this process, and how it went."""
        return self._replicas.stats

    @property
    def info(self) -> PlanInfo:
        """What the service knows of the plan; asks it for that, once."""
        world = rank_and_world(self.shard)[1]
        known = self._info
        if known is None or known.description.batch_size != self.batch_size * world:
            self._replicas.begin()
            known = self._info = register(self._replicas, self.description(world))
            self._pin(known.fingerprint)
        if known.fields and self.targets != "auto":
            raise InputError(
                f"targets={self.targets!r} is for classes of images, and "
                f"{self._fields['dataset']!r} gives {' and '.join(known.fields)}: use 'auto'"
            )
        return known

    def _pin(self, fingerprint: str) -> None:
        if self._replicas.fingerprint is None:
            self._replicas.fingerprint = fingerprint

    def __len__(self) -> int:
        """Return the number of batches of an epoch; asks the service."""
        return self.info.batches_per_epoch

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next pass; a position within it, once loaded, is kept."""
        epoch = whole_number("epoch", epoch, 0)
        if epoch != self._epoch:
            self._epoch, self._given, self._skip = epoch, 0, 0

    def skip(self, batches: int) -> None:
        """Leave out the first `batches` of the next pass; they are not asked for."""
        self._skip = whole_number("batches", batches, 0)

    def state_dict(self) -> dict[str, Any]:
        """Return where the newest pass stands, as JSON."""
        state = {
            "plan": self.info.id, "epoch": self._epoch, "step": self._given or self._skip,
            "fingerprint": self._replicas.fingerprint,
        }  # fmt: skip
        return state | ({"repeated_in": self._repeated_in} if self._repeated_in else {})

    @property
    def _repeated_in(self) -> int:
        # How many images hold whole repeats, where the order of an epoch depends on that.
        alone = self.repeats.count > 1 and self.repeats.over == "batch"
        return self.batch_size if alone else 0

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin the next pass after the batch where a state was taken, also on another number of
        ranks if `batch_size` times that is the same. Raises `StateError` for another plan."""
        try:
            plan, epoch, step = state["plan"], int(state["epoch"]), int(state["step"])
            fingerprint = state["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{state!r} is not a state of a RemoteLoader: {error!r}") from None
        if plan != self.info.id:
            raise StateError(
                f"plan={plan!r} is not {self.info.id!r}: the state is of other data, policy, seed "
                "or batch size of all ranks together"
            )
        if (before := state.get("repeated_in", 0)) != self._repeated_in:
            raise StateError(
                f"the state is of batches that repeat samples in {before} images of a rank, and "
                f"these do in {self._repeated_in}: use that batch_size"
            )
        if fingerprint is not None and fingerprint != self._replicas.fingerprint:
            self._replicas.fingerprint, self._info = fingerprint, None
        self._epoch, self._skip, self._given = epoch, step, 0
        if step >= len(self):
            self._epoch, self._skip = epoch + 1, 0

    # A pass

    def __iter__(self) -> Iterator[Any]:
        """Yield `(images, targets)`."""
        for batch in self._pass(maps=False):
            yield batch.given, batch.targets

    def batches(self) -> Iterator[Batch]:
        """Yield whole batches, with the ids of their samples, and where their views lie."""
        return self._pass(maps=self.views is not None)

    def _pass(self, *, maps: bool) -> Iterator[Batch]:
        # A pass begins with its first batch: Lightning makes the iterator of a run that it resumes
        # at the end of an epoch before it says which epoch comes.
        self._replicas.begin()
        info = self.info
        rank, world = rank_and_world(self.shard)
        first, self._skip, self._given = self._skip, 0, self._skip
        course = _RemotePass(self, info, (rank, world), self._epoch, maps=maps)
        process = os.getpid()
        running = Prefetcher(
            course.works(first), threads=self.connection.workers, ahead=self.connection.ahead
        )
        self._running.add(running)
        try:
            while True:
                if os.getpid() != process:
                    raise StateError(
                        "the pass was begun in another process, whose threads are not in this one: "
                        "begin a new pass; load_state_dict() says where"
                    )
                begun = time.perf_counter()
                batch = next(running, None)
                self.stats.waited += time.perf_counter() - begun
                if batch is None:
                    break
                self._given += 1
                yield batch
            self._epoch, self._given = self._epoch + 1, 0
        finally:
            running.close()
            self._running.discard(running)
            if not self._running:
                self._replicas.close()  # requests under way end, and their threads with them

    def close(self) -> None:
        """End what is under way; a new pass begins again."""
        while self._running:
            self._running.pop().close()
        self._replicas.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": set()}

    def __del__(self) -> None:
        if "_running" in self.__dict__:
            self.close()


@dataclass(frozen=True, slots=True)
class _Work:
    tasks: list[Callable[[], None]]
    finish: Callable[[], Batch]


class _RemotePass:
    # One pass: requests, and what becomes of their answers.

    def __init__(
        self, loader: RemoteLoader, info: PlanInfo, shard: tuple[int, int], epoch: int, *,
        maps: bool,
    ) -> None:  # fmt: skip
        self.loader, self.info, self.shard, self.epoch = loader, info, shard, epoch
        self.maps = maps
        device = loader.device
        self.cuda = device is not None and device.type == "cuda"
        self.side_stream = None if device is None or device.type == "cpu" else SideStream(device)
        # Memory that a copy reads from lives until the copy is done.
        self.copied: deque[tuple[Any, Any]] = deque()

    def works(self, first: int) -> Iterator[_Work]:
        for step in range(first, self.info.batches_per_epoch):
            held: list[Any] = []
            yield _Work([partial(self._fetch, step, held)], partial(self._finish, held))

    def _fetch(self, step: int, held: list[Any]) -> None:
        at = (self.epoch, step, *self.shard)
        replicas = self.loader._replicas
        request = batch_request(self.info, at, replicas.fingerprint, maps=self.maps)
        batch: Batch = replicas.ask(replace(request, room=self._room))
        targets = formed(batch.targets, self.loader.targets, softens=self.info.softens)
        batch = replace(batch, targets=targets)
        if self.side_stream is not None:
            assert self.loader.device is not None
            moved = self.side_stream.run(partial(_to, batch, self.loader.device))
            held += [moved, batch]
        else:
            held.append(batch)

    def _room(self, size: int) -> memoryview:
        if not self.cuda:
            return allocate(size)
        array: Any = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
        return memoryview(array)

    def _finish(self, held: list[Any]) -> Batch:
        if self.side_stream is None:
            batch: Batch = held[0]
            return batch
        moved, host = held
        self.copied.append((moved[1], host))
        while self.copied and (self.copied[0][0] is None or self.copied[0][0].query()):
            self.copied.popleft()
        (first, *rest), targets = self.side_stream.take(moved)
        views = {name: replace(view, images=images) for (name, view), images in zip(
            host.views.items(), (first, *rest), strict=False)}  # fmt: skip
        made: Batch = replace(host, images=first, targets=targets, views=views)
        return made


def _to(batch: Batch, device: torch.device) -> tuple[Any, Any]:
    given = [view.images for view in batch.views.values()] or [batch.images]
    images = [each.to(device, non_blocking=True) for each in given]
    targets = batch.targets
    if is_fields(targets):
        targets = FieldTargets.of(targets, len(batch)).to(device).value
    elif targets is not None:
        pinned = next(iter(tensors_of(targets))).is_pinned()
        targets = targets.to(device, non_blocking=pinned)
    return images, targets
