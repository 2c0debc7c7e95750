"""The pass that a state tells of: the newest one, or the one that comes next."""

from dataclasses import replace
from typing import Any

from torch.utils.data import RandomSampler

from augfeed.errors import StateError
from augfeed.feed import generators
from augfeed.feed.run import Run
from augfeed.feed.schedule import split_of
from augfeed.feed.shuffle import Shuffle


def standing(loader: Any) -> Run:
    """Return the run that the state of a loader tells of; what it will draw is known then."""
    run: Run | None = loader._next or loader._run
    if run is None or run.done:
        run = Run(loader._asked_epoch() if run is None else run.epoch + 1, loader.seed)
    if run is loader._run:
        check_counted(loader, run)
        _foresee(loader, run)
    elif run.wanted is None:
        return _ahead(loader, run)
    return run


def _foresee(loader: Any, run: Run) -> None:
    # The order of a pass that has an iterator, before its first batch is asked for.
    sampler = loader._innermost()
    own = split_of(loader)
    plain = type(sampler) is RandomSampler or (type(sampler) is Shuffle and sampler.seed is None)
    if plain and not run.position and (own is None or own.world == 1):
        replay = run.replay or run.replayed(sampler)
        replay.foresee()
        run.token = replay.token


def _ahead(loader: Any, run: Run) -> Run:
    # The run that the next iterator would begin, with what would be drawn for it.
    kept = workers_kept(loader)
    number, states = generators.ahead_of(loader, kept=kept)
    if run.seed is None and loader.lane != "torch":
        run = replace(run, seed=loader._drawn if kept else number)
    return replace(run, wanted=states)


def workers_kept(loader: Any) -> bool:
    """Return whether workers live on, for which the next iterator draws nothing."""
    kept: bool = loader.persistent_workers and loader._iterator is not None
    return kept and loader.lane != "native"


def is_loose(loader: Any) -> bool:
    """Return whether batches come as workers make them, not in the order of the pass."""
    return not loader.in_order and loader.num_workers > 1 and loader.lane != "native"


def check_counted(loader: Any, run: Run) -> None:
    """Raise `StateError` where a number of batches does not say which were given."""
    if run.position and loader._dataset_kind and is_loose(loader):
        raise StateError(
            f"in_order=False with num_workers={loader.num_workers} and an iterable data set: the "
            f"{run.position} batches of this pass came in an order of chance, so no state can say "
            "which; use in_order=True, or take states between epochs"
        )


def batches_given(loader: Any, run: Run) -> int:
    """Return how many batches were given before a pass begins, where their size is known."""
    split, size = split_of(loader), getattr(loader.batch_sampler, "batch_size", None)
    whole = split.batch_size * split.world if split else size
    if not isinstance(whole, int) or not whole:
        return 0
    return (run.position + sum(end - begin for begin, end in run.given)) // whole


def skipping(loader: Any, position: int) -> Run:
    """Return the run that comes next, from a position on."""
    run: Run = loader._next or Run(loader._asked_epoch(), loader.seed)
    return replace(run, position=position, check=None, given=())


def moved_on(loader: Any, epoch: int) -> Run:
    """Return the run of an epoch that is told, perhaps after a state was loaded."""
    run: Run | None = loader._next
    begun = run is not None and bool(run.position or run.given)
    if run is not None and run.wanted and not begun:
        return replace(run, epoch=epoch)
    if run is not None and begun:  # what a pass has drawn from generators stays drawn
        generators.passed_by(loader, run.wanted)
    return Run(epoch, loader.seed)
