"""The random order of torch's `DataLoader` and what it leaves of random states, kept by ours.

Every claim is made of torch's own class too: it is the witness that the claim is right.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import data as torch_data

import augfeed

pytestmark = [
    # One processor may be all there is: two workers are still right, if not fast.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning:torch.utils.data"),
    # The workers of these tests end before they could need a lock that another thread held.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning:multiprocessing"),
]

FORK: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}


@pytest.fixture(params=[torch_data.DataLoader, augfeed.DataLoader], ids=["torch", "augfeed"])
def loader_class(request: pytest.FixtureRequest) -> Any:
    """The class under test: `Any`, as tests also give it what its annotations forbid."""
    return request.param


def plain(batch: Any) -> Any:
    return batch


def drawn() -> tuple[float, float, float]:
    return torch.rand(()).item(), random.random(), float(np.random.rand())


class Draws(torch_data.Dataset[Any]):
    """Each sample draws from every global generator, as augmentations do."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Any:
        return index, *drawn()


class DrawnStream(torch_data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        for k in range(7):
            yield k, *drawn()


class Seeds(torch_data.Dataset[Any]):
    """Each sample tells the worker's number and seed, and draws."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        info = torch_data.get_worker_info()
        assert info is not None
        return info.id, info.seed, drawn()


def seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def states(*generators: torch.Generator) -> str:
    """A digest of all global random states, and of some generators."""
    _, words, *position = np.random.get_state()
    parts: list[Any] = [torch.get_rng_state(), *(each.get_state() for each in generators)]
    texts = [part.numpy().tobytes() for part in parts]
    texts += [repr(random.getstate()).encode(), np.asarray(words).tobytes()]
    return hashlib.sha256(b"".join([*texts, repr(position).encode()])).hexdigest()[:12]


Options = Callable[[torch.Generator], dict[str, Any]]
SCENES: dict[str, Options] = {
    "in order": lambda g: {},
    "shuffled": lambda g: {"shuffle": True},
    "shuffled one by one": lambda g: {"shuffle": True, "batch_size": None},
    "shuffled by a generator": lambda g: {"shuffle": True, "generator": g},
    "in order with a generator": lambda g: {"generator": g},
    "with replacement": lambda g: {
        "sampler": torch_data.RandomSampler(Draws(), replacement=True, num_samples=9)
    },
    "weighted": lambda g: {"sampler": torch_data.WeightedRandomSampler([1.0, 2.0, 3.0], 8)},
    "of a subset": lambda g: {"sampler": torch_data.SubsetRandomSampler([5, 2, 4, 3], g)},
    "batches of a sampler": lambda g: {
        "batch_size": 1,
        "batch_sampler": torch_data.BatchSampler(torch_data.RandomSampler(Draws()), 3, True),
    },
    "stream": lambda g: {"dataset": DrawnStream()},
    "stream with a generator": lambda g: {"dataset": DrawnStream(), "generator": g},
    "workers": lambda g: {"shuffle": True, **FORK},
    "workers, one by one": lambda g: {"shuffle": True, "batch_size": None, **FORK},
    "workers with a generator": lambda g: {"shuffle": True, "generator": g, **FORK},
    "workers of a stream": lambda g: {"dataset": DrawnStream(), **FORK},
    "workers that stay": lambda g: {"shuffle": True, "persistent_workers": True, **FORK},
    "workers far ahead": lambda g: {"shuffle": True, "prefetch_factor": 5, **FORK},
}


def story(loader_class: Any, scene: str) -> list[tuple[Any, str]]:
    """Batches, and the random states after each step: two epochs and the begin of a third."""
    seed_all(11)
    generator = torch.Generator().manual_seed(12)
    given = {"dataset": Draws(), "batch_size": 2, "collate_fn": plain}
    made = loader_class(**{**given, **SCENES[scene](generator)})
    steps: list[tuple[Any, str]] = [("made", states(generator))]
    for _ in range(2):
        iterator = iter(made)
        steps.append(("begun", states(generator)))
        steps.extend((batch, states(generator)) for batch in iterator)
        steps.append(("over", states(generator)))
    steps.append((next(iter(made)), states(generator)))
    return steps


@pytest.mark.parametrize("scene", SCENES)
def test_order_draws_and_random_states_are_those_of_torch(scene: str) -> None:
    expected, found = story(torch_data.DataLoader, scene), story(augfeed.DataLoader, scene)
    assert [what for what, _ in found] == [what for what, _ in expected]
    assert found == expected


def test_interleaved_iterators_draw_as_those_of_torch(loader_class: Any) -> None:
    def pairs(kind: Any) -> tuple[list[Any], str]:
        seed_all(3)
        made = kind(Draws(), 2, True, collate_fn=plain)
        return list(zip(made, made, strict=True)), states()

    assert pairs(loader_class) == pairs(torch_data.DataLoader)


@pytest.mark.filterwarnings("ignore:.*datapipes:UserWarning")  # they are no longer developed
def test_pipes_are_shuffled_as_by_torch(loader_class: Any) -> None:
    from torch.utils.data.datapipes.iter import IterableWrapper

    def order(kind: Any, **options: Any) -> tuple[list[Any], str]:
        seed_all(3)
        pipe = IterableWrapper(list(range(20))).shuffle().sharding_filter()
        batches = [batch.tolist() for batch in kind(pipe, 3, shuffle=True, **options)]
        return batches, states()

    for options in ({}, FORK):
        found = order(loader_class, **options)
        assert found == order(torch_data.DataLoader, **options)
        assert sorted(k for batch in found[0] for k in batch) == list(range(20))


@pytest.mark.parametrize("options", [{}, FORK], ids=["here", "workers"])
def test_the_seed_fixes_the_order(loader_class: Any, options: dict[str, Any]) -> None:
    def order(seed: int) -> list[int]:
        torch.manual_seed(seed)
        batches = loader_class(range(100), 10, True, **options)
        return [int(k) for batch in batches for k in batch]

    first = order(1)
    assert order(1) == first
    assert order(2) != first
    assert sorted(first) == list(range(100))


@pytest.mark.parametrize("options", [{}, FORK], ids=["here", "workers"])
def test_a_generator_alone_fixes_the_order(loader_class: Any, options: dict[str, Any]) -> None:
    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(5)
        seed_all(seed)
        before = states()
        made = loader_class(range(100), 10, True, generator=generator, **options)
        found = [int(k) for batch in made for k in batch]
        assert states() == before
        return found

    first = order(1)
    assert order(2) == first
    assert first != sorted(first)


def test_reading_here_draws_one_number_and_the_order(loader_class: Any) -> None:
    seed_all(5)
    list(loader_class(range(4), 2))
    after = states()
    seed_all(5)
    torch.empty((), dtype=torch.int64).random_()
    assert states() == after


def seeds(loader: Any) -> dict[int, tuple[int, Any]]:
    """The seed of each worker, and what it drew first."""
    found: dict[int, tuple[int, Any]] = {}
    for ((worker, seed, first),) in loader:
        found.setdefault(worker, (seed, first))
    return found


def test_the_seeds_of_workers_follow_one_that_is_drawn(loader_class: Any) -> None:
    made = loader_class(Seeds(), collate_fn=plain, **FORK)
    torch.manual_seed(8)
    base = int(torch.empty((), dtype=torch.int64).random_().item())
    torch.manual_seed(8)
    first, second = seeds(made), seeds(made)
    assert [first[k][0] for k in range(2)] == [base, base + 1]
    assert second[0][0] not in (base, base + 1)
    torch.manual_seed(8)
    assert seeds(made) == first


def test_each_worker_draws_numbers_of_its_own(loader_class: Any) -> None:
    found = seeds(loader_class(Seeds(), collate_fn=plain, **FORK))
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert one != other


def test_workers_that_stay_go_on_drawing(loader_class: Any) -> None:
    made = loader_class(Seeds(), collate_fn=plain, persistent_workers=True, **FORK)
    first, second = seeds(made), seeds(made)
    for k in range(2):
        assert second[k][0] == first[k][0]
        assert second[k][1] != first[k][1]


def test_a_generator_fixes_the_seeds_of_workers(loader_class: Any) -> None:
    def once(seed: int) -> dict[int, tuple[int, Any]]:
        seed_all(seed)
        generator = torch.Generator().manual_seed(9)
        return seeds(loader_class(Seeds(), collate_fn=plain, generator=generator, **FORK))

    assert once(1) == once(2)
