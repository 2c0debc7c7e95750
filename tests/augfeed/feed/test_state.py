"""States: exact in mid-epoch, small, and refused where they do not fit."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from augfeed import DataLoader
from augfeed.errors import StateError
from augfeed.feed.shuffle import drawn

COUNT = 37
PIXELS = torch.from_numpy(
    np.random.default_rng(4).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
)
POLICY = "hflip | mixup(0.4) | gaussian_noise(0.1)"


class Pairs(Dataset[Any]):
    classes = tuple("abcde")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return PIXELS[i], i % 5


class Counting(IterableDataset[Any]):
    classes = tuple("abcde")

    def __iter__(self) -> Iterator[Any]:
        return ((PIXELS[i], i % 5) for i in range(COUNT))


def native() -> TensorDataset:
    return TensorDataset(PIXELS, torch.arange(COUNT) % 5)


LANES: dict[str, tuple[Any, str | None]] = {
    "torch": (Pairs, None),
    "general": (Pairs, POLICY),
    "native": (native, POLICY),
}


def generator(seed: int = 5) -> torch.Generator:
    made = torch.Generator()
    made.manual_seed(seed)
    return made


class Backwards(BatchSampler):
    """Batches of two sizes, which nothing is known of."""

    def __init__(self) -> None:
        super().__init__(SequentialSampler(range(COUNT)), 4, False)

    def __iter__(self) -> Iterator[list[int]]:
        places = list(range(COUNT))[::-1]
        while places:
            size = 3 if len(places) % 2 else 6
            yield places[:size]
            places = places[size:]


ORDERS: dict[str, Any] = {
    "in order": dict,
    "seeded": lambda: {"shuffle": True, "seed": 3},
    "by torch": lambda: {"shuffle": True},
    "by a generator": lambda: {"shuffle": True, "generator": generator()},
    "random sampler": lambda: {"sampler": RandomSampler(range(COUNT), True, 50)},
    "weighted sampler": lambda: {
        "sampler": WeightedRandomSampler([1.0] * COUNT, COUNT, generator=generator())
    },
    "batch sampler": lambda: {"batch_sampler": Backwards()},
}


def loader(lane: str, order: str, **options: Any) -> DataLoader[Any]:
    data, policy = LANES[lane]
    given = {"batch_size": 8, **ORDERS[order](), **options}
    if "batch_sampler" in given:
        del given["batch_size"]
    return DataLoader(data(), policy=policy, **given)


def same(found: list[Any], expected: list[Any]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(a, b)
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("stop", [0, 2, 5])
def test_the_rest_of_an_epoch_comes_exactly(lane: str, order: str, stop: int) -> None:
    given = loader(lane, order)
    list(given)
    iterator = iter(given)
    for _ in range(stop):
        next(iterator)
    state = json.loads(json.dumps(given.state_dict()))
    expected = list(iterator)
    torch.manual_seed(99)  # another process has other random numbers
    resumed = loader(lane, order)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert same(list(resumed), expected)


@pytest.mark.parametrize("lane", ["torch", "general"])
def test_another_number_of_workers_goes_on(lane: str) -> None:
    given = loader(lane, "by torch", num_workers=2)
    iterator = iter(given)
    for _ in range(2):
        next(iterator)
    state, expected = given.state_dict(), list(iterator)
    for workers in (0, 1):
        resumed = loader(lane, "by torch", num_workers=workers)
        resumed.load_state_dict(state)
        assert same(list(resumed), expected)


@pytest.mark.parametrize("policy", [None, POLICY])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_iterable_dataset_skips_what_was_given(policy: str | None, workers: int) -> None:
    options: dict[str, Any] = {"policy": policy, "seed": 3, "num_workers": workers}
    given: DataLoader[Any] = DataLoader(Counting(), 8, **options)
    iterator = iter(given)
    for _ in range(3):
        next(iterator)
    state, expected = given.state_dict(), list(iterator)
    assert state["position"] == 3
    resumed: DataLoader[Any] = DataLoader(Counting(), 8, **options)
    resumed.load_state_dict(state)
    assert same(list(resumed), expected)


class Unsure(Counting):
    """Knows its length only after something that has not been done yet."""

    def __len__(self) -> int:
        raise RuntimeError("call prepare() first")


@pytest.mark.parametrize("policy", [None, POLICY])
def test_a_dataset_is_not_asked_for_its_length_unless_its_user_asks(policy: str | None) -> None:
    given: DataLoader[Any] = DataLoader(Unsure(), 8, policy=policy, seed=3)
    known: DataLoader[Any] = DataLoader(Counting(), 8, policy=policy, seed=3)
    assert given.state_dict()["position"] == 0
    iterator = iter(given)
    begun = [next(iterator), next(iterator)]
    assert given.state_dict()["position"] == 2
    assert same([*begun, *iterator], list(known))
    with pytest.raises(RuntimeError, match="prepare"):
        len(given)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("order", ORDERS)
def test_after_the_last_batch_nothing_is_left_and_after_the_end_an_epoch(
    lane: str, order: str
) -> None:
    given = loader(lane, order)
    for _ in given:
        inside = given.state_dict()
    outside = given.state_dict()
    for state, count in ((inside, 0), (outside, len(list(loader(lane, order))))):
        resumed = loader(lane, order)
        resumed.load_state_dict(state)
        assert len(list(resumed)) == count


@pytest.mark.parametrize("lane", LANES)
def test_a_state_can_be_loaded_into_a_used_loader(lane: str) -> None:
    given = loader(lane, "seeded")
    state = given.state_dict()
    expected = list(given)
    iterator = iter(given)
    next(iterator)
    given.load_state_dict(state)
    assert given.state_dict() == state
    assert same(list(given), expected)


@pytest.mark.parametrize("lane", LANES)
def test_a_broken_off_epoch_stands_where_it_was_left(lane: str) -> None:
    given = loader(lane, "seeded")
    for k, _ in enumerate(given):
        if k == 1:
            break
    assert given.state_dict()["position"] == 16


@pytest.mark.parametrize("lane", LANES)
def test_epochs_go_on_as_if_nothing_had_happened(lane: str) -> None:
    torch.manual_seed(0)
    whole = loader(lane, "by torch")
    expected = [*whole, *whole, *whole]
    torch.manual_seed(0)
    given = loader(lane, "by torch")
    found = list(given)
    resumed = loader(lane, "by torch")
    resumed.load_state_dict(given.state_dict())
    assert same([*found, *resumed, *resumed], expected)


def test_a_sampler_that_gives_another_order_is_noticed() -> None:
    for lane in LANES:
        given = loader(lane, "weighted sampler")
        iterator = iter(given)
        next(iterator)
        state = given.state_dict()
        other = WeightedRandomSampler(range(COUNT), COUNT, generator=generator())
        resumed = loader(lane, "in order", sampler=other)
        resumed.load_state_dict(state)
        with pytest.raises(StateError, match="another order"):
            next(iter(resumed))


def test_a_position_inside_a_batch_is_refused() -> None:
    for lane in LANES:
        given = loader(lane, "weighted sampler", batch_size=6)
        iterator = iter(given)
        next(iterator)
        resumed = loader(lane, "weighted sampler")
        resumed.load_state_dict(given.state_dict())
        with pytest.raises(StateError, match="position=6"):
            next(iter(resumed))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed=3"),
        ({"shuffle": False}, "shuffle="),
        ({"policy": "hflip"}, "policy="),
        ({"policy": None}, "policy="),
    ],
)
def test_a_state_of_another_loader_is_refused(change: dict[str, Any], named: str) -> None:
    options = {"shuffle": True, "seed": 3, "policy": POLICY}
    state = DataLoader(Pairs(), 8, **options).state_dict()  # type: ignore[arg-type]
    other: DataLoader[Any] = DataLoader(Pairs(), 8, **{**options, **change})
    with pytest.raises(StateError, match=named):
        other.load_state_dict(state)


def test_a_state_is_small_even_with_a_generator() -> None:
    given = loader("torch", "by a generator")
    next(iter(given))
    assert len(json.dumps(given.state_dict())) < 5000
    given = loader("native", "by torch")
    next(iter(given))
    assert len(json.dumps(given.state_dict())) < 300


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("persistent", [False, True])
def test_skipped_batches_are_left_out_once(lane: str, persistent: bool) -> None:
    options = {"num_workers": 1, "persistent_workers": True} if persistent else {}
    given = loader(lane, "seeded", **options)
    whole = list(given)
    given.set_epoch(0)
    given.skip(3)
    assert same(list(given), whole[3:])
    given.set_epoch(0)
    assert same(list(given), whole)


@pytest.mark.parametrize("options", [{}, {"replacement": True}, {"num_samples": 70}])
def test_an_order_drawn_at_once_is_torchs_and_leaves_the_generator_as_torch_does(
    options: dict[str, Any],
) -> None:
    sampler = RandomSampler(range(50), **options)
    ours, torchs = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    order = drawn(sampler, ours)
    assert order.tolist() == list(RandomSampler(range(50), generator=torchs, **options))
    assert torch.equal(ours.get_state(), torchs.get_state())
