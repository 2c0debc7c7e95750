"""Tasks run once, in their order, in no more threads than were asked for; nothing of them stays."""

import gc
import pickle
import threading
import weakref
from collections.abc import Callable

import pytest

from augfeed.errors import StateError
from augfeed.task_threads import KeptThreads, PendingTask, TaskThreads

LIMIT = 60.0  # seconds until a wait fails: never reached where all is well


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_no_more_tasks_run_at_once_than_there_are_threads(threads: int) -> None:
    lock, begun, most = threading.Lock(), 0, 0
    gate, full = threading.Semaphore(0), threading.Event()

    def task() -> None:
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun)
            if begun == threads:
                full.set()
        assert gate.acquire(timeout=LIMIT)
        with lock:
            begun -= 1

    pool = TaskThreads(threads)
    tasks = [pool.submit(task) for _ in range(4 * threads)]
    assert full.wait(LIMIT)
    gate.release(len(tasks))
    for pending in tasks:
        pending.wait()
    assert most == threads
    pool.close()


def test_one_thread_runs_tasks_in_the_order_that_they_came() -> None:
    pool, ran = TaskThreads(1), list[int]()
    tasks = [pool.submit(lambda k=k: ran.append(k)) for k in range(300)]  # type: ignore[misc]
    for task in tasks:
        task.wait()
    assert ran == list(range(300))
    pool.close()


def test_a_thread_that_had_nothing_to_do_takes_what_comes_later() -> None:
    pool, names = TaskThreads(1), set[str]()
    for _ in range(50):
        pool.submit(lambda: names.add(threading.current_thread().name)).wait()
    assert len(names) == 1
    pool.close()


def test_close_drops_what_has_not_begun_and_lets_the_threads_end() -> None:
    pool, ran = TaskThreads(1), list[int]()
    begun, gate, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def first() -> None:
        threads.append(threading.current_thread())
        begun.set()
        assert gate.wait(LIMIT)

    task = pool.submit(first)
    for k in range(3):
        pool.submit(lambda k=k: ran.append(k))  # type: ignore[misc]
    assert begun.wait(LIMIT)
    pool.close()
    gate.set()
    task.wait()
    threads[0].join(LIMIT)
    assert not threads[0].is_alive()
    assert ran == []


@pytest.mark.parametrize("keeps", [False, True])
def test_who_waits_for_what_another_thread_drops_gets_an_error(*, keeps: bool) -> None:
    pool = TaskThreads(1, KeptThreads() if keeps else None)
    gate, begun, errors = threading.Event(), threading.Event(), list[BaseException]()

    def first() -> None:
        begun.set()
        assert gate.wait(LIMIT)

    def wait_for(task: PendingTask) -> None:
        try:
            task.wait()
        except StateError as error:
            errors.append(error)

    running = pool.submit(first)
    waiter = threading.Thread(target=wait_for, args=[pool.submit(gate.set)], daemon=True)
    waiter.start()
    assert begun.wait(LIMIT)
    pool.close()
    waiter.join(LIMIT)
    assert not waiter.is_alive()
    assert "was closed while" in str(errors[0])
    gate.set()
    running.wait()  # what had begun is finished


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_error_is_for_the_one_who_waits_and_the_next_task_runs(
    error: type[BaseException],
) -> None:
    def broken() -> None:
        raise error("broken")

    pool, ran = TaskThreads(1), list[int]()
    failed, next_one = pool.submit(broken), pool.submit(lambda: ran.append(1))
    with pytest.raises(error, match="broken"):
        failed.wait()
    next_one.wait()
    assert ran == [1]
    pool.close()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_that_a_task_held_on_to_stays(*, fails: bool) -> None:
    class Large:
        pass

    def made() -> tuple[Callable[[], None], "weakref.ref[Large]"]:
        large = Large()

        def task() -> None:
            if fails:
                raise ValueError(f"{large} is broken")

        return task, weakref.ref(large)

    pool = TaskThreads(1)
    task, seen = made()
    gc.disable()
    try:
        pending = pool.submit(task)
        del task
        try:
            pending.wait()
        except ValueError:
            assert fails
        pool.submit(lambda: None).wait()  # by then the thread has let go of the first
        assert seen() is None
    finally:
        gc.enable()
    pool.close()


