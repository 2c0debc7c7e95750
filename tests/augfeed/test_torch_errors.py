"""The errors of torch's `DataLoader`, here and in workers, kept by ours without a policy.

Every claim is made of torch's own class too: it is the witness that the claim is right.
"""

import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils import data as torch_data
from torch.utils.data import get_worker_info

import augfeed
from tests.waiting import HANG

pytestmark = [
    # One processor may be all there is: two workers are still right, if not fast.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning:torch.utils.data"),
    # The workers of these tests end before they could need a lock that another thread held.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning:multiprocessing"),
]

FORK: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}
ONE: dict[str, Any] = {**FORK, "num_workers": 1}


@pytest.fixture(params=[torch_data.DataLoader, augfeed.DataLoader], ids=["torch", "augfeed"])
def loader_class(request: pytest.FixtureRequest) -> Any:
    """The class under test: `Any`, as tests also give it what its annotations forbid."""
    return request.param


NUMBERS = list(range(10))


def listed(loader: Any) -> list[Any]:
    """The batches of numbers as lists."""
    return [batch.tolist() for batch in loader]


def with_errors(iterator: Iterator[Any]) -> list[Any]:
    """What comes of an iterator until it ends, errors among it."""
    found: list[Any] = []
    while len(found) < 100:
        try:
            found.append(next(iterator).tolist())
        except StopIteration:
            return found
        except Exception as error:
            found.append(untraced(error))
    raise AssertionError(f"does not end: {found[:20]}")


def untraced(error: Exception) -> Exception:
    """The error without its frames, which would keep the iterator until garbage is collected.

    That may happen in a thread that feeds a worker, which then waits 5 s for itself: torch's too.
    """
    return error.with_traceback(None)


def first_error(iterator: Iterator[Any]) -> Exception:
    try:
        list(iterator)
    except Exception as error:
        return untraced(error)
    raise AssertionError("no error")


class BrokenError(Exception):
    """An error that cannot be made from a message alone."""

    def __init__(self, place: str, number: int) -> None:
        super().__init__(f"{place} is broken at {number}")


class Fails(torch_data.Dataset[int]):
    """Ten numbers, of which those below `first` and above `last` can be read."""

    def __init__(self, error: BaseException, first: int = 4, last: int = 4) -> None:
        self.error, self.first, self.last = error, first, last

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        if self.first <= index <= self.last:
            raise self.error
        return index


class Ends(torch_data.Dataset[int]):
    """Two samples, of which the second keeps the process until an event, or kills it then."""

    def __init__(self, event: Any, *, killed: bool = False) -> None:
        self.event, self.killed = event, killed

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        if index:
            self.event.wait(HANG)
        if index and self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


# In the calling process


def test_an_error_of_the_dataset_costs_one_batch(loader_class: Any) -> None:
    error = BrokenError("sample", 4)
    found = with_errors(iter(loader_class(Fails(error), 2)))
    assert found == [[0, 1], [2, 3], error, [6, 7], [8, 9]]
    assert found[2] is error


@pytest.mark.parametrize("error", [IndexError("past"), KeyError("two\nlines"), ValueError()])
def test_an_error_of_the_dataset_is_not_the_end(loader_class: Any, error: Exception) -> None:
    with pytest.raises(type(error)) as found:
        list(loader_class(Fails(error, 4, 9), 2))
    assert found.value is error


def test_a_stop_from_the_dataset_ends_the_loop_and_not_the_iterator(loader_class: Any) -> None:
    iterator = iter(loader_class(Fails(StopIteration()), 2))
    assert listed(iterator) == [[0, 1], [2, 3]]
    assert listed(iterator) == [[6, 7], [8, 9]]


def test_an_error_of_the_collation_costs_one_batch(loader_class: Any) -> None:
    def collate(batch: list[int]) -> torch.Tensor:
        if 2 in batch:
            raise BrokenError("batch", 1)
        return torch.tensor(batch)

    first, error, third = with_errors(iter(loader_class(NUMBERS[:6], 2, collate_fn=collate)))
    assert (first, third) == ([0, 1], [4, 5])
    assert str(error) == "batch is broken at 1"
    assert type(error) is BrokenError


def failing_order() -> Iterator[int]:
    yield from (0, 1, 2)
    raise BrokenError("order", 3)


def test_an_error_of_the_sampler_ends_the_iterator(loader_class: Any) -> None:
    class Order:
        def __iter__(self) -> Iterator[int]:
            return failing_order()

    first, error = with_errors(iter(loader_class(NUMBERS, 2, sampler=Order())))
    assert first == [0, 1]
    assert str(error) == "order is broken at 3"


