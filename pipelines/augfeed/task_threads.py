"""Threads that run tasks in their order, and cost little for each."""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from augfeed.errors import StateError


class PendingTask:
    """A task that some thread runs, once; `wait` returns, or raises, when it has run."""

    __slots__ = ("_done", "_error", "_run")

    def __init__(self, run: Callable[[], None]) -> None:
        """Run nothing yet."""
        self._run: Callable[[], None] | None = run
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def run(self) -> None:
        """Run it in this thread; an error is for the one who waits."""
        run, self._run = self._run, None
        assert run is not None
        try:
            run()
        except BaseException as error:
            self._error = error
        del run  # what it was made for is gone when the one who waits goes on
        self._done.release()

    def drop(self) -> None:
        """Do not run it: who waits for it gets a `StateError`."""
        self._run = None
        self._error = StateError(
            "the loader was closed while a batch of it was waited for: begin a new pass"
        )
        self._done.release()

    def wait(self) -> None:
        """Return once it has run; raise its error, which then is not kept."""
        self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it refers to this frame, and the frame to it


class KeptThreads:
    """Threads that one `TaskThreads` after another uses; they end when this is gone.

    New ones for each pass over a small dataset would take 2 ms of it: to begin, and to touch memory
    of their own. A copy, in another process too, has none.
    """

    def __init__(self) -> None:
        """Keep none yet."""
        self._lock = threading.Lock()
        self._idle: tuple[int, int, ThreadPoolExecutor] | None = None

    def __reduce__(self) -> tuple[type["KeptThreads"], tuple[()]]:
        return KeptThreads, ()

    def take(self, threads: int) -> ThreadPoolExecutor:
        """Return threads that nobody uses, new ones if those that are kept are of another number.

        Raises `ValueError` for fewer than one.
        """
        with self._lock:
            idle, self._idle = self._idle, None
        # In a process that was forked they are not there.
        if idle is not None and idle[:2] == (os.getpid(), threads):
            return idle[2]
        return ThreadPoolExecutor(threads, "augfeed")

    def give_back(self, threads: int, pool: ThreadPoolExecutor) -> None:
        """Keep threads that have nothing to do, in place of those that are kept."""
        with self._lock:
            self._idle = (os.getpid(), threads, pool)


class TaskThreads:
    """At most `threads` threads, which take tasks one after another while there are any.

    A `Future` for each task, and a wake-up for each, cost more than small batches do: here a thread
    that finds the next task waiting takes it from a queue.
    """

    def __init__(self, threads: int, kept: KeptThreads | None = None) -> None:
        """Start no thread yet; raise `ValueError` for fewer than one. `kept` gets them back."""
        self._kept, self._closed, self._process = kept, False, os.getpid()
        self._pool = kept.take(threads) if kept else ThreadPoolExecutor(threads, "augfeed")
        self._threads, self._running = threads, 0
        self._tasks, self._lock = deque[PendingTask](), threading.Lock()

    def check_process(self) -> None:
        """Raise `StateError` in a process that was forked, which has none of the threads."""
        if self._process != os.getpid():
            raise StateError(
                f"this iterator is of process {self._process}, whose threads are not in process "
                f"{os.getpid()}, which was forked from it: begin a pass of its own with "
                "iter(loader)"
            )

    def submit(self, task: Callable[[], None]) -> PendingTask:
        """Return a task that runs as soon as a thread is free."""
        pending = PendingTask(task)
        with self._lock:
            self._tasks.append(pending)
            if self._running == self._threads:
                return pending
            self._running += 1
        try:
            self._pool.submit(self._run)
        except RuntimeError as error:
            if "shutdown" not in str(error):  # no thread could be had
                with self._lock:
                    self._running -= 1
                    if pending in self._tasks:  # and no other one has taken it
                        self._tasks.remove(pending)
                        raise
                return pending
            # The interpreter ends and begins no thread: what is asked for even then is run here.
            self._run()
        return pending

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._tasks:
                    self._running -= 1
                    ended = self._closed and not self._running
                    break
                pending = self._tasks.popleft()
            pending.run()
            del pending
        if ended:
            self._let_go()

    def close(self) -> None:
        """Drop what has not begun; nothing may be submitted any more.

        Threads end, or are kept, once they have run what they are at. Another thread may be waiting
        for what is dropped.
        """
        if self._process != os.getpid():
            return  # a thread of that process may have had the lock when this one was forked
        with self._lock:
            dropped = list(self._tasks)
            self._tasks.clear()
            ended = not self._running and not self._closed
            self._closed = True
        for pending in dropped:
            pending.drop()
        if ended or self._kept is None:
            self._let_go()

    def _let_go(self) -> None:
        if self._kept is None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        else:
            self._kept.give_back(self._threads, self._pool)
