"""The iterator that an augmenting `DataLoader` gives out."""

import time
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data._utils.pin_memory import pin_memory

from augfeed.batch import Batch
from augfeed.feed.accelerate import GradientEnd
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.epoch_pass import EpochPass
from augfeed.feed.lanes import LoadedBatch
from augfeed.feed.loader_state import LoaderState, length_of
from augfeed.feed.next_pass import batches_given, is_loose, reopened
from augfeed.feed.schedule import own_sampler, split_of
from augfeed.stage_costs import Costs


class Feed:
    """One pass over an epoch; of a general lane it shows the members of torch's iterator."""

    def __init__(self, given: Iterator[LoadedBatch], run: EpochPass, state: LoaderState) -> None:
        """Take the lane's batches; the loader, and its state, are not held on to."""
        self._given, self._run = given, run
        self._length = length_of(state.loader)
        self._pin = bool(state.loader.pin_memory) and torch.accelerator.is_available()
        self._end: GradientEnd | None = gradient_end(state)
        self._costs = Costs() if state.lane is None else state.lane.costs
        self._ended = None if state.lane is None else state.lane.ended
        self._loose = is_loose(state)
        self._step = batches_given(state, run) if self._loose else 0
        # Only until the first batch; and weakly, as a lane kept alive keeps its workers alive.
        self._state: weakref.ref[LoaderState] | None = weakref.ref(state)

    def __iter__(self) -> "Feed":
        return self

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("a dataset without a length gives an iterator without one")
        return self._length

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("_given")
        return getattr(getattr(inner, "inner", None), name)

    def __getstate__(self) -> dict[str, Any]:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)

    def __next__(self) -> Any:
        return self._next().output

    def next_batch(self) -> Batch:
        """Return the next batch with its ids and its plan."""
        return self._next().batch

    def batches(self) -> Iterator[Batch]:
        """Iterate over whole batches."""
        while True:
            try:
                yield self.next_batch()
            except StopIteration:
                return

    def _begin(self) -> None:
        # Lightning makes the iterator of a run that it resumes at the end of an epoch before it
        # tells the sampler which epoch comes.
        state, self._state = None if self._state is None else self._state(), None
        if state is not None and state.run is self._run:
            self._given = reopened(state, self._given, self._run)

    def _next(self) -> LoadedBatch:
        begun, host = time.perf_counter(), time.thread_time()
        given = self._made()
        waited, computed = time.perf_counter() - begun, time.thread_time() - host
        self._costs.gave(len(given.batch), waited, computed)
        return given

    def _made(self) -> LoadedBatch:
        if self._state is not None:
            self._begin()
        try:
            given = next(self._given)
        except StopIteration:
            self._run.done = True
            self._finish()
            if self._ended is not None:
                self._ended(self._run.epoch)
                self._ended = None
            raise
        self._count(given.request)
        if self._end and self._step == self._length:
            self._end.last()
        if self._pin and not given.batch.images.is_cuda:
            pinned: Any = pin_memory
            return given._replace(output=pinned(given.output))
        return given

    def _count(self, request: BatchRequest) -> None:
        run = self._run
        if self._loose and request.end >= 0:
            self._step += 1
            run.gave(request.begin, request.end, request.check)
            return
        self._step = request.step + 1 if request.step >= 0 else self._step + 1
        run.position = request.end if request.end >= 0 else run.position + 1
        run.check = request.check

    def _finish(self) -> None:
        if self._end is not None:
            self._end.end()
            self._end = None


def gradient_end(state: LoaderState) -> GradientEnd:
    """Tell Accelerate, if it is there, that an epoch of a loader begins."""
    loader: Any = state.loader
    split = split_of(state)
    if split is None or split.drop_last:
        return GradientEnd(loader, -1)
    return GradientEnd(loader, len(own_sampler(state)) % (split.batch_size * split.world))