def test_an_error_of_a_stream_ends_the_iterator(loader_class: Any) -> None:
    class Order(torch_data.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return failing_order()

    first, error = with_errors(iter(loader_class(Order(), 2)))
    assert first == [0, 1]
    assert str(error) == "order is broken at 3"


def test_a_dataset_that_cannot_be_read_is_named_when_it_is_read(loader_class: Any) -> None:
    class Bare(torch_data.Dataset[int]):
        def __len__(self) -> int:
            return 2

    iterator = iter(loader_class(Bare()))
    with pytest.raises(NotImplementedError, match="__getitem__"):
        next(iterator)


# In workers


class Shards(torch_data.IterableDataset[int]):
    """Numbers, `counts[k]` of them from worker `k`, which begin at `100 * k`."""

    def __init__(self, *counts: int) -> None:
        self.counts = counts

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        assert info is not None
        yield from range(100 * info.id, 100 * info.id + self.counts[info.id])


@pytest.mark.parametrize("error", [ValueError("was wrong"), IndexError("was wrong")])
def test_an_error_in_a_worker_comes_with_its_type_and_traceback_and_costs_one_batch(
    loader_class: Any, error: Exception
) -> None:
    found = with_errors(iter(loader_class(Fails(error), **FORK)))
    assert found[:4] + found[5:] == [[k] for k in NUMBERS if k != 4]
    assert type(found[4]) is type(error)
    caught = f"Caught {type(error).__name__} in DataLoader worker process 0.\nOriginal Traceback"
    assert str(found[4]).startswith(caught)
    assert "in __getitem__" in str(found[4])
    assert "was wrong" in str(found[4])


def test_the_lines_of_a_key_error_stay_lines(loader_class: Any) -> None:
    found = with_errors(iter(loader_class(Fails(KeyError("which")), **FORK)))
    assert type(found[4]) is KeyError
    assert len(str(found[4]).splitlines()) > 3
    assert "KeyError: 'which'" in str(found[4])


def test_an_error_that_cannot_be_made_again_is_a_runtime_error(loader_class: Any) -> None:
    found = with_errors(iter(loader_class(Fails(BrokenError("sample", 4)), **FORK)))
    assert type(found[4]) is RuntimeError
    assert "Caught BrokenError" in str(found[4])
    assert "sample is broken at 4" in str(found[4])


def test_a_stop_in_a_worker_ends_the_loop_and_not_the_iterator(loader_class: Any) -> None:
    iterator = iter(loader_class(Fails(StopIteration()), **FORK))
    assert listed(iterator) == [[k] for k in range(4)]
    assert listed(iterator) == [[k] for k in range(5, 10)]


def refuse(given: Any) -> None:
    raise ValueError(f"refused {given}")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"collate_fn": refuse}, "refused [0]"), ({"worker_init_fn": refuse}, "refused 0")],
    ids=["collation", "set-up"],
)
def test_an_error_of_a_function_of_the_user_comes_with_the_first_batch(
    loader_class: Any, options: dict[str, Any], message: str
) -> None:
    error = first_error(iter(loader_class(range(2), **ONE, **options)))
    assert type(error) is ValueError
    assert "in DataLoader worker process 0" in str(error)
    assert f"ValueError: {message}" in str(error)


def test_an_error_of_the_sampler_comes_as_it_is(loader_class: Any) -> None:
    def order() -> Iterator[int]:
        yield from range(5)
        raise BrokenError("order", 5)

    iterator = iter(loader_class(NUMBERS, sampler=order(), **FORK))
    assert next(iterator).tolist() == [0]
    error = first_error(iterator)
    assert type(error) is BrokenError
    assert str(error) == "order is broken at 5"


class FailsAfterOne(Shards):
    def __iter__(self) -> Iterator[int]:
        for k in super().__iter__():
            yield k
            if k == 0:
                raise ValueError("stream is broken")


def test_an_error_of_a_stream_ends_the_share_of_one_worker(loader_class: Any) -> None:
    found = with_errors(iter(loader_class(FailsAfterOne(3, 3), **FORK)))
    assert [batch for batch in found if isinstance(batch, list)] == [[0], [100], [101], [102]]
    assert ["stream is broken" in str(one) for one in found].count(True) == 1


def test_a_killed_worker_is_an_error(loader_class: Any) -> None:
    came = multiprocessing.get_context("fork").Event()
    iterator = iter(loader_class(Ends(came, killed=True), **ONE))
    assert next(iterator).tolist() == [0]  # its memory is handed over by the worker
    came.set()
    error = first_error(iterator)
    assert type(error) is RuntimeError
    assert re.search(r"DataLoader worker \(pid.*(killed|exited)", str(error))


def test_a_batch_that_does_not_come_in_time_is_an_error(loader_class: Any) -> None:
    caught = multiprocessing.get_context("fork").Event()
    iterator = iter(loader_class(Ends(caught), timeout=0.5, **ONE))
    error = first_error(iterator)
    caught.set()
    assert type(error) is RuntimeError
    assert str(error) == "DataLoader timed out after 0.5 seconds"
