from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from augfeed.plan import CUTMIX, GROUP, MIXUP, NONE, BatchRows, Mixes, draw_plan
from augfeed.plan.mixing import partners
from augfeed.policy import CutMix, Mixup, OneOf, Policy

SIZE = (31, 45)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_nobody_is_their_own_partner_but_who_is_alone(count: int, epoch: int) -> None:
    rows = BatchRows.of(range(count))
    found, paired = partners(0, epoch, rows)
    alone = count % GROUP == 1
    assert paired.tolist() == [True] * (count - alone) + [False] * alone
    assert (found[paired] != np.flatnonzero(paired)).all()
    assert (found[~paired] == np.flatnonzero(~paired)).all()
    assert (rows.groups[found] == rows.groups).all()
    assert sorted(found) == list(range(count)), "everybody is somebody's partner once"


@pytest.mark.parametrize("members", range(2, GROUP + 1))
def test_partner_is_uniform_over_the_others_of_a_group_of(members: int) -> None:
    rows = BatchRows.of(range(members))
    drawn = np.array([partners(0, epoch, rows)[0] for epoch in range(600)])
    for slot in range(members):
        counts = np.bincount(drawn[:, slot], minlength=members)
        assert counts[slot] == 0
        others = np.delete(counts, slot)
        assert members == 2 or stats.chisquare(others).pvalue > 1e-4


def test_group_of_one_is_left_as_it_is() -> None:
    mixes = mixes_of(Mixup(), GROUP + 1)
    assert (mixes.mode[:GROUP] == MIXUP).all()
    assert (mixes.mode[-1], mixes.partner[-1], mixes.lam[-1]) == (NONE, GROUP, 1.0)


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 4.0])
def test_mixup_lambda_follows_beta(alpha: float) -> None:
    lam = mixes_of(Mixup(alpha), 16_000).lam.astype(np.float64)
    assert lam.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.04)
    law = stats.beta(alpha, alpha)
    lower = lam[lam < 0.5]
    assert stats.kstest(lower, lambda x: law.cdf(x) * 2).pvalue > 1e-3


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), alpha=st.sampled_from([0.1, 1.0, 5.0]))
def test_cutmix_lambda_is_the_share_of_pixels_counted_outside_the_box(
    height: int, width: int, alpha: float
) -> None:
    mixes = mixes_of(CutMix(alpha), 24, size=(height, width))
    for lam, (top, left, bottom, right) in zip(mixes.lam, mixes.patch, strict=True):
        image = np.zeros((height, width), bool)
        image[top:bottom, left:right] = True
        assert 0 <= top <= bottom <= height
        assert 0 <= left <= right <= width
        assert lam == np.float32(1 - image.sum() / image.size)


def test_cutmix_box_has_the_sides_of_the_drawn_lambda() -> None:
    drawn = mixes_of(CutMix(correct_lambda=False), 8000, size=(1000, 2000))
    top, left, bottom, right = drawn.patch.T.astype(np.int64)
    inner = (top > 0) & (left > 0) & (bottom < 1000) & (right < 2000)
    side = np.sqrt(1 - drawn.lam[inner].astype(np.float64))
    assert np.abs((bottom - top)[inner] - 1000 * side).max() <= 1.001
    assert np.abs((right - left)[inner] - 2000 * side).max() <= 1.001
    assert ((bottom - top)[inner] <= 1000 * side + 1e-3).all(), "rounded down"


def test_cutmix_box_ends_at_the_border_about_a_uniform_centre() -> None:
    mixes = mixes_of(CutMix(correct_lambda=False), 40_000, size=(16, 16))
    cut = np.floor(16 * np.sqrt(1 - mixes.lam.astype(np.float64))).astype(int)
    top, _, bottom, _ = mixes.patch.T
    known = (cut > 0) & (cut <= 8)
    centre = np.where(top > 0, top + cut // 2, bottom - cut + cut // 2)[known]
    assert stats.chisquare(np.bincount(centre, minlength=16)).pvalue > 1e-4


def test_lambda_that_is_not_corrected_stays_the_drawn_one() -> None:
    drawn = mixes_of(CutMix(correct_lambda=False), 8000).lam
    counted = mixes_of(CutMix(), 8000).lam
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3
    assert (counted >= drawn - 1e-6).all(), "clipping and rounding only take from the box"
    assert counted.mean() == pytest.approx(0.69, abs=0.03)


def test_correcting_lambda_moves_no_box() -> None:
    drawn, counted = mixes_of(CutMix(correct_lambda=False), 80), mixes_of(CutMix(), 80)
    assert (drawn.patch == counted.patch).all()


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 1000.0])
@pytest.mark.parametrize("cls", [Mixup, CutMix])
def test_extreme_alpha_gives_lambdas_from_0_to_1(cls: Any, alpha: float) -> None:
    mixes = mixes_of(cls(alpha), 800)
    assert np.isfinite(mixes.lam).all()
    assert (mixes.lam >= 0).all()
    assert (mixes.lam <= 1).all()


