"""Batches of `Augment` that are planned with those behind them are what each is alone."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed import Augment
from augfeed.executor import counted_batches
from augfeed.plan import draw_plan

POLICIES = (
    "hflip | rotate(40) | jitter(0.4, 0.4, 0.4) | normalize(0.5, 0.25)",
    "random_crop(8, padding=2) | random_erasing(p=0.7) | label_smoothing(0.1)",
    "random_resized_crop(9) | noise(0.1)",
    "trivial_augment_wide() | equalize(0.5)",
    'jitter(0.4, 0.4, 0.4, 0.1, clamp="each", hue_space="hsv") | letterbox(14)',
    "cutmix(1.0, until=2) | hflip",
)
PIXELS = np.random.default_rng(1).integers(0, 256, (24, 3, 14, 14), np.uint8)
CALLS = st.lists(
    st.tuples(
        st.sampled_from([8, 8, 8, 5, 0]),  # images
        st.sampled_from([12, 12, 12, 14]),  # their side
        st.sampled_from(["", "", "", "", "", "epoch", "set_epoch", "ids", "plan", "seed"]),
    ),
    min_size=5, max_size=14,
)  # fmt: skip


def images(count: int, side: int, k: int) -> torch.Tensor:
    return torch.from_numpy(np.roll(PIXELS, k, axis=0)[:count, :, :side, :side].copy())


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=12)
@given(calls=CALLS)
def test_a_batch_is_the_same_whatever_came_before_it(policy: str, calls: Any) -> None:
    augment = Augment(policy, num_classes=5, seed=3)
    for k, (count, side, change) in enumerate(calls):
        labels, given_images = torch.arange(count) % 5, images(count, side, k)
        more: dict[str, Any] = {}
        if change == "epoch":
            more["epoch"] = k
        elif change == "ids":
            more["ids"] = range(100, 100 + count)
        elif change == "set_epoch":
            augment.set_epoch(augment.epoch + 1)
        elif change == "plan":
            augment.plan(count, (side, side))
        elif change == "seed":
            augment.seed += 1
        first = augment.count
        found = augment(given_images, labels, **more)
        alone = Augment(policy, num_classes=5, seed=augment.seed)
        ids = {"ids": range(first, first + count), "epoch": augment.epoch} | more
        wanted = alone(given_images, labels, **ids)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert torch.equal(augment.matrices, alone.matrices)
        assert augment.last is not None and alone.last is not None
        assert np.array_equal(augment.last.ids, alone.last.ids)


@pytest.mark.parametrize("policy", POLICIES[:5])
def test_batches_that_follow_one_another_are_planned_as_one(policy: str, monkeypatch: Any) -> None:
    drawn = []

    def counting(*given: Any, **more: Any) -> Any:
        drawn.append(len(given[1]))
        return draw_plan(*given, **more)

    monkeypatch.setattr(counted_batches, "draw_plan", counting)
    augment = Augment(policy, num_classes=5)
    for k in range(31):
        augment(images(8, 12, k))
    assert drawn == [16, 32, 64, 128]


def test_no_more_is_planned_than_has_come_before(monkeypatch: Any) -> None:
    monkeypatch.setattr(counted_batches, "MOST", 24)
    augment = Augment("rotate(40)")
    for k in range(12):
        augment(images(8, 12, k))
        ahead = augment._ahead
        assert ahead is not None and ahead._ahead is not None
        assert ahead._ahead.end <= max(2 * augment.count, augment.count + 24)
    assert torch.equal(augment(images(24, 12, 0)), Augment("rotate(40)")(
        images(24, 12, 0), ids=range(96, 120)))  # fmt: skip
