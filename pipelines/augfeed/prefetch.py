"""The next batches, ready: threads make them ahead, in order; a GPU on a side stream."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch

from augfeed.task_threads import KeptThreads, PendingTask, TaskThreads

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Work(Protocol[T_co]):
    """Something in the making: tasks that may run side by side, then `finish`."""

    @property
    def tasks(self) -> Sequence[Callable[[], None]]:
        """What may run side by side."""
        ...

    def finish(self) -> T_co:
        """Do what is left after all tasks, in the thread that asked."""
        ...


class Prefetcher(Generic[T]):
    """Iterates over finished work, in order, with `ahead` pieces begun beforehand.

    An error of a piece is raised in its place in the order, and the next piece follows; an error of
    `works` itself ends the iteration, as what is not a `Exception` does. Dropping the iterator, or
    `close`, cancels what has not begun; a task that runs then is finished, and its thread ends, or
    is kept for the next pass.
    """

    _ending = staticmethod(sys.is_finalizing)  # found even where globals are gone

    def __init__(
        self, works: Iterator[Work[T]], *, threads: int, ahead: int,
        kept: KeptThreads | None = None,
    ) -> None:  # fmt: skip
        """Use `threads` threads, of those that are `kept`; 0 means that each piece is made when it
        is asked for."""
        self._works, self._ahead = works, max(1, ahead)
        self._pool = TaskThreads(threads, kept) if threads else None
        self._begun: deque[tuple[Work[T], list[PendingTask]]] = deque()
        self._error: BaseException | None = None  # of making a piece of work, raised in its place

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """Return the next piece; raise what its making raised."""
        try:
            return self._next()
        except Exception as error:
            if isinstance(error, StopIteration) or error is self._error:
                self.close()
            raise
        except BaseException:
            self.close()
            raise

    def _next(self) -> T:
        if self._pool is None:
            work = next(self._works)
            for task in work.tasks:
                task()
            return work.finish()
        self._pool.check_process()
        self._begin(self._pool)
        if not self._begun:
            raise self._error or StopIteration
        work, pending = self._begun.popleft()
        for one in pending:
            one.wait()
        result = work.finish()
        self._begin(self._pool)
        return result

    def _begin(self, pool: TaskThreads) -> None:
        while len(self._begun) < self._ahead and self._error is None:
            try:
                work = next(self._works)
            except BaseException as error:  # the pieces before it come first
                self._error = error
                return
            self._begun.append((work, [pool.submit(task) for task in work.tasks]))

    def close(self) -> None:
        """Cancel what has not begun and let the threads end."""
        self._works, self._error = iter(()), None
        self._begun.clear()
        # Where the interpreter ends, threads have ended, and modules lie in pieces.
        if self._pool is not None and not self._ending():
            self._pool.close()

    def __del__(self) -> None:
        if "_begun" in self.__dict__:  # else no thread could be had
            self.close()


class SideStream:
    """Queues work for a GPU on a stream of its own, beside whatever the caller's stream does.

    What work makes is handed over by `take`: the stream that takes it waits for it on the device,
    the host does not; and its memory is not used again before that stream is done with it, however
    long the caller keeps it. On other devices work simply runs.
    """

    def __init__(self, device: torch.device) -> None:
        """Make no stream yet: building a pipeline touches no device."""
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._lock = threading.Lock()

    def run(self, work: Callable[[], T]) -> tuple[T, torch.cuda.Event | None]:
        """Return what `work` returns, some of it perhaps still being made on the device."""
        if self._device.type != "cuda":
            return work(), None
        with self._lock:
            make: Any = torch.cuda.Stream
            stream = self._stream = self._stream or make(self._device)
        with torch.cuda.stream(stream):
            return work(), stream.record_event()

    def take(self, made: tuple[T, torch.cuda.Event | None]) -> T:
        """Return what `run` returned, for use on the current stream."""
        result, event = made
        if event is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(event)
            for tensor in tensors_of(result):
                if tensor.is_cuda:
                    tensor.record_stream(stream)
        return result

    def __reduce__(self) -> tuple[type["SideStream"], tuple[torch.device]]:
        return SideStream, (self._device,)  # streams belong to a process


def stream_number(device: torch.device) -> int:
    """Return the number of the current stream of a GPU, without an object for it."""
    number: Any = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    if number is None or device.index is None:
        return torch.cuda.current_stream(device).cuda_stream
    return int(number(device.index))


def tensors_of(part: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in a tensor, tuple, list, mapping or dataclass."""
    if isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from tensors_of(value)
    elif isinstance(part, tuple | list):
        for value in part:
            yield from tensors_of(value)
    elif is_dataclass(part):
        for field in fields(part):
            yield from tensors_of(getattr(part, field.name))
