import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console
from scipy import stats

from augfeed import philox
from augfeed.doctor import FAMILIES, laws, machine, repeats, report, self_test
from augfeed.doctor.check import Check, Lab
from augfeed.doctor.programs import programs
from augfeed.doctor.statistics import arcsine, beta, chi_square, kolmogorov_smirnov, normal, uniform
from augfeed.errors import InputError
from augfeed.kernels.noise import pixel_numbers
from augfeed.plan import GROUP, BatchRows, mixing
from augfeed.policy import CutMix
from augfeed.read.order import epoch_order
from tests.sampling import slow

SAMPLES = 20_000
Ids = NDArray[np.int64]
# The lawful ones, kept while a test puts a broken one in their place.
words, uniforms, draw, beta_draws = philox.words, philox.uniforms, philox.draw, philox.beta
normal_quantiles, draw_mixes = philox.normal_quantiles, mixing.draw_mixes


@pytest.mark.parametrize("seed", [0, slow(1), slow(2**63)])
def test_draws_pass_for_any_seed(seed: int) -> None:
    checks = self_test(SAMPLES, seed=seed)
    assert not [check for check in checks if not check.passed]
    assert len({check.name for check in checks}) == len(checks) > 40


def test_self_test_gives_the_same_numbers_every_time() -> None:
    assert self_test(4000, seed=5) == self_test(4000, seed=5)


