"""`RayLoader`: a loader whose batches are made by actors of a Ray cluster."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from augfeed.batch import Batch
from augfeed.engines import Output
from augfeed.errors import InputError, StateError
from augfeed.feed.batch_requests import first_step
from augfeed.feed.epoch_pass import EpochPass, run_of, state_of
from augfeed.feed.shard import rank_and_world
from augfeed.invariances import Invariances
from augfeed.philox import check_key
from augfeed.pipeline import Order
from augfeed.policy import Policy
from augfeed.prefetch import Prefetcher, SideStream, tensors_of
from augfeed.presets import resolve_policy
from augfeed.ray.actors import Actors
from augfeed.ray.feeder import Address, Job
from augfeed.ray.pool import Pool, Stats
from augfeed.ray.shipment import Unpacker
from augfeed.read.cache_dir import expanded
from augfeed.read.order import steps_per_epoch
from augfeed.read.read_config import OnError, Reading
from augfeed.targets import Form
from augfeed.whole_number import whole_number


@dataclass(frozen=True, slots=True)
class OnCluster:
    """The dataset of a loader, as far as it is here: its length."""

    length: int

    def __len__(self) -> int:
        return self.length


class RayLoader:
    """Batches of a dataset, made by actors on a Ray cluster, in order, each exactly once.

    `dataset` is whatever `augfeed.open_source` opens. A path is opened by the actors, on their
    nodes, so that the training need not see it; arrays go into Ray's object store once. `policy`,
    `batch_size` (that of one rank), `shuffle`, `drop_last`, `seed`, `dtype`, `channels_last`,
    `targets`, `num_classes`, `split`, `invariances`, `allow`, `on_error`, `cache` and `shard` mean
    what they do for `augfeed.DataLoader`, and batches are the same, bit for bit, as that one makes
    of the same data on the same kind of machine; `seed` is 0 by default. `device` is where batches
    go. `actors` says how many of them there are for each rank, where they run, and how many batches
    are under way.

    A batch whose actor or node is lost is made by another actor. The number of actors, and where
    they run, changes no batch; all of them must have the same data and versions, or `StateError` is
    raised. A batch that no actor makes in time is a `ClusterError` in its place. States are those
    of `augfeed.DataLoader`: one goes on where the other one stood.

    It is not a `torch.utils.data.DataLoader`, which frameworks would rebuild, or split once more;
    they take it as an iterable with a length, an epoch and a state.
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool = False, *, policy: Policy | str,
        drop_last: bool = False, seed: int = 0, device: Any = None,
        dtype: torch.dtype = torch.float32, channels_last: bool = False, targets: Form = "auto",
        num_classes: int | None = None, split: str = "train",
        invariances: Invariances | str | None = None, allow: Sequence[str] = (),
        on_error: OnError = "raise", cache: Any = None, shard: Any = "auto",
        actors: Actors = Actors(),  # noqa: B008  (frozen)
    ) -> None:  # fmt: skip
        """Check the arguments; no actor is started yet."""
        self.policy = resolve_policy(policy)
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self.seed = whole_number("seed", seed, 0)
        check_key(self.seed, 0)
        if targets not in get_args(Form):
            raise InputError(f"targets={targets!r} is unknown: use one of {get_args(Form)}")
        if not isinstance(actors, Actors):
            raise InputError(f"actors={actors!r} is not an Actors: use Actors(least=1, most=4)")
        rank_and_world(shard)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.targets, self.shard, self.actors = targets, shard, actors
        self.device = None if device is None else torch.device(device)
        output = Output(dtype, channels_last)
        output.check(self.policy)
        job = Job(
            _placed(dataset), self.policy, self.seed,
            Order(self.batch_size, self.shuffle, self.drop_last), output, targets,
            Reading(on_error, cache), split, num_classes, invariances, tuple(allow),
        )  # fmt: skip
        self._pool = Pool(job, actors)
        self._run: EpochPass | None = None  # the newest pass
        self._following: EpochPass | None = None  # the next one, if it was given
        self._running: set[Prefetcher[Batch]] = set()  # of passes side by side

    # What frameworks ask for

    @property
    def sampler(self) -> "RayLoader":
        """Itself: Lightning tells the sampler which epoch begins."""
        return self

    @property
    def dataset(self) -> OnCluster:
        """The length of the dataset; starts an actor to know it."""
        return OnCluster(self._pool.known().length)

    @property
    def stats(self) -> Stats:
        """What happened in this process: batches, seconds waited, actors lost."""
        return self._pool.stats

    @property
    def num_classes(self) -> int | None:
        """The width of rows of shares, if it is known; starts an actor to know it."""
        return self._pool.known().num_classes

    def __len__(self) -> int:
        """Return the number of batches of an epoch, for this rank; starts an actor to know it."""
        return steps_per_epoch(
            self._pool.known().length, self.batch_size, world=rank_and_world(self.shard)[1],
            drop_last=self.drop_last,
        )  # fmt: skip

    @property
    def _together(self) -> int:
        return self.batch_size * rank_and_world(self.shard)[1]

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next pass; a position within it, once loaded, is kept."""
        epoch = whole_number("epoch", epoch, 0)
        check_key(self.seed, epoch)
        if self._following is None or self._following.epoch != epoch:
            self._following = EpochPass(epoch, self.seed)

    def skip(self, batches: int) -> None:
        """Leave out the first `batches` of the next pass; they are not made."""
        position = min(whole_number("batches", batches, 0), len(self)) * self._together
        self._following = EpochPass(self._next().epoch, self.seed, position)

    def _next(self) -> EpochPass:
        # As for `DataLoader`, the pass after one that was broken off is of the next epoch.
        if self._following is not None:
            return self._following
        return EpochPass(0 if self._run is None else self._run.epoch + 1, self.seed)

    def _identity(self) -> dict[str, Any]:
        # As `augfeed.feed.next_pass.identity_of` has it for the same data.
        return {
            "policy": self.policy.digest[:16], "data": self._pool.known().data[:16],
            "shuffle": "seed" if self.shuffle else False,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return where the newest pass stands, as JSON of some 250 bytes."""
        newest = self._run
        begun = self._following is None and newest is not None and not newest.done
        return state_of(newest if begun and newest else self._next(), self._identity())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin the next pass after the batch where a state was taken.

        Also one of `augfeed.DataLoader`, and with another number of ranks or actors, where
        `position` is a whole number of batches. Raises `StateError` for a state of other data,
        policy or seed.
        """
        run = run_of(dict(state), self.seed, self._identity())
        if run.given:
            raise StateError(
                f"given={run.given!r}: the state is of batches out of order (in_order=False), and "
                "these come in order: take one between two epochs"
            )
        first_step(run.position, self._together, len(self))
        self._following = run

    # A pass

    def __iter__(self) -> Iterator[Any]:
        """Yield `(images, targets)`."""
        for batch in self.batches():
            yield batch.images, batch.targets

    def batches(self) -> Iterator[Batch]:
        """Yield whole batches, with the ids of their samples."""
        # A pass begins with its first batch: Lightning makes the iterator of a run that it resumes
        # at the end of an epoch before it says which epoch comes.
        self._pool.begin()
        run, together, process = self._next(), self._together, os.getpid()
        steps = len(self)
        first = first_step(run.position, together, steps)
        self._run, self._following = run, None
        course = _RayPass(self._pool, run.epoch, rank_and_world(self.shard), self.device)
        ahead = self.actors.ahead
        running = Prefetcher(course.works(first, steps), threads=ahead, ahead=ahead)
        self._running.add(running)
        try:
            for step in range(first, steps):
                if os.getpid() != process:
                    raise StateError(
                        "the pass was begun in another process, whose threads are not in this one: "
                        "begin a new pass; load_state_dict() says where"
                    )
                begun = time.perf_counter()
                batch = next(running)
                self._pool.waited(time.perf_counter() - begun)
                run.position = (step + 1) * together
                yield batch
            run.done = True
        finally:
            running.close()
            self._running.discard(running)

    def close(self) -> None:
        """End what is under way, and the actors; a new pass starts new ones."""
        while self._running:
            self._running.pop().close()
        self._pool.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": set(), "_run": self._run and replace(self._run)}

    def __del__(self) -> None:
        if "_running" in self.__dict__:
            self.close()


def _placed(dataset: Any) -> Any:
    # Actors have another working directory, and perhaps another home folder.
    if not isinstance(dataset, str | os.PathLike):
        return dataset
    path = Path(expanded(dataset))
    return str(path.absolute()) if path.exists() else str(path)


@dataclass(frozen=True, slots=True)
class _Work:
    tasks: list[Callable[[], None]]
    finish: Callable[[], Batch]


class _RayPass:
    # One pass: what is asked of actors, and what becomes of their batches.

    def __init__(
        self, pool: Pool, epoch: int, shard: tuple[int, int], device: torch.device | None
    ) -> None:
        self.pool, self.epoch, self.shard, self.device = pool, epoch, shard, device
        cuda = device is not None and device.type == "cuda"
        self.unpacker = Unpacker(pinned=cuda)
        self.side_stream = None if device is None or device.type == "cpu" else SideStream(device)
        # Memory that a copy reads from lives until the copy is done.
        self.copied: deque[tuple[Any, Any]] = deque()

    def works(self, first: int, steps: int) -> Iterator[_Work]:
        for step in range(first, steps):
            held: list[Any] = []
            yield _Work([partial(self._fetch, step, held)], partial(self._finish, held))

    def _fetch(self, step: int, held: list[Any]) -> None:
        batch = self.unpacker.batch(self.pool.ask(Address(self.epoch, step, *self.shard)))
        if self.side_stream is None:
            held.append(batch)
            return
        assert self.device is not None
        held += [self.side_stream.run(partial(_moved, batch, self.device)), batch]

    def _finish(self, held: list[Any]) -> Batch:
        if self.side_stream is None:
            batch: Batch = held[0]
            return batch
        moved, host = held
        self.copied.append((moved[1], host))
        while self.copied and (self.copied[0][0] is None or self.copied[0][0].query()):
            self.copied.popleft()
        there: tuple[Any, Any] = self.side_stream.take(moved)
        return replace(host, images=there[0], targets=there[1])


def _moved(batch: Batch, device: torch.device) -> tuple[Any, Any]:
    images = batch.images.to(device, non_blocking=True)
    targets = batch.targets
    if targets is not None:
        pinned = next(iter(tensors_of(targets))).is_pinned()
        targets = targets.to(device, non_blocking=pinned)
    return images, targets
