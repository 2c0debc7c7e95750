"""The next batches, ready: threads make them ahead, in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Work(Protocol[T_co]):
    """Something in the making: tasks that may run side by side, then `finish`."""

    @property
    def tasks(self) -> Sequence[Callable[[], None]]:
        """What may run side by side."""
        ...

    @property
    def finish(self) -> Callable[[], T_co]:
        """What is left to do after all tasks, in the thread that asked."""
        ...


class Prefetcher(Generic[T]):
    """Iterates over finished work, in order, with `ahead` pieces begun beforehand.

    An error in a task is raised in its place in the order, and ends the iteration. Dropping the
    iterator, or `close`, cancels what has not begun; no thread outlives it.
    """

    def __init__(self, works: Iterator[Work[T]], *, threads: int, ahead: int) -> None:
        """Use `threads` threads; 0 means that each piece is made when it is asked for."""
        self._works, self._ahead = works, max(1, ahead)
        self._pool = ThreadPoolExecutor(threads, "augfeed") if threads else None
        self._begun: deque[tuple[Work[T], list[Future[None]]]] = deque()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """Return the next piece; raise what its making raised."""
        if self._pool is None:
            work = next(self._works)
            for task in work.tasks:
                task()
            return work.finish()
        try:
            self._begin()
            if not self._begun:
                raise StopIteration
            work, futures = self._begun.popleft()
            for future in futures:
                future.result()
            result = work.finish()
            self._begin()
            return result
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        assert self._pool is not None
        while len(self._begun) < self._ahead:
            work = next(self._works, None)
            if work is None:
                return
            self._begun.append((work, [self._pool.submit(task) for task in work.tasks]))

    def close(self) -> None:
        """Cancel what has not begun and let the threads end."""
        self._works = iter(())
        self._begun.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def __del__(self) -> None:
        self.close()
