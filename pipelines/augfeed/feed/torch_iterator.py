"""Torch's own iterators, counted, so that a loader without a policy has a state too."""

import weakref
from collections.abc import Iterator
from functools import cache
from typing import Any

from torch.utils.data import BatchSampler

from augfeed.feed.batch_requests import check_border, check_order, checksum, listed, was_given
from augfeed.feed.epoch_pass import EpochPass


class ResumableSampler:
    """The index sampler of one pass: passes on what torch's would give, from a position on.

    `records` holds `(position, position behind it, checksum)` for each batch of indices that is
    under way, by its number in the pass.
    """

    def __init__(self, sampler: Any, run: EpochPass, *, batched: bool, checked: bool) -> None:
        """Wrap a sampler, or batch sampler; `checked` where nothing is known of its order."""
        self.sampler, self.run, self.batched, self.checked = sampler, run, batched, checked
        self.records: dict[int, tuple[int, int, int | None]] = {}
        self._sent = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        return self._walk(self.run.opened(self.sampler))

    def _walk(self, batches: Iterator[Any]) -> Iterator[Any]:
        self.run.begin()
        position, check, begin = 0, 0, self.run.position
        wanted = self.run.check
        for batch in batches:
            own = listed(batch, batched=self.batched)[0]
            end = position + len(own)
            check_border(begin, position, end)
            if position == begin and self.checked:
                check_order(wanted, check, position)
            check = checksum(own, check) if self.checked else 0
            if position >= begin and not was_given(position, end, self.run.given):
                self.records[self._sent] = (position, end, check if self.checked else None)
                self._sent += 1
                yield batch if hasattr(batch, "__len__") or not self.batched else own
            position = end


def keep_queues(iterator: Any) -> Any:
    """Return torch's iterator, whose workers end at once, also as garbage that refers to itself.

    An error of a worker leaves it as such: torch raises it from a variable. The collector of
    garbage ends the queues of what is found first, and then the workers, which hear of it by a
    queue: torch waits 5 seconds for each. Queues that others refer to are not garbage yet.
    """
    queues = getattr(iterator, "_index_queues", None)
    if queues is not None and "_augfeed_queues" not in vars(iterator):
        iterator._augfeed_queues = True
        weakref.finalize(iterator, _let_go, tuple(queues)).atexit = False
    return iterator


def _let_go(queues: tuple[Any, ...]) -> None:
    # The iterator, which is not garbage collected yet, refers to them still.
    del queues


def counted(iterator: Any, run: EpochPass, course: ResumableSampler | None, *, loose: bool) -> Any:
    """Make torch's iterator tell a run how far it is, and skip what a run without course skips.

    `loose` says that batches come as workers make them.
    """
    if not hasattr(iterator, "_augfeed_run"):
        keep_queues(iterator)
        iterator.__class__ = _counting(type(iterator))  # type: ignore[arg-type]
    iterator._augfeed_run, iterator._augfeed_course = run, course
    iterator._augfeed_skip = run.position if course is None else 0
    iterator._augfeed_loose, iterator._augfeed_number = loose, None
    return iterator


@cache
def _counting(kind: Any) -> Any:
    class Counting(kind):  # type: ignore[misc]
        """An iterator of torch's that says when it gave a batch."""

        _augfeed_run: EpochPass
        _augfeed_course: ResumableSampler | None
        _augfeed_skip: int
        _augfeed_loose: bool
        _augfeed_number: Any

        def _get_data(self) -> Any:
            found = super()._get_data()
            self._augfeed_number = found[0]  # of the batch that torch is about to give out
            return found

        def __next__(self) -> Any:
            run, self._augfeed_number = self._augfeed_run, None
            try:
                while self._augfeed_skip:
                    self._augfeed_skip -= 1
                    super().__next__()
                data = super().__next__()
            except StopIteration:
                run.done = True
                raise
            except Exception:  # the batch is lost, and torch goes on with the next
                self._advance()
                raise
            self._advance()
            return data

        def _advance(self) -> None:
            run, course = self._augfeed_run, self._augfeed_course
            if course is None:
                run.position += 1
            elif self._augfeed_loose:
                if (record := course.records.pop(self._augfeed_number, None)) is not None:
                    run.gave(*record)
            elif course.records:
                _, run.position, run.check = course.records.pop(next(iter(course.records)))

    # Profilers and people know torch's iterators by name.
    for name in ("__name__", "__qualname__", "__module__"):
        setattr(Counting, name, getattr(kind, name))
    return Counting


def rebatched(batch_sampler: BatchSampler, sampler: Any) -> BatchSampler:
    """Return torch's batch sampler over another sampler."""
    return BatchSampler(sampler, batch_sampler.batch_size, batch_sampler.drop_last)
