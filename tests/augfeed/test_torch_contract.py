"""What torch's `DataLoader` promises of arguments, samplers and streams, kept by ours.

Every claim is made of torch's own class too: it is the witness that the claim is right.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import data as torch_data

import augfeed

# Seconds. A loader that waits for what never comes would otherwise hang the whole run.

NUMBERS = list(range(10))
FORK: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}


@pytest.fixture(params=[torch_data.DataLoader, augfeed.DataLoader], ids=["torch", "augfeed"])
def loader_class(request: pytest.FixtureRequest) -> Any:
    """The class under test: `Any`, as tests also give it what its annotations forbid."""
    return request.param


class Stream(torch_data.IterableDataset[int]):
    """Numbers one after the other, without a length."""

    def __init__(self, count: int = 10) -> None:
        self.count = count
        self.started = 0

    def __iter__(self) -> Iterator[int]:
        self.started += 1
        yield from range(self.count)


class Measured(Stream):
    """A stream that tells a length, true or not."""

    def __init__(self, count: int = 10, told: int = 10) -> None:
        super().__init__(count)
        self.told = told

    def __len__(self) -> int:
        return self.told


def plain(batch: Any) -> Any:
    return batch


def listed(loader: Any) -> list[Any]:
    """The batches of numbers as lists."""
    return [batch.tolist() if isinstance(batch, torch.Tensor) else batch for batch in loader]


# Arguments


def test_every_argument_is_an_attribute(loader_class: Any) -> None:
    generator, numbers = torch.Generator(), list(NUMBERS)
    made = loader_class(
        numbers, 4, False, None, None, 2, plain, False, True, 5.0, print, "fork", generator,
        prefetch_factor=3, persistent_workers=True, pin_memory_device="", in_order=False,
    )  # fmt: skip
    identical: dict[str, Any] = {"dataset": numbers, "generator": generator}
    identical |= {"collate_fn": plain, "worker_init_fn": print}
    equal: dict[str, Any] = {
        "batch_size": 4,
        "num_workers": 2,
        "pin_memory": False,
        "drop_last": True,
    }
    equal |= {"timeout": 5.0, "prefetch_factor": 3, "persistent_workers": True}
    equal |= {"pin_memory_device": "", "in_order": False}
    for name, value in identical.items():
        assert getattr(made, name) is value
    assert {name: getattr(made, name) for name in equal} == equal
    assert type(made.sampler) is torch_data.SequentialSampler
    assert type(made.batch_sampler) is torch_data.BatchSampler
    assert made.multiprocessing_context.get_start_method() == "fork"


def test_arguments_left_out_have_the_defaults_of_torch(loader_class: Any) -> None:
    witness: Any = torch_data.DataLoader
    expected = vars(witness(NUMBERS))
    made = vars(loader_class(NUMBERS))
    for name, value in expected.items():
        if "ampler" not in name:
            assert made[name] == value, name
    assert loader_class(NUMBERS, **FORK).prefetch_factor == 2
    assert loader_class(NUMBERS).multiprocessing_context is None


@pytest.mark.parametrize("shuffle", [None, False, True])
def test_shuffling_chooses_the_sampler(loader_class: Any, shuffle: bool | None) -> None:
    generator = torch.Generator()
    made = loader_class(NUMBERS, 3, shuffle, generator=generator)
    kind = torch_data.RandomSampler if shuffle else torch_data.SequentialSampler
    assert type(made.sampler) is kind
    assert made.batch_sampler.sampler is made.sampler
    assert getattr(made.sampler, "generator", generator) is generator


FIXED = ["batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"]


@pytest.mark.parametrize("name", FIXED)
def test_what_makes_the_order_cannot_be_set_afterwards(loader_class: Any, name: str) -> None:
    class Named(loader_class):  # type: ignore[misc]
        pass

    made = Named(NUMBERS)
    before = getattr(made, name)
    with pytest.raises(ValueError, match=f"{name} attribute should not be set after Named"):
        setattr(made, name, before)
    assert getattr(made, name) is before


def test_what_only_makes_the_batches_can_be_set_afterwards(loader_class: Any) -> None:
    made = loader_class(NUMBERS, 5)
    made.collate_fn = sum
    made.anything = "kept"
    assert list(made) == [10, 35]
    assert made.anything == "kept"
    made.num_workers, made.prefetch_factor = 2, 1
    made.multiprocessing_context = "fork"
    assert made.multiprocessing_context.get_start_method() == "fork"
    assert list(made) == [10, 35]
    with pytest.raises(ValueError, match="spawn"):
        made.multiprocessing_context = "thread"


REFUSED: list[tuple[type[Exception], dict[str, Any]]] = [
    (ValueError, {"num_workers": -1}),
    (TypeError, {"num_workers": None}),
    (ValueError, {"timeout": -1}),
    (ValueError, {"prefetch_factor": 2}),
    (ValueError, {"prefetch_factor": -1, "num_workers": 1}),
    (ValueError, {"persistent_workers": True}),
    (ValueError, {"sampler": [1], "shuffle": True}),
    (ValueError, {"batch_sampler": [[1]], "batch_size": 2}),
    (ValueError, {"batch_sampler": [[1]], "batch_size": None}),
    (ValueError, {"batch_sampler": [[1]], "shuffle": True}),
    (ValueError, {"batch_sampler": [[1]], "sampler": [1]}),
    (ValueError, {"batch_sampler": [[1]], "drop_last": True}),
    (ValueError, {"batch_size": None, "drop_last": True}),
    (ValueError, {"batch_size": 0}),
    (ValueError, {"batch_size": -3}),
    (ValueError, {"batch_size": 2.0}),
    (ValueError, {"batch_size": True}),
    (ValueError, {"drop_last": 3}),
    (ValueError, {"multiprocessing_context": "fork"}),
    (ValueError, {"multiprocessing_context": "thread", "num_workers": 1}),
    (TypeError, {"multiprocessing_context": 3, "num_workers": 1}),
    (ValueError, {"dataset": [], "shuffle": True}),
    (TypeError, {"dataset": object(), "shuffle": True}),
    (ValueError, {"dataset": Stream(), "shuffle": True}),
    (ValueError, {"dataset": Stream(), "sampler": [1]}),
    (ValueError, {"dataset": Stream(), "batch_sampler": [[1]]}),
    (TypeError, {"no_such_option": 1}),
]


def named(value: object) -> str:
    return str(value).partition(" at 0x")[0][:60]  # an address is another one in every process


@pytest.mark.parametrize(("kind", "options"), REFUSED, ids=named)
def test_arguments_are_refused_in_the_words_of_torch(
    loader_class: Any, kind: type[Exception], options: dict[str, Any]
) -> None:
    given = {"dataset": NUMBERS, **options}
    with pytest.raises(kind) as expected:
        torch_data.DataLoader(**given)
    with pytest.raises(kind) as found:
        loader_class(**given)
    if "no_such_option" not in options:  # those words are Python's
        assert str(found.value) == str(expected.value)


def test_a_timeout_without_workers_is_refused_by_the_iterator(loader_class: Any) -> None:
    with pytest.raises(AssertionError, match="timeout"):
        iter(loader_class(NUMBERS, timeout=1))


def test_more_workers_than_processors_are_warned_about(loader_class: Any) -> None:
    with pytest.warns(UserWarning, match="will create 4000 worker processes"):
        loader_class(NUMBERS, num_workers=4000)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="an accelerator pins memory")
@pytest.mark.parametrize("options", [{}, FORK], ids=["here", "workers"])
def test_pinning_without_an_accelerator_is_warned_about(
    loader_class: Any, options: dict[str, Any]
) -> None:
    made = loader_class(NUMBERS, 5, pin_memory=True, **options)
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accel"):
        assert listed(made) == [NUMBERS[:5], NUMBERS[5:]]


# Samplers


class Drawn:
    """A sampler without a length, which counts what was taken from it."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for k in itertools.count() if self.last is None else range(self.last):
            self.taken += 1
            yield k % 10


