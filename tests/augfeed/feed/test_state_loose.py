"""in_order=False: a state says which batches were given, and the others come, each once."""

import inspect
import json
import multiprocessing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, Dataset, IterableDataset, SequentialSampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from augfeed import DataLoader
from augfeed.errors import StateError
from tests.sampling import pairwise

COUNT = 22
PIXELS = torch.from_numpy(
    np.random.default_rng(4).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning:multiprocessing"),
]
# Torch 2.6 deals batches to workers by turns, so that those behind a late one never
# come while it is held: there only the first of another worker can be asked for.
BALANCED = "_workers_num_tasks" in inspect.getsource(_MultiProcessingDataLoaderIter)
BY_TURNS = "this torch deals batches by turns"
balanced = pytest.mark.skipif(not BALANCED, reason=BY_TURNS)
FORK: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork", "in_order": False}
POLICIES = {"torch": None, "general": "hflip | gaussian_noise(0.1)"}


class Held(Dataset[Any]):
    """Some samples are not to be had before the gate is open, so their batches come late."""

    def __init__(self, *held: int) -> None:
        self.held, self.gate = held, multiprocessing.get_context("fork").Event()

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        if i in self.held:
            self.gate.wait()
        return PIXELS[i], i


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([(PIXELS[i], i) for i in range(COUNT)])


class Odd(BatchSampler):
    """Batches of two sizes, which nothing is known of."""

    def __init__(self) -> None:
        super().__init__(SequentialSampler(range(COUNT)), 4, False)

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[0], [1, 2, 3], [4, 5], [21, 20, 19, 18], [6], [7, 8, 9], [10]])

    def __len__(self) -> int:
        return 7


ORDERS: dict[str, Any] = {
    "in order": lambda: {"batch_size": 3},
    "shuffled": lambda: {"batch_size": 3, "shuffle": True, "generator": generator()},
    "own": lambda: {"batch_sampler": Odd()},
}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def loader(lane: str, order: str, data: Any, **options: Any) -> DataLoader[Any]:
    given = {"seed": 3, "num_classes": COUNT, **ORDERS[order](), **options}
    return DataLoader(data, policy=POLICIES[lane], **given)


def digests(batches: Any) -> list[int]:
    return [hash(images.numpy().tobytes()) for images, _ in batches]


def indices(order: str) -> list[list[int]]:
    return [labels.tolist() for _, labels in loader("torch", order, Held())]


@pairwise({"lane": POLICIES, "order": ORDERS, "late": [0, 1], "stay": [False, True],
           "stop": [1, 3, 4]})  # fmt: skip
def test_no_batch_is_lost_or_comes_twice(
    lane: str, order: str, late: int, stay: bool, stop: int
) -> None:
    if stop > 1 and not BALANCED:
        pytest.skip(BY_TURNS)
    again = int(stop > 1)
    whole = digests(loader(lane, order, Held()))
    data = Held(indices(order)[late][0])
    options = FORK | {"persistent_workers": stay}
    loose = loader(lane, order, data, **options)
    iterator = iter(loose)
    came = digests(next(iterator) for _ in range(stop))
    assert whole[late] not in came
    state = json.loads(json.dumps(loose.state_dict()))
    left = sorted({*whole} - {*came})
    other = loader(lane, order, data, **options)
    other.load_state_dict(state)
    assert other.state_dict() == state
    further = iter(other)
    came = digests(next(further) for _ in range(again))  # and what is late comes late again
    last = loader(lane, order, Held())
    last.load_state_dict(json.loads(json.dumps(other.state_dict())))
    data.gate.set()
    assert sorted(digests(iterator)) == left
    assert sorted(came + digests(further)) == left
    assert sorted(came + digests(last)) == left
    for each in (loose, other, last):  # and so on, from the next epoch
        assert each.state_dict()["position"] == 0 and "given" not in each.state_dict()
        assert len(digests(each)) == len(whole)


@balanced
@pytest.mark.parametrize("lane", POLICIES)
def test_a_state_stays_small_while_one_batch_is_late(lane: str) -> None:
    data = Held(0)
    loose = loader(lane, "in order", data, **FORK)
    iterator = iter(loose)
    for _ in range(5):
        next(iterator)
    state = loose.state_dict()
    assert state["position"] == 0 and len(state["given"]) <= 2  # parts that touch are one
    data.gate.set()


@pytest.mark.parametrize("lane", POLICIES)
def test_a_part_of_a_batch_and_a_broken_list_are_refused(lane: str) -> None:
    state = loader(lane, "in order", Held()).state_dict()
    broken: list[Any] = [3, "x", [3], [[6, 3]], [[0, 3]], [[3, 6], [6, 9]], [[-3, -1]], [[3, 4.5]]]
    for given in broken:
        with pytest.raises(StateError, match="given="):
            loader(lane, "in order", Held()).load_state_dict({**state, "given": given})
    other = loader(lane, "in order", Held())
    with pytest.raises(StateError, match="not between two"):
        other.load_state_dict({**state, "given": [[4, 8]]})
        list(other)


@pytest.mark.parametrize("lane", POLICIES)
def test_of_an_iterable_dataset_a_number_of_loose_batches_is_not_a_state(lane: str) -> None:
    loose: DataLoader[Any] = DataLoader(Stream(), 3, policy=POLICIES[lane], seed=3, **FORK)
    state = loose.state_dict()
    iterator = iter(loose)
    assert loose.state_dict() == state | {"position": 0}
    next(iterator)
    with pytest.raises(StateError, match="in_order=True"):
        loose.state_dict()
    with pytest.raises(StateError, match="in_order=True"):
        loose.load_state_dict({**state, "position": 2})
    list(iterator)
    assert loose.state_dict()["epoch"] == 1
    alone: DataLoader[Any] = DataLoader(
        Stream(), 3, policy=POLICIES[lane], seed=3, **(FORK | {"num_workers": 1})
    )
    next(iter(alone))
    assert alone.state_dict()["position"] == 1  # one worker has one order


@balanced
def test_accelerate_knows_of_the_last_batch_that_comes() -> None:
    data = Held(0)
    loose: Any = loader("general", "in order", data, **FORK)
    ends = []
    for k, _ in enumerate(loose):
        ends.append(loose.end_of_dataloader)
        if k == 5:
            data.gate.set()
    assert ends == [False] * 7 + [True]
