"""`DataLoader`: batches of a data set in the order of an epoch, made ahead by threads."""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from augfeed.batch import Batch
from augfeed.engines import Output
from augfeed.errors import InputError, InputTypeError, StateError
from augfeed.integers import whole_number
from augfeed.invariances import Invariances
from augfeed.philox import check_key
from augfeed.pipeline import Form, Order, Pipeline
from augfeed.policy import Policy
from augfeed.prefetch import Prefetcher
from augfeed.presets import resolve_policy
from augfeed.read.sources import open_source


class DataLoader:
    """Iterates over augmented batches: `for images, targets in loader`.

    `dataset`: a folder of class folders, an idx or npz file, `(images, labels)`, or an object with
    `data` and `targets` (see `augfeed.read.sources.open_source`); `split` is "train" or "test" for
    data that have both. `policy`: a `Policy`, or a text
    that `resolve_policy` understands, such as `"fashion"` or `"hflip | normalize(0.5, 0.5)"`.

    Batch `i` of epoch `e` is a pure function of the data set, the policy, `seed`, `e` and `i`; each
    new iterator is the next epoch unless `set_epoch` says otherwise. `num_workers` is a number of
    threads (0: the calling one), `prefetch_factor` how many batches they make ahead (for arrays in
    memory: each of them, as in torch). With `world` above 1, `batch_size` is that of this `rank`.

    Raises what `Pipeline` raises, when it is built: a policy that would make labels wrong is
    refused unless `allow` names the rules to override.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        policy: Policy | str = "",
        num_workers: int = 0,
        prefetch_factor: int = 2,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        device: Any = "cpu",
        engine: str = "auto",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        targets: Form = "auto",
        split: str = "train",
        invariances: Invariances | str | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        """Open the data set and check that everything fits."""
        batch_size = whole_number("batch_size", batch_size, 1)
        num_workers = whole_number("num_workers", num_workers, 0)
        prefetch_factor = whole_number("prefetch_factor", prefetch_factor, 1)
        seed, rank, world = (
            whole_number("seed", seed, 0),
            whole_number("rank", rank, 0),
            whole_number("world", world, 1),
        )
        self.dataset = dataset
        self.policy = resolve_policy(policy) if policy else Policy()
        self.pipeline = Pipeline(
            open_source(dataset, split=split),
            self.policy,
            order=Order(batch_size, shuffle, drop_last, rank, world),
            seed=seed,
            output=Output(dtype, channels_last),
            targets=targets,
            device=device,
            engine=engine,
        )
        self.pipeline.check(invariances, allow)
        self.batch_size, self.seed = batch_size, seed
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self._epoch, self._step = 0, 0  # of the next batch
        self._given: tuple[int, int] | None = None  # where the newest iterator stands
        self._newest: weakref.ref[_Iterator] | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.pipeline)

    def __iter__(self) -> Iterator[Any]:
        epoch, first = self._epoch, self._step
        self._epoch, self._step = epoch + 1, 0
        return _Iterator(self, epoch, first)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_newest": None}

    def batches(self) -> Iterator[Batch]:
        """Iterate over whole `Batch` objects, with the ids and the plan."""
        iterator = iter(self)
        assert isinstance(iterator, _Iterator)
        return iterator.whole()

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next iterator; a position within it, once loaded, is kept."""
        epoch = whole_number("epoch", epoch, 0)
        check_key(self.seed, epoch)
        if epoch != self._epoch:
            self._epoch, self._step = epoch, 0
        self._given = None

    def state_dict(self) -> dict[str, Any]:
        """Return where the newest iterator stands, as JSON: less than 200 bytes.

        `position` counts the samples that all ranks together have been given in `epoch`.
        """
        epoch, step = self._given or (self._epoch, self._step)
        if step == len(self):
            epoch, step = epoch + 1, 0
        order = self.pipeline.order
        return {
            "version": 1,
            "epoch": epoch,
            "position": step * order.batch_size * order.world,
            "seed": self.seed,
            "shuffle": order.shuffle,
            "policy": self.policy.digest[:16],
            "data": self.pipeline.source.fingerprint()[:16],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken; the next iterator yields the batch after it.

        Also with another number of threads, or of ranks and samples a rank where `position` is
        a whole number of batches. Raises `StateError` for a state of other data, policy or seed.
        """
        if not isinstance(state, dict):
            raise InputTypeError(f"state={state!r} is no state: give what state_dict() returned")
        own = self.state_dict()
        if missing := sorted(own.keys() - state.keys()):
            raise StateError(f"the state lacks {missing}: give what state_dict() returned")
        for name in ("version", "policy", "data", "seed", "shuffle"):
            if state[name] != own[name]:
                raise StateError(
                    f"the state is of {name}={state[name]!r} and this loader has {own[name]!r}: "
                    f"build the loader with the {name} that the state was taken with"
                )
        order = self.pipeline.order
        together = order.batch_size * order.world
        try:
            epoch = whole_number("epoch", state["epoch"], 0)
            position = whole_number("position", state["position"], 0)
            check_key(self.seed, epoch)
        except InputError as error:
            raise StateError(f"the state is broken: {error}") from None
        if position % together or position // together > len(self):
            raise StateError(
                f"position={position!r} is not between two of this loader's batches of {together}: "
                "use a batch size times number of ranks that divides it"
            )
        self._epoch, self._step, self._given = epoch, position // together, None


class _Iterator:
    """One pass over an epoch."""

    def __init__(self, loader: DataLoader, epoch: int, first: int) -> None:
        self._loader, self._epoch, self._length = loader, epoch, len(loader)
        self._step = first
        pipeline = loader.pipeline
        works = (pipeline.work(epoch, step) for step in range(first, self._length))
        each = max(1, loader.num_workers) if pipeline.whole_batches else 1
        self._batches: Prefetcher[Batch] = Prefetcher(
            works, threads=loader.num_workers, ahead=loader.prefetch_factor * each
        )
        loader._given = (epoch, first)
        loader._newest = weakref.ref(self)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return self._length

    def __next__(self) -> Any:
        return tuple(self.next_batch())

    def next_batch(self) -> Batch:
        batch = next(self._batches)
        self._step += 1
        loader = self._loader
        if loader._given is not None and loader._newest is not None and loader._newest() is self:
            loader._given = (self._epoch, self._step)
        return batch

    def whole(self) -> Iterator[Batch]:
        while True:
            try:
                yield self.next_batch()
            except StopIteration:
                return