def test_a_task_that_no_thread_could_be_had_for_is_an_error_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    pool, ran = TaskThreads(1), list[int]()
    with monkeypatch.context() as patch:
        patch.setattr("augfeed.task_threads.ThreadPoolExecutor.submit", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(lambda: ran.append(1))
    assert len(pool._tasks) == pool._running == 0
    pool.submit(lambda: ran.append(2)).wait()
    assert ran == [2]
    pool.close()


def idents_of(pool: TaskThreads, count: int) -> set[int]:
    """Return the threads that run some tasks which wait for one another."""
    barrier, found = threading.Barrier(count), set[int]()

    def task() -> None:
        barrier.wait(LIMIT)
        found.add(threading.get_ident())

    for pending in [pool.submit(task) for _ in range(count)]:
        pending.wait()
    return found


def closed(pool: TaskThreads) -> None:
    """Close it, and wait until its threads have nothing to do."""
    pool.close()
    while pool._running:
        threading.Event().wait(0.001)


def test_threads_that_are_kept_run_the_tasks_of_one_pass_after_another() -> None:
    kept = KeptThreads()
    first = TaskThreads(2, kept)
    own = idents_of(first, 2)
    beside = TaskThreads(2, kept)
    assert idents_of(beside, 2).isdisjoint(own)  # which are in use
    closed(beside)
    closed(first)
    again = TaskThreads(2, kept)
    assert idents_of(again, 2) == own
    closed(again)
    more = TaskThreads(3, kept)
    assert len(idents_of(more, 3)) == 3
    closed(more)


def test_threads_that_are_kept_end_with_what_keeps_them() -> None:
    kept, threads = KeptThreads(), list[threading.Thread]()
    pool = TaskThreads(1, kept)
    pool.submit(lambda: threads.append(threading.current_thread())).wait()
    closed(pool)
    assert threads[0].is_alive()
    del pool, kept
    gc.collect()
    threads[0].join(LIMIT)
    assert not threads[0].is_alive()


def test_threads_are_kept_only_once_they_have_run_what_they_were_at() -> None:
    kept, gate, begun = KeptThreads(), threading.Event(), threading.Event()
    busy = TaskThreads(1, kept)

    def task() -> None:
        begun.set()
        assert gate.wait(LIMIT)

    pending = busy.submit(task)
    assert begun.wait(LIMIT)
    busy.close()
    other = TaskThreads(1, kept)  # waits for nothing
    assert len(idents_of(other, 1)) == 1
    gate.set()
    pending.wait()
    closed(other)


def test_a_process_that_was_forked_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptThreads()
    first = TaskThreads(1, kept)
    own = idents_of(first, 1)
    closed(first)
    monkeypatch.setattr("augfeed.task_threads.os.getpid", lambda: -1)
    assert idents_of(TaskThreads(1, kept), 1).isdisjoint(own)
    assert pickle.loads(pickle.dumps(kept))._idle is None


@pytest.mark.parametrize("kept", [None, KeptThreads()], ids=["ended", "kept"])
def test_threads_of_another_process_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, kept: KeptThreads | None
) -> None:
    pool = TaskThreads(1, kept)
    pool.check_process()
    monkeypatch.setattr("augfeed.task_threads.os.getpid", lambda: -1)
    with pytest.raises(StateError, match=r"not in process -1, .* with iter\(loader\)"):
        pool.check_process()
    with pool._lock:  # as a thread had it when the process was forked
        pool.close()
    monkeypatch.undo()
    pool.submit(lambda: None).wait()
    pool.close()
