"""One driver, three executors: the same batches, in any order of their tasks."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from augfeed.batch import Batch
from augfeed.engines import Output, Place
from augfeed.errors import InputError
from augfeed.executor import BatchWork, Driver, Work
from augfeed.executor.device import DeviceHandle
from augfeed.executor.workers import WorkerExecutor
from augfeed.memory_pool import Memory
from augfeed.pipeline import Pipeline, Request
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.presets import resolve_policy
from augfeed.read.read_errors import RowSources
from augfeed.targets import AnyTargets

COUNT, SEED = 150, 4
CUT = "random_resized_crop(9) | hflip | one_of([mixup(0.4), cutmix]) | normalize(0.5, 0.5)"
KEPT = "random_crop(9, padding=2) | hflip | one_of([mixup(0.4), cutmix]) | normalize(0.5, 0.5)"
STAGED = "random_resized_crop(9) | kornia('RandomInvert', p=0.5) | mixup(0.4)"


def pipeline(policy: str, engine: str = "cpu", **options: Any) -> Pipeline:
    images = np.random.default_rng(1).integers(0, 256, (COUNT, 11, 10, 3), dtype=np.uint8)
    data = images, np.arange(COUNT) % 7
    place = Place(engine=engine, **options)
    return Pipeline(data, resolve_policy(policy), seed=SEED, place=place)


def request(first: int = 5, count: int = 101, step: int = 0) -> Request:
    """Return a batch that begins and ends within mixing groups."""
    positions = np.arange(first, first + count)
    return Request(BatchRows.at(positions, np.arange(COUNT), mixing=True), step, 2, SEED)


Works = Callable[[Request], Work[Request]]


def by_worker(made: Pipeline, engine: str) -> Works:
    """Return the work on frames that something else has read, as worker processes do."""

    def work(asked: Request) -> BatchWork[Request]:
        plan = draw_plan(made.policy, asked.rows, seed=SEED, epoch=2, size=made.size)
        read = made._inputs.read(plan, np.arange(len(plan.ids)), RowSources.of(plan.ids))
        handle = DeviceHandle(Place(engine=engine))
        executor = WorkerExecutor(torch.from_numpy(read), handle, Output(), Memory())
        return BatchWork(Driver(executor, made.policy, made.size, made._targets, made.costs),
                         [asked])  # fmt: skip

    return work


def executors(policy: str) -> dict[str, Works]:
    def of(made: Pipeline) -> Works:
        return lambda asked: made.works_of([asked])

    found = {"cpu": of(pipeline(policy)), "device": of(pipeline(policy, "portable"))}
    if policy != KEPT:
        for name, engine in (("worker", "cpu"), ("worker on a device", "portable")):
            found[name] = by_worker(pipeline(policy), engine)
    else:
        found["device with the dataset"] = of(pipeline(policy, "portable", resident=True))
    return found


def assert_same(one: Batch, other: Batch, *, exactly: bool) -> None:
    compare = torch.equal if exactly else lambda a, b: torch.allclose(a, b, atol=2e-4)
    assert compare(one.images, other.images)
    assert torch.equal(one.targets, other.targets) and torch.equal(one.ids, other.ids)


@pytest.mark.parametrize("policy", [CUT, KEPT, STAGED])
def test_every_executor_gives_the_same_batch(policy: str) -> None:
    made = {name: work(request()).run().take(0) for name, work in executors(policy).items()}
    assert len(made) >= 3 and len(made["cpu"]) == 101
    for name, batch in made.items():
        assert_same(made["cpu"], batch, exactly=name in ("cpu", "worker"))


@pytest.mark.parametrize("policy", [CUT, KEPT, STAGED])
def test_tasks_run_in_any_order_and_thread(policy: str) -> None:
    for work in executors(policy).values():
        wanted, other = work(request()).run().take(0), work(request())
        threads = [threading.Thread(target=task) for task in reversed(other.tasks)]
        for thread in threads:
            thread.start()
            thread.join()
        assert_same(wanted, other.finish().take(0), exactly=True)


@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_batches_made_as_one_are_labelled_once(engine: str) -> None:
    made = pipeline(KEPT, engine, resident=True if engine == "portable" else None)
    labelled: list[int] = []

    def label(plan: Plan, taken: RowSources) -> AnyTargets:
        labelled.append(plan.count)
        return made._targets(plan, taken)

    driver = Driver(made._executor, made.policy, made.size, label, made.costs)
    asked = [request(8 * step, 8, step) for step in range(5)]
    group = BatchWork(driver, asked, at_once=True).run()
    assert [group.take(k).step for k in range(len(group))] == [*range(5)]
    assert labelled == [40]
    for k, own in enumerate(asked):
        assert_same(made.works_of([own]).run().take(0), group.take(k), exactly=True)


@pytest.mark.parametrize("policy", [CUT, KEPT])
@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_nothing_keeps_what_a_batch_was_made_of(policy: str, engine: str) -> None:
    """Memory goes back when the last reference dies, not when the collector comes round."""
    work = pipeline(policy, engine).works_of([request()])
    assert isinstance(work, BatchWork)
    with no_collector():
        work.run()
        gone = [weakref.ref(part) for part in (work, work.planned.taken, work.execution.engine)
                if type(part).__weakrefoffset__]  # fmt: skip
        assert len(gone) >= 2
        del work
        assert [ref() for ref in gone] == [None] * len(gone)


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_task_that_fails_names_its_fault_and_leaves_the_others() -> None:
    made = pipeline(CUT)

    def label(plan: Plan, taken: RowSources) -> AnyTargets:
        raise InputError("label 'cat' is not a number")

    driver = Driver(made._executor, made.policy, made.size, label, made.costs)
    work = BatchWork(driver, [request()])
    group = work.run()
    for _ in range(2):  # each time it is asked for
        with pytest.raises(InputError, match="label 'cat'"):
            group.take(0)
