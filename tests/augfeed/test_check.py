from dataclasses import replace
from typing import Any

import pytest

from augfeed.errors import InvarianceError, PolicyError
from augfeed.invariances import KNOWN, RULES, Invariances
from augfeed.policy import (
    CenterCrop,
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    Mixup,
    Normalize,
    OneOf,
    Perspective,
    Policy,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    Resize,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)
from augfeed.policy.check import check_policy, findings

STRICT = Invariances(
    name="strict",
    reason="nothing may change",
    horizontal_flip=False,
    vertical_flip=False,
    max_rotation=10,
    max_shear=10,
    max_translation=0.1,
    max_zoom=1.25,
    max_distortion=0.2,
    min_crop=0.5,
    max_hue=0.05,
    grayscale=False,
    invert=False,
    max_occlusion=0.1,
    min_content=0.05,
    mixing=False,
)
# One operation that breaks each rule, and one that just keeps it (None: no value does).
CASES: list[tuple[str, Any, Any]] = [
    ("horizontal_flip", HorizontalFlip(0.01), None),
    ("vertical_flip", VerticalFlip(0.01), None),
    ("max_rotation", Rotate(10.5), Rotate(10)),
    ("max_rotation", Rotate((-10.5, 0)), Rotate((-10, 0))),
    ("max_rotation", Rotate((20, 30)), Rotate((5, 10))),
    ("max_shear", Shear(11, 0), Shear(10, 10)),
    ("max_shear", Shear(0, 11), Shear(0, 10)),
    ("max_translation", Translate(0.11, 0), Translate(0.1, 0.1)),
    ("max_translation", Translate(0, 0.11), Translate(0, 0)),
    ("max_zoom", Scale((1, 1.3)), Scale((0.8, 1.25))),
    ("max_zoom", Scale((0.7, 1)), Scale((1 / 1.25, 1))),
    ("max_distortion", Perspective(0.3), Perspective(0.2)),
    ("min_crop", RandomResizedCrop(20), RandomResizedCrop(20, scale=(0.5, 1))),
    ("min_crop", RandomCrop(14), RandomCrop(15)),
    ("min_crop", RandomCrop(20, padding=6), RandomCrop(20, padding=5)),
    ("min_crop", CenterCrop((20, 9)), CenterCrop((20, 10))),
    ("max_hue", ColorJitter(hue=0.1), ColorJitter(hue=0.05)),
    ("max_hue", ColorJitter(hue=(-0.1, 0)), ColorJitter(hue=(-0.05, 0))),
    ("grayscale", Grayscale(), None),
    ("grayscale", ColorJitter(saturation=1), ColorJitter(saturation=0.99)),
    ("grayscale", ColorJitter(saturation=(0, 1)), ColorJitter(saturation=(0.01, 1))),
    ("invert", Invert(), None),
    ("invert", Solarize(), None),
    ("max_occlusion", Cutout(7), Cutout(6)),
    ("max_occlusion", Cutout((20, 3)), Cutout((20, 2))),
    ("max_occlusion", RandomErasing(), RandomErasing(scale=(0.02, 0.1))),
    ("min_content", SaltAndPepper(0.96), SaltAndPepper(0.95)),
    ("min_content", SaltAndPepper((0, 1)), SaltAndPepper((0, 0.95))),
    ("min_content", ColorJitter(brightness=0.96), ColorJitter(brightness=0.95)),
    ("min_content", ColorJitter(brightness=(0, 0.5)), ColorJitter(brightness=(0.05, 20))),
    ("min_content", ColorJitter(brightness=(1, 21)), ColorJitter(brightness=0.9)),
    ("min_content", ColorJitter(contrast=0.96), ColorJitter(contrast=0.95)),
    ("min_content", ColorJitter(contrast=(0, 2)), ColorJitter(contrast=(0.05, 100))),
    ("min_content", GaussianNoise(1.1), GaussianNoise(1.0)),
    ("min_content", GaussianNoise((0, 100)), GaussianNoise((0, 1.0))),
    ("min_content", Normalize(0.5, 20.5), Normalize(0.5, 20)),
    ("min_content", Normalize(0.5, (1, 1, 58.4)), Normalize(0.5, (1, 1, 0.25))),
    ("mixing", Mixup(), None),
    ("mixing", CutMix(), None),
    ("mixing", OneOf((Mixup(), CutMix())), OneOf((Mixup(p=0), CutMix()), (1, 0))),
]
SOURCE = (20, 20)


def broken(operation: Any, rules: Invariances = STRICT) -> list[str]:
    found = findings(Policy([operation]), rules, source=SOURCE)
    return [item.rule for item in found if not item.ok]


def refused(operations: list[Any], invariances: Any, **options: Any) -> str:
    with pytest.raises(InvarianceError) as caught:
        check_policy(Policy(operations), invariances, **options)
    return str(caught.value)


@pytest.mark.parametrize(("rule", "breaks", "keeps"), CASES)
def test_a_rule_is_broken_just_beyond_its_bound(rule: str, breaks: Any, keeps: Any) -> None:
    assert broken(breaks) == [rule]
    assert keeps is None or broken(keeps) == []


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, _, _ in CASES} == set(RULES)


@pytest.mark.parametrize(("rule", "breaks", "_"), CASES)
def test_the_default_rules_allow_everything(rule: str, breaks: Any, _: Any) -> None:
    assert broken(breaks, Invariances()) == []
    assert rule in {item.rule for item in findings(Policy([breaks]), Invariances(), source=SOURCE)}


CUTS_ALWAYS = (RandomCrop, CenterCrop, Normalize)


