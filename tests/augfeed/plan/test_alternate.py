"""Flips in every other epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from augfeed.errors import PolicyError
from augfeed.notation import format_policy, parse_policy
from augfeed.plan import BatchRows, draw_plan
from augfeed.policy import HorizontalFlip, Policy, Rotate

ALTERNATE = 'horizontal_flip(mode="alternate")'


def flipped(line: str, ids: list[int], seed: int, epoch: int) -> NDArray[np.bool_]:
    rows = BatchRows.of(np.array(ids, np.int64))
    return draw_plan(parse_policy(line), rows, seed=seed, epoch=epoch, size=(4, 6)).flip_x


@given(
    ids=st.lists(st.integers(0, 2**48 - 1), min_size=1, max_size=20),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**32 - 2),
)
def test_an_image_is_mirrored_in_every_other_epoch(ids: list[int], seed: int, epoch: int) -> None:
    now, after = (flipped(ALTERNATE, ids, seed, number) for number in (epoch, epoch + 1))
    np.testing.assert_array_equal(after, ~now)


def test_the_first_epoch_is_that_of_independent_coins() -> None:
    ids = list(range(1000))
    for seed in (0, 5, 2**64 - 1):
        first = flipped(ALTERNATE, ids, seed, 0)
        np.testing.assert_array_equal(first, flipped("hflip", ids, seed, 0))
        assert 400 < first.sum() < 600


def test_seeds_and_images_have_coins_of_their_own() -> None:
    ids = list(range(1000))
    one, other = (flipped(ALTERNATE, ids, seed, 7) for seed in (0, 1))
    assert 400 < (one != other).sum() < 600


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_share_other_than_half_does_not_alternate(p: float) -> None:
    with pytest.raises(PolicyError, match=rf"p={p!r} does not go with mode='alternate'.*leave p"):
        HorizontalFlip(p, mode="alternate")


def test_what_other_operations_draw_does_not_alternate() -> None:
    rows = BatchRows.of(np.arange(100))
    plans = [
        draw_plan(Policy([HorizontalFlip(mode=mode), Rotate(20, p=0.5)]), rows, seed=3, epoch=5,
                  size=(8, 8))
        for mode in ("random", "alternate")
    ]  # fmt: skip
    one, other = (plan.decisions["rotate"] for plan in plans)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_line_and_the_json_say_so() -> None:
    policy = parse_policy(ALTERNATE)
    assert format_policy(policy) == ALTERNATE
    assert Policy.from_json(policy.to_json()) == policy
