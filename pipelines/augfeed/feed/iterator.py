"""The iterator that an augmenting `DataLoader` gives out."""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data._utils.pin_memory import pin_memory

from augfeed.batch import Batch
from augfeed.feed.coming import batches_given, is_loose
from augfeed.feed.lanes import Given
from augfeed.feed.run import Run
from augfeed.feed.tickets import Ticket


class Feed:
    """One pass over an epoch; of a general lane it shows the members of torch's iterator."""

    def __init__(self, given: Iterator[Given], run: Run, loader: Any) -> None:
        """Take the lane's batches; the loader itself is not held on to."""
        self._given, self._run = given, run
        self._length = _length(loader)
        self._pin = bool(loader.pin_memory) and torch.accelerator.is_available()
        self._end, self._loose = loader._gradient_end(), is_loose(loader)
        self._step = batches_given(loader, run) if self._loose else 0
        self._ended = getattr(loader._lane, "ended", None)
        # Only until the first batch; and weakly, as a loader kept alive keeps its workers alive.
        self._loader: Any = weakref.ref(loader)

    def __iter__(self) -> "Feed":
        return self

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("a data set without a length gives an iterator without one")
        return self._length

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("_given")
        return getattr(getattr(inner, "inner", None), name)

    def __getstate__(self) -> dict[str, Any]:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)

    def __next__(self) -> Any:
        return self._next()[0]

    def next_batch(self) -> Batch:
        """Return the next batch with its ids and its plan."""
        return self._next()[1]

    def whole(self) -> Iterator[Batch]:
        """Iterate over whole batches."""
        while True:
            try:
                yield self.next_batch()
            except StopIteration:
                return

    def _begin(self) -> None:
        # Lightning makes the iterator of a run that it resumes at the end of an epoch before it
        # tells the sampler which epoch comes.
        loader, self._loader = self._loader(), None
        if loader is not None and loader._run is self._run:
            self._given = loader._anew(self._given, self._run)

    def _next(self) -> Given:
        if self._loader is not None:
            self._begin()
        try:
            batch, whole, ticket = next(self._given)
        except StopIteration:
            self._run.done = True
            self._finish()
            if self._ended is not None:
                self._ended(self._run.epoch)
                self._ended = None
            raise
        self._count(ticket)
        if self._end and self._step == self._length:
            self._end.last()
        if self._pin and not whole.images.is_cuda:
            batch = pin_memory(batch)  # type: ignore[no-untyped-call]
        return batch, whole, ticket

    def _count(self, ticket: Ticket) -> None:
        run = self._run
        if self._loose and ticket.end >= 0:
            self._step += 1
            run.gave(ticket.begin, ticket.end, ticket.check)
            return
        self._step = ticket.step + 1 if ticket.step >= 0 else self._step + 1
        run.position = ticket.end if ticket.end >= 0 else run.position + 1
        run.check = ticket.check

    def _finish(self) -> None:
        if self._end is not None:
            self._end.end()
            self._end = None


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None
