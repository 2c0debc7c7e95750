"""The batches of torch's `DataLoader`, their errors and their iterators, kept by ours.

Every claim is made of torch's own class too: it is the witness that the claim is right.
"""

import copy
import pickle
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils import data as torch_data

import augfeed

# Seconds. A loader that waits for what never comes would otherwise hang the whole run.

NUMBERS = list(range(10))


@pytest.fixture(params=[torch_data.DataLoader, augfeed.DataLoader], ids=["torch", "augfeed"])
def loader_class(request: pytest.FixtureRequest) -> Any:
    """The class under test: `Any`, as tests also give it what its annotations forbid."""
    return request.param


class Point(NamedTuple):
    x: int
    y: float


def plain(batch: Any) -> Any:
    return batch


def listed(loader: Any) -> list[Any]:
    """The batches of numbers as lists."""
    return [batch.tolist() for batch in loader]


# Collation


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (3, torch.tensor([3, 3])),
        (0.5, torch.tensor([0.5, 0.5], dtype=torch.float64)),
        (True, torch.tensor([True, True])),
        ("a", ["a", "a"]),
        (b"a", [b"a", b"a"]),
        (np.float32(2), torch.tensor([2.0, 2.0])),
        (np.arange(2, dtype=np.uint8), torch.tensor([[0, 1]] * 2, dtype=torch.uint8)),
        (torch.ones(2), torch.ones(2, 2)),
        ((1, "a"), [torch.tensor([1, 1]), ("a", "a")]),
        ([1, (2, 3)], [torch.tensor([1, 1]), [torch.tensor([2, 2]), torch.tensor([3, 3])]]),
        ({"k": 1, "n": {"m": "a"}}, {"k": torch.tensor([1, 1]), "n": {"m": ["a", "a"]}}),
        (Point(1, 2.0), Point(torch.tensor([1, 1]), torch.tensor([2.0, 2.0]).double())),  # type: ignore[arg-type]
    ],
    ids=lambda value: str(value)[:30],
)
def test_samples_are_stacked_in_the_shape_they_have(
    loader_class: Any, sample: Any, expected: Any
) -> None:
    (batch,) = loader_class([sample] * 2, 2)
    assert same(batch, expected)


def same(one: Any, other: Any) -> bool:
    """Whether both are equal in type and value, however nested."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize(
    ("samples", "kind", "message"),
    [
        ([None, None], TypeError, "NoneType"),
        ([object(), object()], TypeError, "object"),
        ([torch.ones(2), torch.ones(3)], RuntimeError, "equal size"),
        ([(1, 2), (1,)], RuntimeError, "equal size"),
        ([np.array(["a"])] * 2, TypeError, "U1"),
    ],
    ids=["none", "object", "tensors", "tuples", "texts"],
)
def test_samples_that_do_not_stack_are_refused(
    loader_class: Any, samples: list[Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        list(loader_class(samples, 2))


def test_an_own_collation_gets_the_samples_and_gives_anything(loader_class: Any) -> None:
    assert list(loader_class(NUMBERS, 5, collate_fn=frozenset)) == [
        frozenset(NUMBERS[:5]),
        frozenset(NUMBERS[5:]),
    ]
    assert list(loader_class(["ab", "cd"], None, collate_fn=str.upper)) == ["AB", "CD"]
    assert list(loader_class([None] * 2, 2, collate_fn=plain)) == [[None, None]]


# Iterators


def test_an_iterator_that_is_over_stays_over(loader_class: Any) -> None:
    iterator = iter(loader_class(NUMBERS, 5))
    assert iter(iterator) is iterator
    assert len(listed(iterator)) == 2
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


def test_iterators_of_one_loader_are_apart(loader_class: Any) -> None:
    made = loader_class(NUMBERS, 5, shuffle=True)
    pairs = [[one.tolist() for one in pair] for pair in zip(made, made, strict=True)]
    for k in range(2):
        assert sorted(pairs[0][k] + pairs[1][k]) == NUMBERS
    nested = [(a.tolist(), b.tolist()) for a in made for b in made]
    assert len(nested) == 4


def test_an_iterator_lives_longer_than_its_loader(loader_class: Any) -> None:
    made = loader_class(NUMBERS, 5)
    iterator = iter(made)
    gone = weakref.ref(made)
    del made
    assert gone() is None  # at once: a dataset's memory is not left to the garbage collector
    assert listed(iterator) == [NUMBERS[:5], NUMBERS[5:]]


def test_nothing_is_read_before_the_first_batch_is_asked_for(loader_class: Any) -> None:
    class Refuses(torch_data.Dataset[int]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> int:
            raise ValueError("read")

    iterator = iter(loader_class(Refuses()))
    with pytest.raises(ValueError, match="read"):
        next(iterator)


# The class


def test_the_class_is_one_of_torch(loader_class: Any) -> None:
    assert issubclass(loader_class, torch_data.DataLoader)
    assert isinstance(loader_class(NUMBERS), torch_data.DataLoader)


def test_the_class_says_what_it_gives(loader_class: Any) -> None:
    made = loader_class[int](NUMBERS, 5)
    assert type(made) is loader_class
    assert listed(made) == [NUMBERS[:5], NUMBERS[5:]]


def test_a_subclass_may_have_arguments_and_iteration_of_its_own(loader_class: Any) -> None:
    class Doubled(loader_class):  # type: ignore[misc]
        def __init__(self, dataset: Any, factor: int, **options: Any) -> None:
            self.factor = factor
            super().__init__(dataset, **options)

        def __iter__(self) -> Iterator[Any]:
            return (batch * self.factor for batch in super().__iter__())

    assert listed(Doubled(NUMBERS[:4], 2, batch_size=2)) == [[0, 2], [4, 6]]


def pickled(loader: Any) -> Any:
    return pickle.loads(pickle.dumps(loader))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_gives_the_same_in_the_same_order(
    loader_class: Any, copied: Callable[[Any], Any]
) -> None:
    made = loader_class(NUMBERS, 3, True, generator=torch.Generator(), drop_last=True)
    next(iter(made))
    state = made.generator.get_state()
    other = copied(made)
    assert type(other) is loader_class
    assert (other.batch_size, other.drop_last, len(other)) == (3, True, 3)
    first = listed(made)
    other.generator.set_state(state)  # `copy.copy` shares it
    assert listed(other) == first
    with pytest.raises(ValueError, match="should not be set"):
        other.batch_size = 4


def test_an_iterator_cannot_be_pickled(loader_class: Any) -> None:
    with pytest.raises(NotImplementedError, match="pickle"):
        pickle.dumps(iter(loader_class(NUMBERS)))


def test_datasets_of_torch_are_read(loader_class: Any) -> None:
    def batches(dataset: Any) -> list[Any]:
        return [[part.tolist() for part in batch] for batch in loader_class(dataset, 2)]

    pairs = torch_data.TensorDataset(torch.arange(4), torch.arange(4) * 10)
    assert batches(pairs) == [[[0, 1], [0, 10]], [[2, 3], [20, 30]]]
    assert batches(torch_data.Subset(pairs, [3, 0])) == [[[3, 0], [30, 0]]]
    assert batches(torch_data.ConcatDataset([pairs, pairs])) == 2 * batches(pairs)
    columns: list[Any] = [range(4), range(0, 40, 10)]
    assert batches(torch_data.StackDataset(*columns)) == batches(pairs)
    (half, _) = torch_data.random_split(pairs, [2, 2], torch.Generator().manual_seed(1))
    assert len(batches(half)) == 1
