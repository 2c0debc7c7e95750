"""The pass that a state reports: the newest one, or the one that comes next."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch.utils.data import RandomSampler, Sampler
from torch.utils.data.distributed import DistributedSampler

from augfeed.errors import StateError
from augfeed.feed import generators
from augfeed.feed.epoch_pass import EpochPass, digest_of
from augfeed.feed.general_lane import GeneralLane
from augfeed.feed.lanes import LoadedBatch
from augfeed.feed.loader_state import LoaderState, length_of
from augfeed.feed.native_lane import NativeLane
from augfeed.feed.schedule import opened, sampler_epoch, split_of
from augfeed.feed.shuffle import Shuffle

LOG = logging.getLogger("augfeed")


def standing(state: LoaderState) -> EpochPass:
    """Return the run that the state of a loader reports; what it will draw is known then."""
    run: EpochPass | None = state.following or state.run
    if run is None or run.done:
        run = EpochPass(state.asked_epoch() if run is None else run.epoch + 1, state.seed)
    if run is state.run:
        check_counted(state, run)
        _foresee(state, run)
    elif run.wanted is None:
        return _ahead(state, run)
    return run


def _foresee(state: LoaderState, run: EpochPass) -> None:
    # The order of a pass that has an iterator, before its first batch is asked for.
    sampler, own = state.sampler, split_of(state)
    if type(sampler) not in (RandomSampler, Shuffle) or getattr(sampler, "seed", None) is not None:
        return
    if not run.position and (own is None or own.world == 1):
        replay = run.replay or run.replayed(cast(RandomSampler, sampler))
        replay.foresee()
        run.token = replay.token


def _ahead(state: LoaderState, run: EpochPass) -> EpochPass:
    # The run that the next iterator would begin, with what would be drawn for it.
    kept = workers_kept(state)
    number, states = generators.ahead_of(state.loader, kept=kept)
    if run.seed is None and state.lane is not None:
        run = replace(run, seed=state.drawn if kept else number)
    return replace(run, wanted=states)


def workers_kept(state: LoaderState) -> bool:
    """Return whether workers live on, for which the next iterator draws nothing."""
    loader = state.loader
    kept: bool = loader.persistent_workers and loader._iterator is not None
    return kept and state.lane_name != "native"


def is_loose(state: LoaderState) -> bool:
    """Return whether batches come as workers make them, not in the order of the pass."""
    loader = state.loader
    return not loader.in_order and loader.num_workers > 1 and state.lane_name != "native"


def check_counted(state: LoaderState, run: EpochPass) -> None:
    """Raise `StateError` where a number of batches does not say which were given."""
    if run.position and state.iterates and is_loose(state):
        raise StateError(
            f"in_order=False with num_workers={state.loader.num_workers} and an iterable data "
            f"set: the {run.position} batches of this pass came in an order of chance, so no state "
            "can say which; use in_order=True, or take states between epochs"
        )


def batches_given(state: LoaderState, run: EpochPass) -> int:
    """Return how many batches were given before a pass begins, where their size is known."""
    split, size = split_of(state), getattr(state.loader.batch_sampler, "batch_size", None)
    whole = split.batch_size * split.world if split else size
    if not isinstance(whole, int) or not whole:
        return 0
    return (run.position + sum(end - begin for begin, end in run.given)) // whole


def skipping(state: LoaderState, position: int) -> EpochPass:
    """Return the run that comes next, from a position on."""
    run: EpochPass = state.following or EpochPass(state.asked_epoch(), state.seed)
    return replace(run, position=position, check=None, given=())


def moved_on(state: LoaderState, epoch: int) -> EpochPass:
    """Return the run of an epoch that is reported, perhaps after a state was loaded."""
    run: EpochPass | None = state.following
    begun = run is not None and bool(run.position or run.given)
    if run is not None and run.wanted and not begun:
        return replace(run, epoch=epoch)
    if run is not None and begun:  # what a pass has drawn from generators stays drawn
        generators.passed_by(state.loader, run.wanted)
    return EpochPass(epoch, state.seed)


def begun(state: LoaderState) -> EpochPass:
    """Return the run of a pass that begins now, which is the newest one then."""
    run = state.following or EpochPass(state.asked_epoch(), state.seed)
    state.following = None
    state.epoch, state.seen = run.epoch + 1, getattr(state.sampler, "epoch", 0)
    run.generators = generators.Generators(generators.found_in(state.loader), run.wanted)
    state.run = run
    return run


def reopened(
    state: LoaderState, given: Iterator[LoadedBatch], run: EpochPass
) -> Iterator[LoadedBatch]:
    """Return the batches of a pass whose first is about to be asked for: of the epoch that the
    sampler was reported meanwhile, and `given` if it was reported none."""
    epoch = sampler_epoch(state)
    _warn_of_order(state, run)
    if epoch is None or epoch == run.epoch:
        return given
    run.epoch, run.position, run.check, run.token, run.given = epoch, 0, None, None, ()
    state.epoch, state.seen = epoch + 1, epoch
    generator = _generator(state)
    before = generator.get_state()  # what is drawn for an iterator has been drawn
    try:
        return opened(state, run)
    finally:
        generator.set_state(before)


def _warn_of_order(state: LoaderState, run: EpochPass) -> None:
    # A sampler whose epoch nobody sets gives every epoch one order, which nothing shows.
    sampler, before = state.sampler, state.ordered
    if state.order_told or not isinstance(sampler, DistributedSampler) or not sampler.shuffle:
        return
    state.ordered = (run, sampler.epoch)
    if before is not None and before[0].done and before[1] == sampler.epoch:
        state.order_told = True
        LOG.warning(
            "the %s gives epoch %d the order of the epoch before: call set_epoch(%d) of the "
            "loader, or of the sampler, before each epoch; said once",
            type(sampler).__name__, run.epoch, run.epoch,
        )  # fmt: skip


def draw(state: LoaderState) -> int:
    """Return the number that torch draws for each iterator, to seed its workers.

    Where torch's iterator is about to draw it, the generator is put back; workers that live on have
    theirs.
    """
    if workers_kept(state) and state.drawn is not None:
        return state.drawn
    generator = _generator(state)
    before = generator.get_state() if state.lane_name == "general" else None
    drawn = generators.number_of(generator)
    if before is not None:
        generator.set_state(before)
    return drawn


def _generator(state: LoaderState) -> torch.Generator:
    generator: torch.Generator | None = state.loader.generator
    return torch.default_generator if generator is None else generator


def identity_of(state: LoaderState) -> dict[str, Any]:
    """Return what a state must have in common with the loader that goes on with it."""
    asked = state.policy if state.views is None else state.views
    return {
        "policy": None if asked is None else asked.digest[:16],
        "data": _data_of(state),
        "shuffle": _order_of(state),
    }


def _order_of(state: LoaderState) -> str | bool:
    shuffle, split = _shuffle_of(state.sampler), split_of(state)
    if split is None:
        return shuffle
    return state.repeats.named(shuffle, split.batch_size, split.world)


def _data_of(state: LoaderState) -> str:
    if state.lane is not None and isinstance(state.lane, NativeLane):
        return str(state.lane.pipeline.source.fingerprint()[:16])
    dataset: Any = state.loader.dataset
    length = length_of(dataset)
    # Not the module: a script's own classes are of `__main__`, or of another name when imported.
    kind = type(dataset).__qualname__
    parts = [kind, length, getattr(dataset, "_fingerprint", "")]
    if isinstance(state.lane, GeneralLane) and (given := state.lane.recipe.fields.given):
        parts.append(given)  # how parts follow their images
    return digest_of(*parts)


def _shuffle_of(sampler: Sampler[Any]) -> str | bool:
    seeded = getattr(sampler, "seed", None) is not None
    names = {"SequentialSampler": False, "InOrder": False, "Shuffle": "seed" if seeded else "torch",
             "RandomSampler": "torch"}  # fmt: skip
    name = type(sampler).__name__
    return names.get(name, name)
