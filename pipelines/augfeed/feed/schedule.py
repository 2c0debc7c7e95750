"""The schedule of a pass: in which order, in which batches, on which rank."""

from collections.abc import Callable, Iterator, Sized
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from augfeed.errors import InputError
from augfeed.feed.accelerate import accelerate_device
from augfeed.feed.batch_requests import (
    BatchRequest,
    Pass,
    Split,
    batches_of,
    given_batches,
    known_tickets,
    stream_tickets,
)
from augfeed.feed.epoch_pass import EpochPass
from augfeed.feed.lanes import LoadedBatch, PassRequest
from augfeed.feed.loader_state import LoaderState, length_of
from augfeed.feed.shard import rank_and_world
from augfeed.feed.shuffle import InOrder, Shuffle, drawn
from augfeed.feed.torch_iterator import rebatched
from augfeed.plan.batch_rows import repeated
from augfeed.plan.repeats import Repeats


def own_order(
    items: Sized, *, shuffle: bool | None, generator: Any, seed: int | None, augments: bool
) -> Any:
    """Return the sampler of a loader that was given none, marked as its own."""
    if not shuffle:
        sampler: Any = InOrder(items) if augments else SequentialSampler(items)
    elif seed is None:
        sampler = RandomSampler(items, generator=generator)
    else:
        sampler = Shuffle(items, generator=generator, seed=seed)
    sampler.augfeed_own = True
    return sampler


def own_sampler(state: LoaderState) -> Any:
    """Return a loader's sampler if it is the loader's own, else None."""
    sampler = state.sampler
    return sampler if getattr(sampler, "augfeed_own", False) else None


def sampler_epoch(state: LoaderState) -> int | None:
    """Return the epoch that the sampler was given since the newest pass was made, or None.

    Only of samplers whose own iteration leaves their epoch alone.
    """
    sampler = state.sampler
    if not isinstance(sampler, (InOrder, Shuffle, DistributedSampler)):
        return None
    return None if sampler.epoch == state.seen else sampler.epoch


def split_of(state: LoaderState) -> Split | None:
    """Return how a loader cuts its order, where it may: with a policy, and its own sampler."""
    batches = state.loader.batch_sampler
    if state.lane is None or own_sampler(state) is None or type(batches) is not BatchSampler:
        return None
    return Split(batches.batch_size, batches.drop_last, *state.rank_and_world)


def check_split(state: LoaderState) -> None:
    """Raise `InputError` where Accelerate would have split an epoch, and a loader cannot.

    Accelerate leaves an augmenting loader as it is (see `augfeed.feed.accelerate`), so that every
    process would see every sample of a sampler, or an iterable dataset, of the caller's.
    """
    if state.shard != "auto" or accelerate_device() is None or rank_and_world("auto")[1] == 1:
        return
    sampler = state.sampler
    ranked = hasattr(sampler, "num_replicas") or hasattr(state.loader.batch_sampler, "num_replicas")
    if getattr(sampler, "augfeed_own", False) or ranked:
        return
    given = "an iterable dataset" if state.iterates else f"a {type(sampler).__name__}"
    raise InputError(
        f"the samples of {given} are not split over the {rank_and_world('auto')[1]} processes of "
        "Accelerate: use shuffle=True or a DistributedSampler; or split them yourself and say "
        "shard=None"
    )


def replayable(sampler: Any, run: EpochPass) -> tuple[Any, bool]:
    """Return an index sampler for a pass of torch's loader, and whether its order is known."""
    stock = type(sampler) is BatchSampler
    inner = sampler.sampler if stock else sampler
    if type(inner) in (SequentialSampler, InOrder):
        return sampler, True
    if type(inner) not in (RandomSampler, Shuffle):
        return sampler, False
    if isinstance(inner, Shuffle) and inner.seed is not None:
        ordered: Any = inner.order(run.epoch).tolist()
    else:
        ordered = run.replayed(inner)
    return (rebatched(sampler, ordered) if stock else ordered), True


def scheduled(state: LoaderState, run: EpochPass) -> Callable[[], Iterator[BatchRequest]]:
    """Return what yields the requests of a pass; nothing is drawn before the first is asked for.

    The loader is not held on to: an iterator that did would keep its workers alive with it.
    """
    assert state.policy is not None
    loader, (length, numbered) = state.loader, samples_in(state)
    made = Pass(
        run.seed or 0, run.epoch, run.position, state.policy.mixes_in(run.epoch), run.check, length,
        numbered, run.given,
    )  # fmt: skip
    batches, split = loader.batch_sampler, split_of(state)
    if type(batches) is BatchSampler:
        cut = split or Split(batches.batch_size, batches.drop_last)
        return partial(_batched, batches.sampler, cut, made, run, state.repeats)
    return partial(_given, loader._index_sampler, made, run, batched=loader._auto_collation)


def opened(state: LoaderState, run: EpochPass) -> Iterator[LoadedBatch]:
    """Return the batches of a pass, made in the loader's lane."""
    assert state.lane is not None
    key = (run.seed or 0, run.epoch)
    asked = PassRequest(scheduled(state, run), key, run.position, *state.rank_and_world)
    return state.lane.open(state.loader, asked)


def samples_in(state: LoaderState) -> tuple[int | None, bool]:
    """Return the length of a loader's dataset, if it has one, and whether we read it ourselves."""
    if state.lane is not None and (source := state.lane.source) is not None:
        return len(source), True
    return length_of(state.loader.dataset), False


def _given(sampler: Any, made: Pass, run: EpochPass, *, batched: bool) -> Iterator[BatchRequest]:
    run.begin()
    ordered, _ = replayable(sampler, run)
    yield from stream_tickets(given_batches(ordered, batched=batched), made)


def _batched(
    sampler: Any, split: Split, made: Pass, run: EpochPass, repeats: Repeats
) -> Iterator[BatchRequest]:
    run.begin()
    order = _known_order(sampler, run, split.world)
    if order is not None:
        if repeats.count > 1:
            sources = repeats.sources(
                split.batch_size, split.world, mixing=made.mixing, length=len(order)
            )
            order = repeats.order(order, sources)
        yield from known_tickets(order, split, made)
    else:
        yield from stream_tickets(
            batches_of(sampler, split.batch_size, drop_last=split.drop_last), made
        )


def _known_order(sampler: Any, run: EpochPass, world: int) -> NDArray[np.int64] | None:
    if type(sampler) in (SequentialSampler, InOrder):
        return np.arange(len(sampler), dtype=np.int64)
    if isinstance(sampler, Shuffle) and sampler.seed is not None:
        return sampler.order(run.epoch)
    if type(sampler) not in (RandomSampler, Shuffle):
        return None
    if world > 1:
        # As DistributedSampler does: ranks must agree, and their generators need not.
        shared = torch.Generator()
        shared.manual_seed(run.epoch)
        return drawn(RandomSampler(sampler.data_source), shared)
    order = run.replayed(sampler).order()
    once = not sampler.replacement and len(order) <= len(sampler.data_source)
    return order if once else repeated(order)
