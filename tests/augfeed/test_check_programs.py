"""Label rules look into programs: whatever may be drawn, and what its steps do together."""

import pytest

from augfeed.errors import InvarianceError
from augfeed.notation import parse_policy
from augfeed.operation.effects import Setting
from augfeed.policy import OPERATIONS, Policy
from augfeed.policy.check import check_policy, findings

HOLDERS = (
    "one_of([{0}, equalize])", "one_of([equalize, {0}], weights=[9, 0.1])",
    "some_of([equalize, {0}, equalize], [0, 1])", "sequence([equalize, {0}])",
    "random_order([{0}])", "sequence([one_of([equalize, random_order([{0}])])], p=0.01)",
)  # fmt: skip
NEVER = (
    "one_of([{0}, equalize], weights=[0, 1])", "some_of([{0}], 0)", "sequence([{0}], p=0.0)",
    "random_order([one_of([{0}], p=0.0)])",
)  # fmt: skip
# What digits are refused for, and the rule.
BREAKING = {
    "rotate(45)": "max_rotation", "translate(0.5)": "max_translation", "shear(40)": "max_shear",
    "scale([0.5, 1.0])": "max_zoom", "perspective(0.9)": "max_distortion",
    "horizontal_flip": "horizontal_flip", "vertical_flip": "vertical_flip",
}  # fmt: skip


def refusal(line: str, dataset: str = "digits") -> str:
    with pytest.raises(InvarianceError) as caught:
        check_policy(parse_policy(line), dataset)
    return str(caught.value)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(("part", "rule"), BREAKING.items())
def test_a_part_that_may_be_drawn_is_judged_wherever_it_stands(
    part: str, rule: str, holder: str
) -> None:
    message, name = refusal(holder.format(part)), part.partition("(")[0]
    assert f"{name}." in message and f"breaks {rule}=" in message
    assert "passes" in message or f"take {name!r} out of" in message
    assert check_policy(parse_policy(holder.format(part)), "digits", allow=[rule])


@pytest.mark.parametrize("holder", NEVER)
@pytest.mark.parametrize("part", BREAKING)
def test_a_part_that_no_sample_gets_breaks_nothing(part: str, holder: str) -> None:
    assert all(item.ok for item in check_policy(parse_policy(holder.format(part)), "digits"))


def test_the_message_names_part_bound_and_cure() -> None:
    message = refusal("one_of([rotate(90), posterize])")
    assert "one_of: rotate.degrees=90.0 (up to 90) breaks max_rotation=20" in message
    assert "rotate.degrees=20.0 passes, or allow=['max_rotation']" in message


@pytest.mark.parametrize(
    ("line", "most"),
    [
        ("sequence([rotate(15), rotate(15)])", 30),
        ("some_of([rotate(9), rotate(12), rotate(8)], [0, 2])", 21),
        ("random_order([one_of([rotate(15), rotate(3)]), sequence([rotate(6)])])", 21),
        ("one_of([rotate(15)]) | one_of([rotate(14)])", 29),
        ("rotate(15) | one_of([rotate(15), equalize])", 30),
    ],
)
def test_steps_that_break_a_rule_only_together_are_refused(line: str, most: int) -> None:
    message = refusal(line)
    assert f"steps together={most:.1f}" in message and "breaks max_rotation=20" in message
    assert "use fewer of them, or weaker ones" in message


def test_zooms_multiply_and_turns_add_up() -> None:
    assert "1.44" in refusal("sequence([scale([1.0, 1.2]), scale([1.0, 1.2])])")


@pytest.mark.parametrize(
    "line",
    [
        "one_of([rotate(15), rotate(20)])",
        "some_of([rotate(9), rotate(12), equalize], 1)",
        "sequence([rotate(10), rotate(10)])",
        "sequence([rotate(15), rotate(15)], p=0.0)",
        "sequence([rotate(15), one_of([rotate(15), equalize], weights=[0, 1])])",
    ],
)
def test_steps_that_keep_a_rule_together_pass(line: str) -> None:
    assert all(item.ok for item in check_policy(parse_policy(line), "digits"))


@pytest.mark.parametrize("name", ["one_of", "some_of", "sequence", "random_order"])
def test_programs_say_whether_pixels_move(name: str) -> None:
    assert name in OPERATIONS
    tail = ", 1" if name == "some_of" else ""
    for part, moves in (("rotate(3)", True), ("hflip", True), ("equalize", False)):
        policy = parse_policy(f"{name}([posterize, {part}]{tail})")
        assert policy.moving == ((name,) if moves else ())


def test_rules_that_need_a_size_are_left_open_without_one() -> None:
    policy: Policy = parse_policy("one_of([gaussian_blur(31, 9.0)])")
    found = [item.ok for item in findings(policy, "digits")]
    assert found == [None]
    assert [item.ok for item in findings(policy, "digits", source=(16, 16))] == [False]
    assert [*policy.programs[0].effects(Setting(policy))]


@pytest.mark.parametrize("flavor", ["torchvision", "timm"])
def test_chains_are_judged_by_the_steps_of_one_of_them(flavor: str) -> None:
    severity = 10 if flavor == "timm" else 9
    message = refusal(f"aug_mix({severity}, depth=1, flavor={flavor!r})".replace("'", '"'))
    assert "aug_mix: rotate=" in message and "breaks max_rotation=20" in message
    message = refusal(f"aug_mix(4, depth=3, flavor={flavor!r})".replace("'", '"'))
    most = 36.0 if flavor == "timm" else 30.0
    assert f"steps together={most} (up to {most:.0f}) breaks max_rotation=20" in message
    for line in ("aug_mix(10, p=0.0)", "aug_mix(2, width=8, depth=1)", "aug_mix(3, 2, 3)"):
        assert check_policy(parse_policy(line), "digits", allow=["max_translation"])