def biased(drawn: NDArray[np.uint32]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = uniforms(drawn) ** 1.06
    return result


def biased_draw(*given: Any) -> NDArray[np.float64]:
    result: NDArray[np.float64] = draw(*given) ** 1.06
    return result


def same_in_every_epoch(seed: int, epoch: int, *rest: Any) -> NDArray[np.float64]:
    return draw(seed, 0, *rest)


def ids_of_32_bits(seed: int, epoch: int, ids: Ids, requests: Any) -> NDArray[np.float64]:
    return draw(seed, epoch, ids & (2**32 - 1), requests)


def seed_of_32_bits(seed: int, *rest: Any) -> NDArray[np.float64]:
    return draw(seed & (2**32 - 1), *rest)


def wrong_word(*given: Any) -> NDArray[np.uint32]:
    return words(*given) ^ np.uint32(1)


def everybody_alone(seed: int, epoch: int, rows: BatchRows) -> tuple[Ids, NDArray[np.bool_]]:
    return np.arange(len(rows)), np.ones(len(rows), np.bool_)


def next_one(seed: int, epoch: int, rows: BatchRows) -> tuple[Ids, NDArray[np.bool_]]:
    every = np.arange(len(rows))
    return every // GROUP * GROUP + (every + 1) % GROUP, np.ones(len(rows), np.bool_)


def within_the_batch(places: Ids, order: Ids, *, mixing: bool) -> BatchRows:
    return BatchRows.of(order[places])


def other_alpha(seed: int, epoch: int, ids: Ids, stream: int, alpha: float) -> Any:
    return beta_draws(seed, epoch, ids, stream, alpha * 1.2)


def mixed_by_other_alpha(mixer: Any, *given: Any) -> mixing.Mixes:
    return draw_mixes(replace(mixer, alpha=mixer.alpha * 1.2), *given)


def drawn_lambda(mixer: Any, *given: Any) -> mixing.Mixes:
    drawn = {"correct_lambda": False} if isinstance(mixer, CutMix) else {}
    return draw_mixes(replace(mixer, **drawn), *given)


def box_inside(mixer: Any, draws: Any, *given: Any) -> mixing.Mixes:
    centre = draws.of(mixer)[4:6]
    centre[:] = 0.2 + 0.6 * centre
    return draw_mixes(mixer, draws, *given)


def wide_quantiles() -> NDArray[np.float32]:
    return normal_quantiles() * np.float32(1.1)


def repeated_numbers(count: int, plane: int, key: Any) -> Any:
    return pixel_numbers(count // 2, plane, key).repeat(2)


def hardly_shuffled(length: int, **options: Any) -> Ids:
    order = epoch_order(length, **options)
    return np.argsort(np.argsort(order) + 3 * np.arange(length))


def with_replacement(length: int, **options: Any) -> Ids:
    return np.maximum(epoch_order(length, **options), 1)


# What is broken, how, the checks that look at it, and those of them that fail.
Family = Callable[[Lab], Iterator[Check]]
BROKEN: list[tuple[list[str], Callable[..., Any], list[Family], set[str]]] = [
    (["plan.draws.draw"], biased_draw, [laws.geometry, laws.colors, laws.holes],
     {"rotate", "brightness", "hue", "cutout center y", "shear"}),
    (["plan.program_draws.draw"], biased_draw, [programs],
     {"trivial_augment step", "trivial_augment bin", "rand_augment steps"}),
    (["plan.windows.draw"], biased_draw, [laws.crops], {"crop area", "crop top"}),
    (["philox.uniforms"], biased, [laws.words], {"uniforms", "two epochs"}),
    (["plan.draws.draw", "plan.windows.draw"], same_in_every_epoch, [repeats.distinct],
     {"epochs 0 and 1"}),
    (["plan.windows.draw"], same_in_every_epoch, [repeats.distinct], {"epochs 0 and 1"}),
    (["plan.draws.draw"], ids_of_32_bits, [repeats.distinct], {"samples"}),
    (["plan.windows.draw"], seed_of_32_bits, [repeats.distinct], {"seeds"}),
    (["philox.words"], wrong_word, [repeats.answers], {"philox"}),
    (["plan.mixing.partners"], everybody_alone, [laws.mixing], {"own partner", "partners"}),
    (["plan.mixing.partners"], next_one, [laws.mixing], {"partners"}),
    (["doctor.repeats.BatchRows.at"], within_the_batch, [repeats.partition], {"plans"}),
    (["plan.draw_mixes"], mixed_by_other_alpha, [laws.mixing],
     {"mixup lambda, alpha=1", "cutmix drawn lambda"}),
    (["philox.beta"], other_alpha, [laws.mixing], {"lambda, alpha=0.2"}),
    (["plan.draw_mixes"], drawn_lambda, [laws.mixing], {"cutmix lambda"}),
    (["plan.draw_mixes"], box_inside, [laws.mixing], {"cutmix center y", "cutmix center x"}),
    (["philox.normal_quantiles"], wide_quantiles, [laws.pixels], {"noise"}),
    (["doctor.laws.pixel_numbers"], repeated_numbers, [laws.pixels], {"noise of a pixel"}),
    (["doctor.laws.epoch_order"], hardly_shuffled, [laws.order], {"place in the order"}),
    (["doctor.laws.epoch_order"], with_replacement, [laws.order], {"shuffled order"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("places", "broken", "families", "names"), BROKEN, ids=[row[1].__name__ for row in BROKEN]
)
def test_broken_draw_is_found(
    places: list[str],
    broken: Callable[..., Any],
    families: list[Family],
    names: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for place in places:
        monkeypatch.setattr(f"augfeed.{place}", broken)
    lab = Lab(SAMPLES, 0)
    checks = [check for family in families for check in family(lab)]
    failed = {check.name: check for check in checks if not check.passed}
    assert names <= failed.keys()
    assert all(failed[name].note for name in names)


def test_every_family_of_checks_was_seen_to_fail() -> None:
    assert {family for _, _, families, _ in BROKEN for family in families} == set(FAMILIES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 3999}, "samples=3999 are too few: draw at least 4000"),
        ({"seed": -1}, r"seed=-1 is not in \[0, 2\*\*64\)"),
    ],
    ids=str,
)
def test_impossible_self_test_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        self_test(**arguments)


def test_report_shows_machine_and_checks_and_success() -> None:
    text, passed = printed()
    assert passed
    assert "PyTorch" in text
    assert "checks passed" in text
    assert "[0.08, 0.5]" in text
    assert "failed" not in text


def test_report_names_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augfeed.plan.mixing.partners", everybody_alone)
    text, passed = printed()
    assert not passed
    assert "checks failed: own partner, partners" in text


def test_machine_names_what_is_missing_and_how_to_get_it() -> None:
    said = dict(machine())
    assert int(said["CPU cores usable"]) >= 1
    assert said["engine cpu"].startswith("yes")
    assert said["engine portable"].startswith(("yes", "no: pip install 'augfeed["))
    assert said["DALI"].startswith(("yes", "no: pip install 'augfeed["))
    assert "only the crop" in said["JPEG"] or "whole: " in said["JPEG"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=80, max_size=300))
def test_kolmogorov_smirnov_is_that_of_scipy(sample: list[float]) -> None:
    distance, p_value = kolmogorov_smirnov(sample, uniform(0, 1))
    expected = stats.kstest(sample, "uniform")
    assert distance == pytest.approx(expected.statistic, abs=1e-12)
    assert p_value == pytest.approx(expected.pvalue, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 99), min_size=2, max_size=50).filter(any))
def test_chi_square_is_that_of_scipy(counts: list[int]) -> None:
    even = np.full(len(counts), np.mean(counts))
    statistic, p_value = chi_square(counts, even, len(counts) - 1)
    expected = stats.chisquare(counts)
    assert statistic == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(expected.pvalue, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 30.0, 1000.0])
def test_beta_law_is_that_of_scipy(alpha: float) -> None:
    x = np.linspace(0, 1, 501)
    np.testing.assert_allclose(beta(alpha)(x), stats.beta(alpha, alpha).cdf(x), atol=1e-11)


def test_laws_in_closed_form_are_those_of_scipy() -> None:
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(arcsine(x), stats.arcsine.cdf(x), atol=1e-12)
    np.testing.assert_allclose(normal(6 * x - 3), stats.norm.cdf(6 * x - 3), atol=1e-12)
    assert uniform(1, 3)(np.array([0.0, 1.0, 2.5, 4.0])).tolist() == [0, 0, 0.75, 1]


def printed() -> tuple[str, bool]:
    out = io.StringIO()
    passed = report(Console(file=out, width=140), samples=SAMPLES)
    return out.getvalue(), passed
