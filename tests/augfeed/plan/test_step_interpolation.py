"""By which filter the steps of automatic policies move pixels: one in a policy."""

import numpy as np
import pytest

from augfeed import presets
from augfeed.constants import BICUBIC, BILINEAR, NEAREST
from augfeed.errors import PolicyError
from augfeed.notation import format_policy, parse_policy
from augfeed.plan import BatchRows, draw_plan
from augfeed.plan.filters import interpolation_of
from augfeed.policy import Policy

LAWS = ("rand_augment", "trivial_augment_wide", "auto_augment", 'timm("rand-m9-inc1")', "aug_mix")
HOLDERS = ("{}", "sequence([equalize, {}])", "one_of([one_of([{}]), equalize], weights=[1, 3])")


def with_filter(law: str, interpolation: str) -> str:
    name, _, rest = law.removesuffix(")").partition("(")
    return f'{name}({f"{rest}, " if rest else ""}interpolation="{interpolation}")'


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("law", LAWS)
def test_a_law_says_its_filter_wherever_it_stands(law: str, holder: str) -> None:
    for name, code in (("nearest", NEAREST), ("bicubic", BICUBIC), ("bilinear", BILINEAR)):
        policy = parse_policy(holder.format(with_filter(law, name)))
        assert parse_policy(format_policy(policy)) == policy == Policy.from_json(policy.to_json())
        plan = draw_plan(policy, BatchRows.of(np.arange(4)), seed=1, epoch=0, size=(9, 9))
        assert (plan.filters == code).all()


@pytest.mark.parametrize("law", LAWS)
def test_a_law_that_does_not_say_goes_by_the_policy(law: str) -> None:
    assert interpolation_of(parse_policy(law)) == "bilinear"
    assert (
        interpolation_of(parse_policy(f'{law} | rotate(3, interpolation="nearest")')) == "nearest"
    )
    same = parse_policy(with_filter(law, "policy"))
    assert same.digest == parse_policy(law).digest
    assert '"interpolation"' not in parse_policy("rand_augment").to_json()


def test_random_is_a_coin_for_each_sample() -> None:
    policy = parse_policy('trivial_augment_wide(interpolation="random")')
    filters = draw_plan(policy, BatchRows.of(np.arange(2000)), seed=1, epoch=0, size=(9, 9)).filters
    assert set(filters) == {BILINEAR, BICUBIC}
    assert (filters == BICUBIC).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('rand_augment(interpolation="nearest") | rotate(3)', "move pixels together, once"),
        ('sequence([rotate(3), timm("v0", interpolation="random")])', "move pixels together, once"),
        ('aug_mix(interpolation="nearest") | rand_augment(interpolation="bicubic")',
         r"aug_mix\(interpolation='nearest'\) and rand_augment\(interpolation='bicubic'\)"),
        ('timm("3a", interpolation="bicubic")', "timm.* has no step that moves pixels"),
        ('rand_augment(interpolation="lanczos")', "interpolation='lanczos' is not allowed"),
    ],
)  # fmt: skip
def test_two_filters_and_filters_of_nothing_are_refused(line: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_policy(line)


def test_recipes_of_timm_resample_steps_as_they_resample_the_crop() -> None:
    for name in ("imagenet_a1", "imagenet_a2", "imagenet_a3", "deit"):
        assert interpolation_of(getattr(presets, name)()) == "bicubic"
    assert interpolation_of(presets.imagenet()) == "bilinear"
