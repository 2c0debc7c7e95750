"""Threads that run tasks in their order, and cost little for each."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


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

    def wait(self) -> None:
        """Return once it has run; raise its error, which then is not kept."""
        self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it refers to this frame, and the frame to it


class TaskThreads:
    """At most `threads` threads, which take tasks one after another while there are any.

    A `Future` for each task, and a wake-up for each, cost more than small batches do: here a thread
    that finds the next task waiting takes it from a queue.
    """

    def __init__(self, threads: int) -> None:
        """Start no thread yet; raise `ValueError` for fewer than one."""
        self._pool = ThreadPoolExecutor(threads, "augfeed")
        self._threads, self._running = threads, 0
        self._tasks, self._lock = deque[PendingTask](), threading.Lock()

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
                    return
                pending = self._tasks.popleft()
            pending.run()
            del pending

    def close(self) -> None:
        """Drop what has not begun, and let the threads end; nothing may be submitted any more."""
        with self._lock:
            self._tasks.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