def test_a_sampler_is_any_iterable_and_begins_anew_with_each_epoch(loader_class: Any) -> None:
    made = loader_class(NUMBERS, 2, sampler=[3, 1, 4, 1, 5])
    assert listed(made) == listed(made) == [[3, 1], [4, 1], [5]]
    assert made.sampler == [3, 1, 4, 1, 5]
    assert len(made) == 3


def test_a_sampler_may_be_endless_and_is_read_no_further_than_needed(loader_class: Any) -> None:
    drawn = Drawn()
    iterator = iter(loader_class(NUMBERS, 4, sampler=drawn))
    assert drawn.taken == 0
    assert next(iterator).tolist() == [0, 1, 2, 3]
    assert next(iterator).tolist() == [4, 5, 6, 7]
    assert drawn.taken == 8


def test_a_sampler_without_a_length_gives_a_loader_without_one(loader_class: Any) -> None:
    made = loader_class(NUMBERS, 4, sampler=Drawn(6))
    assert listed(made) == [[0, 1, 2, 3], [4, 5]]
    with pytest.raises(TypeError, match="no len"):
        len(made)


def test_a_sampler_may_give_keys_of_any_kind(loader_class: Any) -> None:
    assert list(loader_class({"a": "x", "b": "y"}, sampler=["b", "a"])) == [["y"], ["x"]]


