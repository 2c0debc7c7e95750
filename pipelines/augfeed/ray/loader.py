"""`RayLoader`: a loader whose batches are made by actors of a Ray cluster."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args
from weakref import WeakSet

import torch

from augfeed.batch import Batch
from augfeed.engines import Output, Place, known_device
from augfeed.errors import InputError, StateError
from augfeed.feed.batch_requests import first_step
from augfeed.feed.epoch_pass import EpochPass, run_of, state_of
from augfeed.feed.fields import FieldOptions
from augfeed.feed.lane_selection import views_of
from augfeed.feed.shard import rank_and_world
from augfeed.invariances import Invariances
from augfeed.philox import check_key
from augfeed.plan.repeats import Repeats
from augfeed.policy import Policy
from augfeed.presets import resolve_policy
from augfeed.ray.actors import Actors
from augfeed.ray.crops import Finisher
from augfeed.ray.iterator import Course, RayIterator
from augfeed.ray.jobs import Dataset, Job
from augfeed.ray.pool import Pool, Stats
from augfeed.read.cache_dir import expanded
from augfeed.read.decode import MAX_PIXELS
from augfeed.read.order import Order, steps_per_epoch
from augfeed.read.read_config import OnError, Reading
from augfeed.read.read_errors import ReadFailure, ReadFailureLog
from augfeed.targets import Form
from augfeed.views import Views
from augfeed.whole_number import whole_number

Augment = Literal["there", "here", "auto"]


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
    `targets`, `num_classes`, `split`, `invariances`, `allow`, `on_error`, `cache`, `max_pixels`,
    `image_key`, `label_key`, `fields`, `views`, `repeats` and `shard` mean what they do for
    `augfeed.DataLoader`, and batches are the same, bit for bit, as that one makes of the same data
    on the same kind of machine; `seed` is 0 by default. `device` is where batches go. `actors` says
    how many of them there are for each rank, where they run, and how many batches are under way.

    With `augment="there"` actors ship finished batches. With "here" they ship crops, which are
    read, decoded, cut and resized, and the device of the training (or its CPU) does the rest: the
    bytes are those of `DataLoader(device=device, reader="cpu")`. "auto" is "here" where `device` is
    a GPU and a crop takes fewer bytes than a finished image (`bytes_per_image`): a float32 batch of
    a policy that normalizes takes four times those of its crops.

    A batch whose actor or node is lost is made by another actor. The number of actors, and where
    they run, changes no batch; all of them must have the same data and versions, or `StateError` is
    raised. A batch that no actor makes in time is a `ClusterError` in its place. States are those
    of `augfeed.DataLoader`: one goes on where the other one stood.

    It is not a `torch.utils.data.DataLoader`, which frameworks would rebuild, or split once more;
    they take it as an iterable with a length, an epoch and a state.
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool = False, *,
        policy: Policy | str | None = None,
        drop_last: bool = False, seed: int = 0, device: Any = None,
        dtype: torch.dtype = torch.float32, channels_last: bool = False, targets: Form = "auto",
        num_classes: int | None = None, split: str = "train",
        invariances: Invariances | str | None = None, allow: Sequence[str] = (),
        on_error: OnError = "raise", cache: Any = None, max_pixels: int = MAX_PIXELS,
        image_key: str | None = None, label_key: str | None = None, fields: Any = None,
        views: Any = None, repeats: int | tuple[int, str] = 1, augment: Augment = "there",
        shard: Any = "auto", actors: Actors = Actors(),  # noqa: B008  (frozen)
    ) -> None:  # fmt: skip
        """Check the arguments; no actor is started yet."""
        self.views = views_of(views, policy)
        self.policy = self.views.parts[0].policy if self.views else _policy(policy)
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
        self.device = None if device is None else known_device(device)
        self.augment = _checked(augment, self.views, actors)
        self.repeats = Repeats.of(repeats)
        self.repeats.check(
            owned=True, batch_size=self.batch_size,
            mixing=bool(self.policy.mixer or self.policy.scenes),
        )  # fmt: skip
        output = Output(dtype, channels_last)
        for policy_ in [part.policy for part in self.views.parts] if self.views else [self.policy]:
            output.check(policy_)
        FieldOptions.of(fields)
        job = Job(
            Dataset(_placed(dataset), split, image_key, label_key, fields), self.policy, self.seed,
            Order(self.batch_size, self.shuffle, self.drop_last), output, targets,
            Reading(on_error, cache, max_pixels), self.views, self.repeats, num_classes,
            invariances, tuple(allow),
        )  # fmt: skip
        self._pool = Pool(job, actors)
        self._finisher: Finisher | None = None
        self._run: EpochPass | None = None  # the newest pass
        self._following: EpochPass | None = None  # the next one, if it was given
        self._running: WeakSet[Course] = WeakSet()  # passes side by side
        self._log: ReadFailureLog | None = None  # of the newest pass

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
    def unread(self) -> tuple[ReadFailure, ...]:
        """The files that could not be read in the newest pass, and what took their places."""
        return () if self._log is None or self._run is None else self._log.of(self._run.epoch)

    @property
    def bytes_per_image(self) -> dict[str, int]:
        """What an image takes on its way, by `augment`; starts an actor to know it."""
        known = self._pool.known()
        return {"there": known.image_bytes, "here": known.crop_bytes}

    @property
    def _augments_here(self) -> bool:
        if self.augment != "auto":
            return self.augment == "here"
        if self.views is not None or self.device is None or self.device.type == "cpu":
            return False
        each = self.bytes_per_image
        return each["here"] < each["there"]

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
            "policy": (self.views or self.policy).digest[:16],
            "data": self._pool.known().data[:16],
            "shuffle": self.repeats.named(
                "seed" if self.shuffle else False, self.batch_size, rank_and_world(self.shard)[1]
            ),
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

    def __iter__(self) -> RayIterator:
        """Iterate over `(images, targets)`; the pass begins with the first of them.

        Images of views whose tensors have names are a dict of tensors.
        """
        return RayIterator(self)

    def batches(self) -> Iterator[Batch]:
        """Iterate over whole batches, with the ids of their samples."""
        return RayIterator(self).batches()

    def begin(self) -> tuple[EpochPass, Course]:
        """Begin the pass that comes next, as `RayIterator` does with its first batch."""
        self._pool.begin()
        run, steps = self._next(), len(self)
        first = first_step(run.position, self._together, steps)
        self._run, self._following = run, None
        finisher = None
        if self._augments_here:
            place = Place("cpu" if self.device is None else self.device)
            finisher = self._finisher = self._finisher or Finisher(self._pool.job, place)
        course = Course(
            self._pool, (run.epoch, rank_and_world(self.shard)), (first, steps), self._together,
            self.device, finisher,
        )  # fmt: skip
        self._running.add(course)
        self._log = course.log
        return run, course

    def close(self) -> None:
        """End what is under way, and the actors; a new pass starts new ones."""
        for course in list(self._running):  # of which some may be dying along with the loader
            course.close()
        self._running.clear()
        self._pool.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None, "_finisher": None, "_log": None,
                "_run": self._run and replace(self._run)}  # fmt: skip

    def __setstate__(self, held: dict[str, Any]) -> None:
        self.__dict__.update(held, _running=WeakSet())

    def __del__(self) -> None:
        if "_running" in self.__dict__:
            self.close()


def _policy(policy: Any) -> Policy:
    if policy is None:
        raise InputError("policy=None makes no batches: give a policy, or views=")
    return Policy() if isinstance(policy, str) and not policy else resolve_policy(policy)


def _checked(augment: Any, views: Views | None, actors: Actors) -> Augment:
    if augment not in get_args(Augment):
        raise InputError(f"augment={augment!r} is unknown: use one of {get_args(Augment)}")
    if augment == "here" and views is not None:
        raise InputError(
            "augment='here' ships one crop of each sample, and views are several images: use "
            "augment='there'"
        )
    if augment == "here" and actors.device != "cpu":
        raise InputError(
            f"augment='here' leaves actors nothing to do on device={actors.device!r}: use "
            "Actors(device='cpu'), or augment='there'"
        )
    checked: Augment = augment
    return checked


def _placed(dataset: Any) -> Any:
    # Actors have another working directory, and perhaps another home folder.
    if not isinstance(dataset, str | os.PathLike):
        return dataset
    path = Path(expanded(dataset))
    return str(path.absolute()) if path.exists() else str(path)