@pytest.mark.parametrize(
    "breaks", [breaks for _, breaks, _ in CASES if not isinstance(breaks, CUTS_ALWAYS)]
)
def test_an_operation_that_no_sample_gets_breaks_nothing(breaks: Any) -> None:
    assert broken(replace(breaks, p=0)) == []


def test_a_random_crop_without_chance_still_cuts_the_middle() -> None:
    assert broken(RandomCrop(14, p=0)) == ["min_crop"]
    assert broken(RandomCrop(20, padding=6, p=0)) == []


@pytest.mark.parametrize(("_", "breaks", "__"), CASES)
def test_the_cure_that_the_message_names_works(_: str, breaks: Any, __: Any) -> None:
    (bad,) = (item for item in findings(Policy([breaks]), STRICT, source=SOURCE) if not item.ok)
    message = refused([breaks], STRICT, source=SOURCE)
    assert bad.cure in message
    if bad.passing is None:
        assert "remove it" in bad.cure or "use a larger size" in bad.cure
    else:
        assert broken(replace(breaks, **{bad.parameter: bad.passing})) == []


def test_a_flip_of_digits_is_refused_with_the_reason_and_the_cure() -> None:
    message = refused([HorizontalFlip(0.25)], "digits")
    assert message.splitlines() == [
        "this policy changes labels of 'digits' (6 turned is 9, a mirrored 2 or 5 is not a digit, "
        "a cut 8 is a 3):",
        "- horizontal_flip: p=0.25 breaks horizontal_flip=False: "
        "remove it, as in policy.without('horizontal_flip'), or allow=['horizontal_flip']",
    ]


def test_a_number_refused_is_reported_with_its_bound_and_a_value_that_passes() -> None:
    assert "rotate: degrees=30.0 (up to 30) breaks max_rotation=20: degrees=20.0 passes" in refused(
        [Rotate(30)], "digits"
    )
    assert "scale=(0.08, 1.0) (at least 0.08) breaks min_crop=0.6: scale=(0.6, 1.0)" in refused(
        [RandomResizedCrop(28)], KNOWN["digits"]
    )


def test_every_broken_rule_is_listed_at_once() -> None:
    message = refused([HorizontalFlip(), VerticalFlip(), Rotate(90), Scale((0.5, 2))], "digits")
    assert len(message.splitlines()) == 5


def test_allow_overrides_the_named_rule_and_no_other() -> None:
    operations = [HorizontalFlip(), Rotate(90)]
    message = refused(operations, "digits", allow=["max_rotation"])
    assert "horizontal_flip" in message
    assert "rotate" not in message
    found = check_policy(Policy(operations), "digits", allow=["horizontal_flip", "max_rotation"])
    assert [item.ok for item in found] == [False, False]


def test_allow_takes_one_rule_as_text() -> None:
    assert check_policy(Policy([Rotate(90)]), "digits", allow="max_rotation")


def test_an_unknown_rule_is_an_error_even_if_nothing_is_broken() -> None:
    with pytest.raises(PolicyError, match=r"did you mean 'max_rotation'\?"):
        check_policy(Policy(), "digits", allow=["max_rotate"])
    with pytest.raises(PolicyError, match="use one of horizontal_flip, vertical_flip"):
        check_policy(Policy(), "digits", allow=["qqq"])


def test_a_policy_within_the_rules_passes() -> None:
    found = check_policy(Policy([Rotate(20), RandomResizedCrop(28, scale=(0.6, 1))]), "digits")
    assert [item.rule for item in found] == ["min_crop", "max_rotation"]
    assert all(item.ok for item in found)


@pytest.mark.parametrize("operation", [RandomCrop(5), CenterCrop(5), Cutout(16)])
def test_what_depends_on_an_unknown_size_is_reported_as_unknown_and_not_refused(
    operation: Any,
) -> None:
    (found,) = check_policy(Policy([operation]), STRICT)
    assert found.ok is None
    assert "may break" in str(found)
    refused([operation], STRICT, source=SOURCE)


def test_the_share_kept_counts_after_the_resize() -> None:
    policy = Policy([Resize(256), CenterCrop(224)])
    (found,) = findings(policy, "digits", source=(500, 500))
    assert found.worst == pytest.approx((224 / 256) ** 2)
    assert found.ok


def test_the_share_hidden_counts_in_the_image_that_comes_out() -> None:
    policy = Policy([RandomResizedCrop(10), Cutout(5)])
    found = findings(policy, "digits")[-1]
    assert found.worst == 0.25


def test_a_cutout_beyond_the_image_hides_no_more_than_all() -> None:
    assert findings(Policy([Cutout(99)]), "digits", source=(8, 9))[0].worst == 1


def test_a_zoom_and_its_inverse_pass_the_same_bound() -> None:
    rules = Invariances(max_zoom=1.9)
    assert 1 / (1 / 1.9) > 1.9  # rounding, which the rule must not punish
    assert broken(Scale((1 / 1.9, 1.9)), rules) == []


def test_a_zoom_that_the_cure_names_is_rounded_inwards() -> None:
    (found,) = findings(Policy([Scale((0.5, 1))]), "digits")
    assert found.passing == (0.7693, 1)
    assert broken(Scale(found.passing), KNOWN["digits"]) == []


def test_a_finding_reads_as_a_line() -> None:
    found = findings(Policy([HorizontalFlip(), Rotate(15)]), "digits")
    assert list(map(str, found)) == [
        "horizontal_flip: p=0.5 breaks horizontal_flip=False",
        "rotate: degrees=15.0 (up to 15) keeps max_rotation=20",
    ]
