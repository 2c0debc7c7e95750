"""What torch's `DataLoader` promises of its worker processes, kept by ours without a policy.

Every claim is made of torch's own class too: it is the witness that the claim is right.
"""

import contextlib
import multiprocessing
import os
import pickle
import threading
import warnings
from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest
import torch
from torch.utils import data as torch_data
from torch.utils.data import get_worker_info

import augfeed
from tests.sampling import slow
from tests.waiting import HANG, eventually

pytestmark = [
    # One processor may be all there is: two workers are still right, if not fast.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning:torch.utils.data"),
    # The workers of these tests end before they could need a lock that another thread held.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning:multiprocessing"),
]

FORK: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}
ONE: dict[str, Any] = {**FORK, "num_workers": 1}


LOADERS = {"torch": torch_data.DataLoader, "augfeed": augfeed.DataLoader}
# What workers need of modules, in the process from which a "forkserver" forks them.
multiprocessing.set_forkserver_preload(["torch", "augfeed.loader", "pytest"])


@pytest.fixture(params=LOADERS)
def loader_class(request: pytest.FixtureRequest) -> Any:
    """The class under test: `Any`, as tests also give it what its annotations forbid."""
    return LOADERS[request.param]


def plain(batch: Any) -> Any:
    return batch


def listed(loader: Any) -> list[Any]:
    """The batches of numbers as lists."""
    return [batch.tolist() for batch in loader]


def have_ended(pids: set[int]) -> bool:
    """Whether child processes are gone."""
    return not pids & {child.pid for child in multiprocessing.active_children()}


def mark_copy(worker: int) -> None:
    """Leave the worker's number in its copy of the dataset."""
    info = get_worker_info()
    assert info is not None
    cast(Where, info.dataset).marks.append(worker)


class Where(torch_data.Dataset[Any]):
    """Each sample says which process read it, and what its copy of the dataset went through."""

    def __init__(self, count: int = 6) -> None:
        self.count = count
        self.marks: list[int] = []
        self.reads = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.reads += 1
        said: dict[str, Any] = {"pid": os.getpid(), "index": index, "reads": self.reads}
        said |= {"marks": tuple(self.marks), "threads": torch.get_num_threads()}
        if (info := get_worker_info()) is not None:
            said |= {"id": info.id, "workers": info.num_workers, "own": info.dataset is self}
        return said


class Shards(torch_data.IterableDataset[int]):
    """Numbers, `counts[k]` of them from worker `k`, which begin at `100 * k`."""

    def __init__(self, *counts: int) -> None:
        self.counts = counts

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        assert info is not None
        yield from range(100 * info.id, 100 * info.id + self.counts[info.id])


class Whole(torch_data.IterableDataset[int]):
    """A stream that every worker reads whole, longer than it says once there are two."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


# Who reads what


def test_batches_are_read_by_the_workers_in_turn(loader_class: Any) -> None:
    said = [sample for (sample,) in loader_class(Where(), collate_fn=plain, **FORK)]
    assert [sample["index"] for sample in said] == list(range(6))
    assert [sample["id"] for sample in said] == [0, 1] * 3
    assert len({sample["pid"] for sample in said} | {os.getpid()}) == 3


def test_workers_know_what_they_are(loader_class: Any) -> None:
    for (sample,) in loader_class(Where(), collate_fn=plain, **FORK):
        assert (sample["workers"], sample["own"], sample["threads"]) == (2, True, 1)
    assert get_worker_info() is None


def test_workers_are_set_up_before_they_read(loader_class: Any) -> None:
    where = Where()
    made = loader_class(where, collate_fn=plain, worker_init_fn=mark_copy, **FORK)
    for _ in range(2):
        assert [sample["marks"] for (sample,) in made] == [(0,), (1,)] * 3
    assert (where.marks, where.reads) == ([], 0)


@pytest.mark.parametrize("options", [FORK, {**FORK, "persistent_workers": True}], ids=["", "stay"])
def test_workers_end_with_the_epoch_unless_they_are_to_stay(
    loader_class: Any, options: dict[str, Any]
) -> None:
    stay = "persistent_workers" in options
    made = loader_class(Where(), collate_fn=plain, worker_init_fn=mark_copy, **options)
    iterator = iter(made)
    first = [sample for (sample,) in iterator]
    pids = {sample["pid"] for sample in first}
    assert have_ended(pids) is not stay
    second = [sample for (sample,) in made]
    assert ({sample["pid"] for sample in second} == pids) is stay
    assert [sample["reads"] for sample in second] == (
        [4, 4, 5, 5, 6, 6] if stay else [1, 1, 2, 2, 3, 3]
    )
    assert [sample["marks"] for sample in second] == [(0,), (1,)] * 3
    assert (iter(made) is iterator) is stay
    del made, iterator
    assert eventually(lambda: have_ended(pids))


def test_workers_that_stay_begin_anew_after_a_break(loader_class: Any) -> None:
    made = loader_class(range(20), persistent_workers=True, **FORK)
    for batch in made:
        if batch == 3:
            break
    assert listed(made) == [[k] for k in range(20)]
    streams = loader_class(Shards(2, 1), None, collate_fn=torch.tensor, **FORK)
    assert listed(streams) == listed(streams) == [0, 100, 1]


def test_more_workers_than_batches_do_no_harm(loader_class: Any) -> None:
    assert listed(loader_class(range(3), 3, **FORK)) == [[0, 1, 2]]
    assert listed(loader_class([], 3, **FORK)) == []


class RowSources:
    """An endless order, which counts what was taken from it."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for k in count():
            self.taken += 1
            yield k % 6


