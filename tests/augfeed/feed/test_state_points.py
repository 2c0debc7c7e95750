"""A state taken at any point goes on as if nothing had happened, whatever decides the order."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from augfeed import DataLoader
from augfeed.errors import StateError
from tests.sampling import chosen, each_value, sampled

COUNT, BATCH = 22, 4
PIXELS = torch.from_numpy(
    np.random.default_rng(4).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
)
POLICY = "hflip | mixup(0.4) | gaussian_noise(0.1)"
TOO_MANY = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class Pairs(Dataset[Any]):
    classes = tuple("abcde")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return PIXELS[i], i % 5


class Stream(IterableDataset[Any]):
    classes = tuple("abcde")

    def __iter__(self) -> Iterator[Any]:
        return iter([(PIXELS[i], i % 5) for i in range(COUNT)])


class Drawing(Sampler[list[int]]):
    """Batches of a sampler of the user's, drawn at once or one by one."""

    def __init__(self, generator: torch.Generator, *, at_once: bool) -> None:
        self.generator, self.at_once = generator, at_once

    def __len__(self) -> int:
        return 5

    def one(self) -> list[int]:
        return torch.randint(COUNT, (BATCH,), generator=self.generator).tolist()

    def __iter__(self) -> Iterator[list[int]]:
        drawn = (self.one() for _ in range(len(self)))
        return iter(list(drawn)) if self.at_once else drawn


class Named(Sampler[int]):
    """A sampler of the user's that calls its generators, and the sampler in it, what it likes."""

    def __init__(self, own: torch.Generator, inner: torch.Generator) -> None:
        self._rng, self.base = own, RandomSampler(range(COUNT), generator=inner)

    def __len__(self) -> int:
        return COUNT

    def __iter__(self) -> Iterator[int]:
        first = int(torch.randint(COUNT, (1,), generator=self._rng))
        return iter([(i + first) % COUNT for i in self.base])


