"""The schedule of a pass: in which order, in which batches, on which rank."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from augfeed.feed.choice import mixes
from augfeed.feed.plain import rebatched
from augfeed.feed.run import Run
from augfeed.feed.shard import rank_and_world
from augfeed.feed.shuffle import InOrder, Shuffle, drawn
from augfeed.feed.tickets import (
    Pass,
    Split,
    Ticket,
    batches_of,
    given_batches,
    known_tickets,
    stream_tickets,
)
from augfeed.plan.rows import repeated


def own_order(items: Any, *, shuffle: Any, generator: Any, seed: int | None, augments: bool) -> Any:
    """Return the sampler of a loader that was given none, marked as its own."""
    if not shuffle:
        sampler: Any = InOrder(items) if augments else SequentialSampler(items)
    elif seed is None:
        sampler = RandomSampler(items, generator=generator)
    else:
        sampler = Shuffle(items, generator=generator, seed=seed)
    sampler.augfeed_own = True
    return sampler


def own_sampler(loader: Any) -> Any:
    """Return a loader's sampler if it is the loader's own, else None."""
    sampler = loader._innermost()
    return sampler if getattr(sampler, "augfeed_own", False) else None


def told_epoch(loader: Any) -> int | None:
    """Return the epoch that the sampler was told since the newest pass was made; None if none was.

    Only of samplers whose own iteration leaves their epoch alone.
    """
    sampler = loader._innermost()
    if not isinstance(sampler, (InOrder, Shuffle, DistributedSampler)):
        return None
    return None if sampler.epoch == loader._seen else sampler.epoch


def split_of(loader: Any) -> Split | None:
    """Return how a loader cuts its order, where it may: with a policy, and its own sampler."""
    batches = loader.batch_sampler
    if loader.lane == "torch" or own_sampler(loader) is None or type(batches) is not BatchSampler:
        return None
    return Split(batches.batch_size, batches.drop_last, *rank_and_world(loader.shard))


def replayable(sampler: Any, run: Run) -> tuple[Any, bool]:
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


def scheduled(loader: Any, run: Run) -> Callable[[], Iterator[Ticket]]:
    """Return what yields the tickets of a pass; nothing is drawn before the first is asked for.

    The loader is not held on to: an iterator that did would keep its workers alive with it.
    """
    length, numbered = samples_in(loader)
    made = Pass(
        run.seed or 0, run.epoch, run.position, mixes(loader._policy), run.check, length,
        numbered, run.given,
    )  # fmt: skip
    batches, split = loader.batch_sampler, split_of(loader)
    if type(batches) is BatchSampler:
        cut = split or Split(batches.batch_size, batches.drop_last)
        return partial(_batched, batches.sampler, cut, made, run)
    return partial(_given, loader._index_sampler, made, run, batched=loader._auto_collation)


def samples_in(loader: Any) -> tuple[int | None, bool]:
    """Return the length of a loader's data set, if it has one, and whether we read it ourselves."""
    if (recognised := getattr(loader._lane, "recognised", None)) is not None:
        return len(recognised.source), True
    try:
        return len(loader.dataset), False
    except Exception:  # whatever a foreign class raises
        return None, False


def _given(sampler: Any, made: Pass, run: Run, *, batched: bool) -> Iterator[Ticket]:
    run.begin()
    ordered, _ = replayable(sampler, run)
    yield from stream_tickets(given_batches(ordered, batched=batched), made)


def _batched(sampler: Any, split: Split, made: Pass, run: Run) -> Iterator[Ticket]:
    run.begin()
    order = _known_order(sampler, run, split.world)
    if order is not None:
        yield from known_tickets(order, split, made)
    else:
        yield from stream_tickets(
            batches_of(sampler, split.batch_size, drop_last=split.drop_last), made
        )


def _known_order(sampler: Any, run: Run, world: int) -> NDArray[np.int64] | None:
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