def test_box_of_lambda_zero_covers_the_centre_quarter_at_least() -> None:
    # With a tiny alpha the box is nothing or as large as the image, clipped about its center.
    mixes = mixes_of(CutMix(1e-9), 800, size=(20, 20))
    area = (mixes.patch[:, 2:] - mixes.patch[:, :2]).prod(axis=1)
    assert set(np.unique(area > 0)) == {False, True}
    assert area[area > 0].min() >= 100


@pytest.mark.parametrize("cls", [Mixup, CutMix])
def test_per_batch_gives_a_batch_one_lambda_and_box(cls: Any) -> None:
    mixes = mixes_of(cls(per="batch", alpha=0.7), 24)
    assert len(np.unique(mixes.lam)) == 1
    assert len(np.unique(mixes.patch, axis=0)) == 1
    per_sample = mixes_of(cls(alpha=0.7), 24)
    assert len(np.unique(per_sample.lam)) > 10


def test_per_batch_decides_for_the_batch_at_once_whether_to_mix() -> None:
    policy = Policy([Mixup(per="batch", p=0.5)])
    order, mixed = np.arange(2000), []
    for start in range(0, 2000, 10):
        rows = BatchRows.at(np.arange(start, start + 10), order, mixing=True)
        modes = draw_plan(policy, rows, seed=0, epoch=0, size=SIZE).mixes.mode
        assert len(np.unique(modes)) == 1
        mixed.append(int(modes[0]) == MIXUP)
    assert 70 < sum(mixed) < 130


def test_batches_of_one_lambda_each_differ() -> None:
    policy, order = Policy([Mixup(per="batch", alpha=1.0)]), np.arange(800)
    drawn = [
        draw_plan(policy, BatchRows.at(np.arange(start, start + 8), order, mixing=True),
                  seed=0, epoch=0, size=SIZE).mixes.lam[0]
        for start in range(0, 800, 8)
    ]  # fmt: skip
    assert len(set(drawn)) == 100
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


def test_one_of_chooses_by_weights_then_by_p() -> None:
    chooser = OneOf((Mixup(p=0.5), CutMix()), weights=(3, 1), p=0.8)
    counts = np.bincount(mixes_of(chooser, 40_000).mode, minlength=3) / 40_000
    shares = {MIXUP: 0.8 * 0.75 * 0.5, CUTMIX: 0.8 * 0.25}
    for mode, share in shares.items():
        assert counts[mode] == pytest.approx(share, abs=0.01)
    assert counts[NONE] == pytest.approx(1 - sum(shares.values()), abs=0.01)


@pytest.mark.parametrize(("weights", "mode"), [((1, 0), MIXUP), ((0, 2), CUTMIX)])
def test_weight_of_zero_is_never_chosen(weights: tuple[float, ...], mode: int) -> None:
    mixes = mixes_of(OneOf((Mixup(), CutMix()), weights=weights), 4000)
    assert (mixes.mode == mode).all()


def test_one_of_without_weights_chooses_evenly() -> None:
    mode = mixes_of(OneOf((Mixup(), CutMix(), Mixup(1.0))), 30_000).mode
    assert (mode == MIXUP).mean() == pytest.approx(2 / 3, abs=0.015)


def test_p_is_the_share_of_samples_that_are_mixed() -> None:
    mixed = mixes_of(Mixup(p=0.3), 20_000).mode == MIXUP
    assert stats.binomtest(int(mixed.sum()), 20_000, 0.3).pvalue > 1e-4


def test_row_that_is_not_mixed_has_its_own_label() -> None:
    mixes = mixes_of(OneOf((Mixup(p=0.5), CutMix(p=0.5))), 800)
    plain = mixes.mode == NONE
    assert plain.any()
    assert (mixes.lam[plain] == 1).all()
    assert (mixes.patch[plain] == 0).all()


def mixes_of(mixer: Any, count: int, size: tuple[int, int] = SIZE) -> Mixes:
    rows = BatchRows.of(np.arange(count))
    return draw_plan(Policy([mixer]), rows, seed=11, epoch=0, size=size).mixes
