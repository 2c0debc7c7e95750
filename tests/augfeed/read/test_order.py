"""The order of an epoch and its division among steps and ranks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from augfeed.errors import InputError, InputTypeError
from augfeed.kernels.sort_keys import fill_order
from augfeed.read.order import batch_positions, epoch_order, steps_per_epoch


def gather(length: int, batch_size: int, world: int, drop_last: bool) -> list[list[np.ndarray]]:
    return [
        [batch_positions(length, batch_size=batch_size, step=step, rank=rank, world=world,
                         drop_last=drop_last) for rank in range(world)]
        for step in range(steps_per_epoch(length, batch_size, world=world, drop_last=drop_last))
    ]  # fmt: skip


@settings(deadline=None)  # the first call compiles
@given(length=st.integers(1, 300), batch_size=st.integers(1, 40), world=st.integers(1, 9))
def test_ranks_cover_the_epoch_with_fewer_repeats_than_ranks(
    length: int, batch_size: int, world: int
) -> None:
    steps = gather(length, batch_size, world, drop_last=False)
    for ranks in steps:
        assert len({len(batch) for batch in ranks}) == 1
        assert 1 <= len(ranks[0]) <= batch_size
    together = np.concatenate([batch for ranks in steps for batch in ranks])
    assert len(together) - length < world
    np.testing.assert_array_equal(together, np.arange(len(together)) % length)
    if length % world == 0:
        assert len(together) == length


@settings(deadline=None)  # the first call compiles
@given(length=st.integers(1, 300), batch_size=st.integers(1, 40), world=st.integers(1, 9))
def test_drop_last_gives_full_batches_without_repeats(
    length: int, batch_size: int, world: int
) -> None:
    steps = gather(length, batch_size, world, drop_last=True)
    assert all(len(batch) == batch_size for ranks in steps for batch in ranks)
    together = np.array([p for ranks in steps for batch in ranks for p in batch])
    np.testing.assert_array_equal(together, np.arange(len(together)))
    assert 0 <= length - len(together) < batch_size * world


@settings(deadline=None)  # the first call compiles
@given(length=st.integers(1, 500), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**32 - 1))
def test_a_shuffled_order_is_a_permutation(length: int, seed: int, epoch: int) -> None:
    order = epoch_order(length, seed=seed, epoch=epoch, shuffle=True)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    first = epoch_order(1000, seed=3, epoch=5, shuffle=True)
    np.testing.assert_array_equal(first, epoch_order(1000, seed=3, epoch=5, shuffle=True))
    for seed, epoch in ((4, 5), (3, 6), (5, 3)):
        other = epoch_order(1000, seed=seed, epoch=epoch, shuffle=True)
        assert np.mean(first == other) < 0.01


def test_an_order_without_shuffle_counts_up() -> None:
    np.testing.assert_array_equal(epoch_order(7, seed=1, epoch=2, shuffle=False), np.arange(7))


@pytest.mark.parametrize("length", [1, 2, 3, 1000, 9000])
@pytest.mark.parametrize("kinds", [1, 7, 2**63])
def test_equal_keys_stay_in_order(length: int, kinds: int) -> None:
    drawn = np.random.default_rng(length).integers(0, kinds, length, np.uint64)
    keys = drawn * np.uint64(2**64 // (kinds + 1))
    order = np.empty(length, np.int64)
    fill_order(keys, order)
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("place", [0, 4])
def test_every_sample_is_equally_likely_at_a_place(place: int) -> None:
    length, epochs = 7, 4200
    orders = [epoch_order(length, seed=11, epoch=e, shuffle=True) for e in range(epochs)]
    counts = np.bincount([order[place] for order in orders], minlength=length)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_every_order_of_three_is_equally_likely() -> None:
    orders = [tuple(epoch_order(3, seed=1, epoch=e, shuffle=True)) for e in range(3000)]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is not 1 or more"),
        ({"world": 0}, "world=0 is not 1 or more"),
        ({"rank": 2}, "rank=2 is not below world=2"),
        ({"rank": -1}, "rank=-1 is not 0 or more"),
        ({"step": 3}, r"step=3 is not below 3, the steps of an epoch of 10 samples"),
        ({"step": -1}, "step=-1 is not 0 or more"),
        ({"length": 0}, "length=0 is not 1 or more"),
        ({"batch_size": 16, "drop_last": True, "step": 0}, "reduce batch_size, or use drop_last"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"length": 10, "batch_size": 2, "step": 0, "world": 2} | change
    with pytest.raises(InputError, match=message):
        batch_positions(arguments.pop("length"), **arguments)


def test_a_fraction_is_no_batch_size() -> None:
    with pytest.raises(InputTypeError, match=r"batch_size=2\.5 is not an integer"):
        steps_per_epoch(10, 2.5)  # type: ignore[arg-type]


def test_a_seed_out_of_range_is_named() -> None:
    with pytest.raises(InputError, match="seed=-1"):
        epoch_order(4, seed=-1, epoch=0, shuffle=False)
