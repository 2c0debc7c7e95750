"""What a study takes for a gain: intervals, moderated variances, many comparisons."""

import numpy as np
import pytest
from scipy import stats

from augfeed_trainer.study.statistics import RATE, crossed, gains, moderated


@pytest.fixture
def draws() -> np.random.Generator:
    """The same draws for each test, whichever ran before."""
    return np.random.Generator(np.random.Philox(7))


def test_the_interval_of_one_comparison_is_that_of_a_paired_t_test() -> None:
    differences = [0.02, 0.035, 0.01, 0.03]
    found = gains({"a": differences})["a"]
    expected = stats.ttest_1samp(differences, 0)
    interval = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-4)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3)
    assert found.helps and not found.harms


def test_one_seed_says_nothing() -> None:
    found = gains({"a": [1.0], "b": [2.0]})
    assert not any(one.helps or one.harms for one in found.values())


def test_equal_differences_are_no_surer_than_one_image() -> None:
    one, two = (gains({"a": [0.01] * 3}, resolution=step)["a"] for step in (0.0, 0.05))
    assert one.helps and not two.helps
    assert not gains({"a": [0.0] * 4})["a"].helps


def test_p_values_are_adjusted_for_all_that_were_candidates(draws: np.random.Generator) -> None:
    groups = {f"{k}": draws.normal(0.01 * k, 0.01, 4).tolist() for k in range(5)}
    found = gains(groups)
    raw = [one.p for one in found.values()]
    expected = stats.false_discovery_control(raw)
    assert [one.adjusted for one in found.values()] == pytest.approx(expected.tolist())
    more = gains(groups, family=50)
    assert all(more[name].adjusted >= found[name].adjusted for name in groups)


def test_variances_that_are_alike_are_pooled_and_others_keep_their_own(
    draws: np.random.Generator,
) -> None:
    freedom = np.full(200, 3)
    alike = draws.chisquare(3, 200) / 3
    pooled = moderated(alike, freedom)
    assert np.ptp(pooled.variances) < 0.5 * np.ptp(alike)
    assert pooled.variances.mean() == pytest.approx(1.0, rel=0.15)
    scales = 10.0 ** draws.uniform(-3, 3, 200)
    own = moderated(alike * scales, freedom)
    assert np.corrcoef(np.log(own.variances), np.log(alike * scales))[0, 1] > 0.95
    assert own.freedom.max() < 6 < pooled.freedom.min()


@pytest.mark.parametrize("spread", ["equal", "of their own"])
def test_studies_of_nothing_find_something_as_often_as_is_said(
    spread: str, draws: np.random.Generator
) -> None:
    studies, wrong = 600, 0
    for _ in range(studies):
        scales = np.ones(20) if spread == "equal" else np.exp(draws.normal(0, 0.4, 20))
        shared = draws.normal(0, 0.5, 4)  # all are compared with the same plain runs
        groups = {f"{k}": (draws.normal(0, scale, 4) + shared).tolist()
                  for k, scale in enumerate(scales)}  # fmt: skip
        wrong += any(one.helps for one in gains(groups).values())
    assert wrong / studies <= RATE / 2 + 0.015


def test_real_gains_are_found_and_few_others(draws: np.random.Generator) -> None:
    good, wrong = 0, []
    for _ in range(100):
        groups = {f"{k}": draws.normal(0, 0.006, 4).tolist() for k in range(20)}
        groups |= {f"good {k}": draws.normal(0.025, 0.006, 4).tolist() for k in range(4)}
        found = [name for name, one in gains(groups).items() if one.helps or one.harms]
        right = sum(name.startswith("good") for name in found)
        good, wrong = good + right, [*wrong, (len(found) - right) / max(1, len(found))]
    assert good >= 395 and np.mean(wrong) <= RATE


def test_the_gain_on_the_test_part_covers_other_seeds_and_other_images(
    draws: np.random.Generator,
) -> None:
    hits = 0
    for _ in range(300):
        seed, image = draws.normal(0, 0.3, (4, 1)), draws.normal(0, 1.5, (1, 60))
        found = crossed(0.1 + seed + image + draws.normal(0, 1, (4, 60)))
        hits += found.low <= 0.1 <= found.high
    assert hits / 300 >= 0.85
    alone = crossed(np.array([[0.0, 1.0, 1.0, 0.0]] * 3))
    assert alone.low < 0.5 < alone.high and not alone.helps
    assert crossed(np.ones((1, 5))).p == 1.0
