"""What a sampler of the caller's may give: numbers from either end, and what names no sample."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Subset, TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputError, InputIndexError, InputTypeError
from tests.augfeed.feed.test_general import COUNT, LABELS, MIXED, PIXELS, assert_same

TENSORS = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), LABELS)
DATA: dict[str, Any] = {
    "arrays": (PIXELS, LABELS),
    "TensorDataset": TENSORS,
    "Subset": Subset(TENSORS, range(COUNT)),
    "own": [TENSORS[i] for i in range(COUNT)],
}
NATIVE = ("arrays", "TensorDataset", "Subset")


def batches(data: Any, order: list[Any], policy: str = MIXED, **options: Any) -> list[Any]:
    return list(DataLoader(data, 8, policy=policy, seed=3, sampler=order, num_classes=5, **options))


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(sorted(DATA)),
    order=st.lists(st.integers(-COUNT, COUNT - 1), min_size=1, max_size=20),
    kind=st.sampled_from([int, np.int64, torch.tensor]),
)
def test_a_number_below_zero_names_the_sample_that_it_counts_to(
    name: str, order: list[int], kind: Callable[[int], Any]
) -> None:
    whole = [number % COUNT for number in order]
    found = batches(DATA[name], [kind(number) for number in order])
    assert_same(found, batches(TENSORS, whole))


@pytest.mark.parametrize("name", DATA)
def test_numbers_below_zero_name_the_samples_of_torch(name: str) -> None:
    order = [-1, 0, -COUNT, -5, 7]
    stock = next(iter(torch.utils.data.DataLoader(TENSORS, 5, sampler=order)))
    for options in ({"sampler": order}, {"batch_sampler": [order]}):
        given: dict[str, Any] = {**options, "batch_size": 5 if "sampler" in options else 1}
        loader = DataLoader(DATA[name], policy="normalize(0.0, 1.0)", seed=0, **given)
        images, labels = next(iter(loader))
        assert torch.equal(labels, stock[1])
        assert torch.equal((images * 255).round().to(torch.uint8), stock[0])


def test_numbers_below_zero_are_the_same_in_workers() -> None:
    order = [-1, 3, -2, -1, 34]
    found = batches(DATA["own"], order, num_workers=2)
    assert_same(found, batches(TENSORS, order, num_workers=2))


@pytest.mark.parametrize("number", [COUNT, -COUNT - 1, 10**9, -(10**12), np.int64(COUNT)])
@pytest.mark.parametrize("name", DATA)
def test_a_number_of_no_sample_is_an_index_error_that_names_it(name: str, number: Any) -> None:
    with pytest.raises(IndexError) as caught:
        batches(DATA[name], [0, number])
    if name in NATIVE:
        assert isinstance(caught.value, InputIndexError)
        assert f"index {number}, and the dataset has {COUNT} samples" in str(caught.value)


@pytest.mark.parametrize("item", ["a", None, 1.5, (0,), b"7"])
@pytest.mark.parametrize("name", NATIVE)
def test_what_is_no_number_is_named(name: str, item: Any) -> None:
    with pytest.raises(InputTypeError, match="the sampler gives index"):
        batches(DATA[name], [0, item])


def test_the_batches_before_a_wrong_number_come() -> None:
    loader = iter(DataLoader(TENSORS, 2, policy="hflip", sampler=[0, 1, -2, 3, 99, 0], seed=0))
    assert [next(loader)[1].tolist() for _ in range(2)] == [[0, 1], LABELS[[-2, 3]].tolist()]
    with pytest.raises(InputError, match="index 99"):
        next(loader)


def stacked(samples: list[Any]) -> Any:
    return torch.utils.data.default_collate(samples)


@pytest.mark.parametrize("options", [{}, {"views": 2}, {"num_workers": 1}, {"collate_fn": stacked}])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("name", DATA)
def test_a_batch_without_an_index_is_an_error_as_for_torch(
    name: str, at: int, options: dict[str, Any]
) -> None:
    order = [[0, 1], [2, 3]]
    order.insert(at, [])
    if name != "arrays":
        with pytest.raises(IndexError):
            list(torch.utils.data.DataLoader(DATA[name], batch_sampler=order))
    loader = DataLoader(DATA[name], batch_sampler=order, policy="hflip", seed=0, **options)
    with pytest.raises(InputIndexError, match=rf"batch {at} of the batch sampler is \[\]"):
        list(loader)