def test_the_last_batch_is_short_or_dropped(loader_class: Any) -> None:
    assert listed(loader_class(NUMBERS, 4))[-1] == [8, 9]
    assert listed(loader_class(NUMBERS, 4, drop_last=True))[-1] == [4, 5, 6, 7]


def test_a_batch_sampler_says_what_a_batch_is(loader_class: Any) -> None:
    made = loader_class(NUMBERS, batch_sampler=[[1], [2, 3], [9, 8, 7]])
    assert listed(made) == [[1], [2, 3], [9, 8, 7]]
    assert (made.batch_size, made.drop_last, len(made)) == (None, False, 3)
    assert made.batch_sampler == [[1], [2, 3], [9, 8, 7]]


def test_without_a_batch_size_samples_come_one_by_one(loader_class: Any) -> None:
    made = loader_class([np.full(2, k) for k in range(3)], None)
    assert [sample.tolist() for sample in made] == [[0, 0], [1, 1], [2, 2]]
    assert (made.batch_sampler, len(made)) == (None, 3)
    assert list(loader_class(["a", 2, None], batch_size=None)) == ["a", 2, None]


def test_without_a_batch_size_a_sampler_may_give_whole_batches(loader_class: Any) -> None:
    images = torch.arange(10)
    made = loader_class(images, None, sampler=[[1, 2], [3, 4]], collate_fn=plain)
    assert listed(made) == [[1, 2], [3, 4]]


def test_a_distributed_sampler_splits_and_reorders(loader_class: Any) -> None:
    def order(rank: int, epoch: int) -> list[int]:
        kind: Any = torch_data.DistributedSampler
        sampler = kind(NUMBERS, 2, rank)
        sampler.set_epoch(epoch)
        batches = listed(loader_class(NUMBERS, 2, sampler=sampler))
        return [k for batch in batches for k in batch]

    assert sorted(order(0, 0) + order(1, 0)) == NUMBERS
    assert order(0, 0) != order(0, 1)


class AtOnce(torch_data.Dataset[int]):
    """Gives the samples of a batch in one call, and none alone."""

    def __len__(self) -> int:
        return 10

    def __getitems__(self, indices: list[int]) -> list[int]:
        return [k * k for k in indices]


def test_a_dataset_that_gives_many_at_once_is_asked_for_many(loader_class: Any) -> None:
    assert listed(loader_class(AtOnce(), 5)) == [[0, 1, 4, 9, 16], [25, 36, 49, 64, 81]]
    assert listed(loader_class(torch_data.Subset(AtOnce(), [3, 2]), 5)) == [[9, 4]]


# Lengths and streams


@pytest.mark.parametrize("source", [NUMBERS, Measured()], ids=["map", "stream"])
@pytest.mark.parametrize("size", [None, 1, 3, 5, 10, 11])
@pytest.mark.parametrize("drop_last", [False, True])
def test_length_is_the_number_of_batches_that_come(
    loader_class: Any, source: Any, size: int | None, drop_last: bool
) -> None:
    made = loader_class(source, size, drop_last=drop_last and size is not None)
    assert len(made) == len(list(made))
    if source is NUMBERS:
        assert len(iter(made)) == len(made)


def test_a_stream_without_a_length_gives_a_loader_without_one(loader_class: Any) -> None:
    with pytest.raises(TypeError, match="no len"):
        len(loader_class(Stream(), 4))


def test_a_stream_longer_than_its_length_is_warned_about_once_asked(loader_class: Any) -> None:
    made = loader_class(Measured(10, told=9), None)
    assert list(made) == NUMBERS
    assert len(made) == 9
    with pytest.warns(UserWarning, match=r"reported to be 9.*but 10 samples have been fetched"):
        assert list(made) == NUMBERS


def test_a_stream_is_cut_into_batches_and_begun_anew_with_each_epoch(loader_class: Any) -> None:
    stream = Stream()
    made = loader_class(stream, 4, shuffle=False)
    assert listed(made) == listed(made) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert listed(loader_class(stream, 4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert listed(loader_class(stream, None)) == NUMBERS
    assert stream.started == 4


def test_an_empty_dataset_gives_no_batch(loader_class: Any) -> None:
    assert list(loader_class([], 3)) == list(loader_class(Stream(0), 3)) == []