@pytest.mark.parametrize("ahead", [None, 1, 3])
def test_the_order_is_read_as_far_ahead_as_asked(loader_class: Any, ahead: int | None) -> None:
    taken = RowSources()
    iterator = iter(loader_class(range(6), sampler=taken, prefetch_factor=ahead, **FORK))
    for done in range(3):
        assert taken.taken == 2 * (ahead or 2) + done
        next(iterator)


class Waits(torch_data.Dataset[int]):
    """Samples of which the first is not ready before others were: read, or given out."""

    def __init__(self, until: str) -> None:
        self.until, self.others = until, multiprocessing.get_context("fork").Event()

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        if index == 0:
            assert self.others.wait(HANG)
        if index == 3 and self.until == "read":
            self.others.set()
        return index


@pytest.mark.parametrize("in_order", [True, False])
def test_a_slow_batch_holds_others_back_only_in_order(loader_class: Any, in_order: bool) -> None:
    data, found = Waits("read" if in_order else "given"), []
    for batch in loader_class(data, in_order=in_order, **FORK):
        found.append(int(batch))
        data.others.set()
    assert sorted(found) == list(range(6))
    assert (found == sorted(found)) is in_order
    assert (found[0] == 0) is in_order


def test_each_worker_reads_its_share_of_a_stream(loader_class: Any) -> None:
    made = loader_class(Shards(5, 1), 2, **FORK)
    assert listed(made) == [[0, 1], [100], [2, 3], [4]]
    assert listed(loader_class(Shards(5, 1), 2, drop_last=True, **FORK)) == [[0, 1], [2, 3]]
    assert listed(loader_class(Shards(0, 2), None, collate_fn=torch.tensor, **FORK)) == [100, 101]


def test_a_stream_that_was_not_divided_comes_once_a_worker(loader_class: Any) -> None:
    made = loader_class(Whole(), None, collate_fn=torch.tensor, **FORK)
    assert sorted(listed(made)) == [0, 0, 1, 1, 2, 2]
    assert len(made) == 3
    iterator = iter(made)
    assert sorted(next(iterator).item() for _ in range(3)) == [0, 0, 1]
    with pytest.warns(UserWarning, match="not properly configuring the IterableDataset replica"):
        next(iterator)


def test_iterators_at_once_have_workers_of_their_own(loader_class: Any) -> None:
    made = loader_class(Where(), collate_fn=plain, **FORK)
    pairs = [(one, other) for (one,), (other,) in zip(made, made, strict=True)]
    assert all(one["index"] == other["index"] for one, other in pairs)
    assert len({sample["pid"] for pair in pairs for sample in pair}) == 4
    assert len(iter(made)) == len(made) == 6


def test_tensors_of_workers_are_in_shared_memory(loader_class: Any) -> None:
    batches = list(loader_class(torch.arange(6), 3, **FORK))
    assert all(batch.is_shared() for batch in batches)
    assert listed(batches) == [[0, 1, 2], [3, 4, 5]]


def test_a_thread_may_iterate_while_another_does(loader_class: Any) -> None:
    made, found = loader_class(range(8), 2, **FORK), []
    threads = [threading.Thread(target=lambda: found.append(listed(made))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert found == [[[0, 1], [2, 3], [4, 5], [6, 7]]] * 2


# Ends and kinds of processes


@pytest.mark.parametrize("ending", ["break", "drop", "error"])
def test_an_abandoned_iterator_ends_its_workers(loader_class: Any, ending: str) -> None:
    made, pids = loader_class(Where(50), collate_fn=plain, **FORK), set()
    iterator = iter(made) if ending == "drop" else None
    with contextlib.suppress(LookupError):
        for (sample,) in iterator or made:
            pids.add(sample["pid"])
            if len(pids) == 2 and ending == "error":
                raise LookupError
            if len(pids) == 2:
                break
    assert iterator is None or not have_ended(pids)
    del iterator
    assert eventually(lambda: have_ended(pids))
    assert len(listed(loader_class(range(4), **FORK))) == 4


def test_an_iterator_that_is_over_has_no_workers_and_stays_over(loader_class: Any) -> None:
    iterator = iter(loader_class(Where(), collate_fn=plain, **FORK))
    pids = {sample["pid"] for (sample,) in iterator}
    assert eventually(lambda: have_ended(pids))
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


METHODS = ("fork", "spawn", "forkserver")


# Of the witness only what costs little: other workers import torch again.
@pytest.mark.parametrize(
    ("loader_class", "method"),
    [("torch", "fork"), *(slow("torch", method) for method in METHODS[1:]),
     *(("augfeed", method) for method in METHODS)], indirect=["loader_class"],
)  # fmt: skip
def test_workers_start_in_every_way(loader_class: Any, method: str) -> None:
    options = {"collate_fn": plain, "worker_init_fn": mark_copy, "num_workers": 1}
    context = multiprocessing.get_context(method)
    made = loader_class(Where(2), multiprocessing_context=context, **options)
    assert made.multiprocessing_context is context
    said = [sample for (sample,) in made]
    assert [sample["index"] for sample in said] == [0, 1]
    assert [(sample["id"], sample["marks"]) for sample in said] == [(0, (0,))] * 2
    assert said[0]["pid"] != os.getpid()


def test_what_cannot_be_pickled_cannot_be_sent_to_a_spawned_worker(loader_class: Any) -> None:
    made = loader_class(range(2), 1, num_workers=1, multiprocessing_context="spawn")
    made.collate_fn = lambda batch: batch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch explain the error in one
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            iter(made)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("options", [{}, FORK, {**FORK, "persistent_workers": True}])
def test_batches_are_pinned(loader_class: Any, options: dict[str, Any]) -> None:
    made = loader_class([(k, {"k": k}) for k in range(6)], 3, pin_memory=True, **options)
    for _ in range(2):
        for numbers, named in made:
            assert numbers.is_pinned()
            assert named["k"].is_pinned()