class Around(Sampler[int]):
    """A sampler of the user's around one of torch's, as those that split among ranks are."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        return iter(self.sampler)


def made(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shared() -> dict[str, Any]:
    one = made()
    return {"generator": one, "sampler": SubsetRandomSampler(range(3, COUNT), one)}


NUMBERS = range(COUNT)
EXACT: dict[str, Callable[[], dict[str, Any]]] = {
    "in order": dict,
    "seeded": lambda: {"shuffle": True, "seed": 3},
    "seeded, in order": lambda: {"seed": 3},
    "generator": lambda: {"shuffle": True, "generator": made()},
    "seeded, one by one": lambda: {"shuffle": True, "seed": 3, "batch_size": None},
    "generator, in order": lambda: {"generator": made()},
    "generator and seed": lambda: {"shuffle": True, "generator": made(), "seed": 3},
    "generator, one by one": lambda: {"shuffle": True, "generator": made(), "batch_size": None},
    "random": lambda: {"sampler": RandomSampler(NUMBERS, generator=made())},
    "random, twice": lambda: {"sampler": RandomSampler(NUMBERS, True, 50, generator=made())},
    "weighted": lambda: {"sampler": WeightedRandomSampler(range(1, 23), 23, generator=made())},
    "subset": lambda: {"sampler": SubsetRandomSampler(range(3, COUNT), made())},
    "subset, one by one": lambda: {
        "sampler": SubsetRandomSampler(range(3, COUNT), made()),
        "batch_size": None,
    },
    "shared": shared,
    "two": lambda: {"sampler": RandomSampler(NUMBERS, generator=made(6)), "generator": made()},
    "batches": lambda: {
        "batch_sampler": BatchSampler(RandomSampler(NUMBERS, generator=made()), 3, True)
    },
    "own batches": lambda: {"batch_sampler": Drawing(made(), at_once=False)},
    "own batches, at once": lambda: {"batch_sampler": Drawing(made(), at_once=True)},
    "another name": lambda: {"sampler": Named(made(), made(6)), "seed": 3},
    "alone, another name": lambda: {
        "sampler": Named(made(), made(6)),
        "seed": 3,
        "batch_size": None,
    },
    "around": lambda: {"sampler": Around(RandomSampler(NUMBERS, generator=made()))},
    "stream": lambda: {"dataset": Stream(), "generator": made()},
}
# Without a generator what comes after a pass is up to torch's global one.
OF_TORCH: dict[str, Callable[[], dict[str, Any]]] = {
    "by torch": lambda: {"shuffle": True},
    "random by torch": lambda: {"sampler": RandomSampler(NUMBERS, True, 50)},
}
LANES = ("torch", "general", "native")
NAMED = ("another name", "alone, another name")


def usual(order: str, lane: str) -> bool:
    """Return whether a usual run tries an order in a lane: without a policy, and in one with it."""
    only_general = order == "stream" or "one by one" in order or "alone" in order
    other = "general" if only_general else chosen(order, ("general", "native"))
    return lane in ("torch", other)


AXES: dict[str, list[Any]] = {
    "lane": [*LANES],
    "persistent": [False, True],
    "point": [(0, -1), (0, 0), (1, -1), (1, 2), (1, 99), (2, 6)],
}


def loader(lane: str, order: str, **options: Any) -> DataLoader[Any]:
    given_ = {**(EXACT | OF_TORCH)[order](), **options}
    native = TensorDataset(PIXELS, torch.arange(COUNT) % 5)
    given_.setdefault("dataset", native if lane == "native" else Pairs())
    if "batch_sampler" not in given_:
        given_.setdefault("batch_size", BATCH)
    policy = None if lane == "torch" else POLICY
    return DataLoader(policy=policy, **given_)


def same(found: list[Any], expected: list[Any]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def seeds(lane: str, order: str) -> bool:
    """Return whether all that comes is decided by what a loader was given."""
    own = EXACT.get(order, dict)()
    return order in EXACT and (lane == "torch" or bool({"generator", "seed"} & own.keys()))


def check(lane: str, order: str, before: int, stop: int, **options: Any) -> None:
    """Take a state after some epochs and batches (-1: without an iterator), and go on."""
    torch.manual_seed(1)
    whole = loader(lane, order, **options)
    for _ in range(before):
        list(whole)
    iterator = iter(whole) if stop >= 0 else None
    for _ in range(max(stop, 0)):
        if iterator is not None and next(iterator, None) is None:
            iterator = None  # the pass has ended
    state = whole.state_dict()
    assert whole.state_dict() == state
    expected = [list(whole if iterator is None else iterator)]
    torch.manual_seed(2)
    resumed = loader(lane, order, **options)
    resumed.load_state_dict(json.loads(json.dumps(state)))
    assert resumed.state_dict() == state
    if seeds(lane, order):
        expected += [list(whole), list(whole)]
    elif iterator is None:
        return
    for passed in expected:
        assert same(list(resumed), passed)


@sampled(usual, {"order": [*EXACT, *OF_TORCH], "lane": LANES})
@given(before=st.integers(0, 2), stop=st.sampled_from([*range(-1, 8), 12, 26]))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_a_state_of_any_point_goes_on_exactly(
    lane: str, order: str, before: int, stop: int
) -> None:
    if lane == "native" and (order == "stream" or ("one by one" in order or "alone" in order)):
        return  # of the general lane
    check(lane, order, before, stop)


@TOO_MANY
# Every point once, and every lane with workers that stay and with others.
@sampled(lambda *row: row in each_value(*AXES.values()), AXES)
def test_so_it_does_with_workers(lane: str, persistent: bool, point: tuple[int, int]) -> None:
    check(lane, "generator", *point, num_workers=1, persistent_workers=persistent)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    "order",
    ["generator", "random", "two", "own batches", "subset", *NAMED],
)
@pytest.mark.parametrize("stop", [-1, 2, 6])
def test_an_epoch_given_after_a_state_was_loaded_goes_on_with_the_generators(
    lane: str, order: str, stop: int
) -> None:
    if lane == "native" and "alone" in order:
        return  # of the general lane
    whole = loader(lane, order, seed=3)
    iterator = iter(whole)
    list(iterator)
    if stop >= 0:
        iterator = iter(whole)
        for _ in range(stop):
            next(iterator, None)
    state = whole.state_dict()
    if not state["position"]:
        state["epoch"] = 7  # that of a caller who counts otherwise
    list(iterator)
    whole.set_epoch(9)
    resumed = loader(lane, order, seed=3)
    resumed.load_state_dict(state)
    resumed.set_epoch(9)
    assert same(list(resumed), list(whole))


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("order", ["generator", "seeded", "by torch"])
def test_batches_skipped_after_a_state_was_loaded_are_those_of_its_epoch(
    lane: str, order: str
) -> None:
    whole = loader(lane, order)
    list(whole)
    iterator = iter(whole)
    state = whole.state_dict()
    expected = list(iterator)[2:]
    resumed = loader(lane, order)
    resumed.load_state_dict(state)
    resumed.skip(2)
    assert same(list(resumed), expected)


@pytest.mark.parametrize("lane", LANES)
def test_a_state_of_before_the_field_is_read(lane: str) -> None:
    whole = loader(lane, "generator", seed=None)
    iterator = iter(whole)
    next(iterator)
    state = whole.state_dict()
    (said,) = state.pop("generators")
    state["order"] = said
    expected = list(iterator)
    resumed = loader(lane, "generator")
    resumed.load_state_dict(state)
    assert same(list(resumed), expected)
    state["order"] = None
    resumed.load_state_dict({**state, "position": 0})
    assert len(list(resumed)) == len(resumed)


@pytest.mark.parametrize("lane", LANES)
def test_a_state_with_other_generators_is_refused(lane: str) -> None:
    def state(order: str) -> dict[str, Any]:
        whole = loader(lane, order)
        next(iter(whole))
        return whole.state_dict()

    for order, other in (("generator", "by torch"), ("by torch", "generator"),
                         ("two", "random")):  # fmt: skip
        with pytest.raises(StateError, match=r"generator=|shuffle="):
            loader(lane, other).load_state_dict(state(order))
    old = state("generator")
    old["order"] = old.pop("generators")[0]
    with pytest.raises(StateError, match="generator="):
        loader(lane, "by torch").load_state_dict(old)
    states: list[Any] = ["", "x", "AAAA", 3, [1], {}]
    for broken in states:
        with pytest.raises(StateError, match="is broken"):
            loader(lane, "generator").load_state_dict(state("generator") | {"generators": [broken]})
    for name, value in (("generators", 3), ("generators", "x"), ("order", 1.5), ("order", 1 << 80)):
        with pytest.raises(StateError, match=f"{name}="):
            loader(lane, "generator").load_state_dict(state("generator") | {name: value})


@sampled(usual, {"order": [*EXACT, *OF_TORCH], "lane": LANES})
def test_a_state_is_small_and_asking_for_it_draws_nothing(lane: str, order: str) -> None:
    if lane == "native" and (order == "stream" or ("one by one" in order or "alone" in order)):
        return
    stories = []
    for asks in (False, True):
        torch.manual_seed(3)
        whole, seen = loader(lane, order), []
        for _ in range(2):
            iterator = iter(whole)
            for batch in iterator:
                seen.append(batch)
                if asks:
                    size = len(json.dumps(whole.state_dict()))
                    assert size < (300 if order in ("in order", "seeded", "by torch") else 9000)
            if asks:
                whole.state_dict()
        stories.append((seen, torch.get_rng_state()))
    assert same(stories[0][0], stories[1][0])
    assert torch.equal(stories[0][1], stories[1][1])
