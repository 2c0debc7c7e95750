"""The law of AugMix: its steps, the lengths of its chains, and their weights."""

import numpy as np
import pytest
from numpy.typing import NDArray

from augfeed.doctor.statistics import arcsine, beta, chi_square, kolmogorov_smirnov, uniform
from augfeed.notation import parse_policy
from augfeed.operation.program import parts_of, slots_of
from augfeed.ops import _chains
from augfeed.plan import BatchRows, Program, draw_plan
from augfeed.plan.program import codes_of
from augfeed.show.steps import steps_before_mixing
from tests.augfeed.plan.test_automatic_laws import FEW, LEAST_P, MANY, SIZE, Numbers, plan_of

STEPS = 13


def program_of(line: str, count: int = MANY) -> Program:
    program = plan_of(line, count).program
    assert program is not None
    return program


def chains_in(program: Program, width: int) -> list[NDArray[np.int16]]:
    """The leaves `[n, depth]` of each chain, 0 for no step."""
    slots = program.slots.leaf.shape[1]
    each = (slots - 2) // width
    return [program.slots.leaf[:, 1 + k * each : k * each + each] for k in range(width)]


def weights_in(program: Program, width: int) -> NDArray[np.float64]:
    each = (program.slots.leaf.shape[1] - 2) // width
    return program.slots.magnitude[:, [each * (k + 1) for k in range(width)]]


def names_of(program: Program) -> list[str]:
    return ["", *(leaf.name for leaf in program.leaves)]


def alike(counts: NDArray[np.int64]) -> None:
    expected = np.full(len(counts), counts.sum() / len(counts))
    measured = chi_square(counts, expected, len(counts) - 1)
    assert measured.p_value is not None and measured.p_value > LEAST_P, counts


def follows(values: NDArray[np.float64], law: object) -> None:
    p_value = kolmogorov_smirnov(values, law).p_value  # type: ignore[arg-type]
    assert p_value is not None and p_value > LEAST_P


@pytest.mark.parametrize("line", ["aug_mix", 'timm("augmix-m3-w3")'])
def test_each_chain_has_one_to_three_of_13_steps_each_as_often(line: str) -> None:
    program, lengths = program_of(line), []
    for leaves in chains_in(program, 3):
        length = (leaves > 0).sum(axis=1)
        assert (leaves[:, 0] > 0).all() and ((leaves[:, 2] > 0) <= (leaves[:, 1] > 0)).all()
        alike(np.bincount(length, minlength=4)[1:])
        drawn = leaves[leaves > 0]
        alike(np.array([(drawn == n).sum() for n in np.unique(drawn)]))
        assert len(np.unique(drawn)) == STEPS
        lengths.append(length)
    alike(np.bincount(9 * lengths[0] + 3 * lengths[1] + lengths[2] - 13, minlength=27))


def test_bins_go_from_0_to_below_the_severity() -> None:
    program = program_of("aug_mix(4)")
    rotate = program.slots.leaf == names_of(program).index("rotate")
    bins, degrees = program.slots.bin[rotate], program.slots.magnitude[rotate]
    alike(np.bincount(bins, minlength=4))
    np.testing.assert_allclose(np.abs(degrees), bins * 30 / 9, atol=1e-5)
    alike(np.array([(degrees < 0).sum(), (degrees > 0).sum()]))
    kept = program.slots.magnitude[program.slots.leaf == names_of(program).index("posterize")]
    assert set(kept) == {4.0, 3.0}  # of bins 0 and 1, 2 and 3


def test_levels_of_timm_are_uniform_up_to_the_magnitude() -> None:
    program = program_of('timm("augmix-m3")')
    rotate = program.slots.leaf == names_of(program).index("rotate")
    follows(np.abs(program.slots.magnitude[rotate]) / 3, uniform(0, 3))
    shift = program.slots.leaf == names_of(program).index("translate_x")
    follows(np.abs(program.slots.magnitude[shift]) / 0.03, uniform(0, 3))
    fixed = program_of('timm("augmix-m3-mstd0")', FEW)
    rotate = fixed.slots.leaf == names_of(fixed).index("rotate")
    assert set(np.round(np.abs(fixed.slots.magnitude[rotate]), 9)) == {9.0}


def test_weights_are_from_dirichlet_and_the_share_is_from_beta() -> None:
    program = program_of('aug_mix(flavor="timm")')
    weights, share = weights_in(program, 3), program.slots.magnitude[:, -1]
    np.testing.assert_array_equal(weights.sum(axis=1), 1.0)
    for weight in weights.T:
        follows(weight, lambda x: 1 - (1 - x) ** 2)
    follows(share, uniform(0, 1))
    # A uniform one of Dirichlet(1, 1, 1): the ratio of two is uniform, whatever the third.
    follows(weights[:, 0] / (weights[:, 0] + weights[:, 1]), uniform(0, 1))
    assert abs(np.corrcoef(weights[:, 0], share)[0, 1]) < 0.01


@pytest.mark.parametrize(("alpha", "law"), [(0.5, arcsine), (4.0, beta(4.0))])
def test_weights_of_two_chains_follow_beta_by_alpha(alpha: float, law: object) -> None:
    program = program_of(f'aug_mix(width=2, depth=1, alpha={alpha}, flavor="timm")')
    follows(weights_in(program, 2)[:, 0], law)
    follows(program.slots.magnitude[:, -1], law)


def test_both_libraries_give_image_and_chains_the_same_shares() -> None:
    found = []
    for line in ("aug_mix(depth=1)", 'timm("augmix-d1")', 'timm("augmix-d1-b1")'):
        program = program_of(line, FEW)
        shares = []
        for row in range(FEW):
            leaves = [program.leaves[n - 1] for n in program.slots.leaf[row]]
            steps = [(leaf, m) for leaf, m in zip(leaves, program.slots.magnitude[row], strict=True)
                     if leaf.step in _chains.STEPS]  # fmt: skip
            shares.append(list(_chains.shares(steps)))
        found.append(np.array(shares))
        np.testing.assert_allclose(found[-1].sum(axis=1), 1.0, atol=1e-12)
        np.testing.assert_allclose(found[-1], found[0], atol=2e-4)


@pytest.mark.parametrize("line", ["aug_mix", "hflip | aug_mix(5, 2, alpha=0.3, p=0.5)"])
def test_a_sample_has_the_same_chains_in_any_batch(line: str) -> None:
    policy, whole = parse_policy(line), program_of(line, FEW)
    order = np.array([399, 17, 0])
    part = draw_plan(policy, BatchRows.of(order), seed=3, epoch=2, size=SIZE).program
    assert part is not None
    np.testing.assert_array_equal(part.code, whole.code[order])
    np.testing.assert_array_equal(part.value, whole.value[order])


def test_chains_are_in_front_of_nothing_else() -> None:
    """An operation behind the chains draws what it draws at its place, whatever they draw."""
    numbers = Numbers(5)
    numbers.place = 1 + 1 + 3 * len([*chain_nodes()])
    degrees = numbers.node(2)
    program = program_of("sequence([aug_mix, rotate(10)])", FEW)
    made = program.made[-1]
    assert made is not None
    assert made.values["degrees"][5] == pytest.approx(20 * degrees[1] - 10)


def chain_nodes() -> list[str]:
    return ["series", "step", "series", "step", "series", "step"]


def test_what_a_policy_may_do_knows_its_chains() -> None:
    policy = parse_policy("aug_mix(width=2, depth=3)")
    tree = policy.programs[0].program
    assert slots_of(tree) == 2 + 2 * 4 == len(codes_of(policy))
    assert codes_of(policy)[0] == (202,) and codes_of(policy)[-1] == (204,)
    assert codes_of(policy)[4] == codes_of(policy)[8] == (203,)
    assert len([*parts_of(tree)]) == 3 * STEPS


def test_explain_says_the_share_of_the_image_and_of_each_chain() -> None:
    plan = plan_of("aug_mix(width=2)", FEW)
    first, mixed, *steps = [*steps_before_mixing(plan, 0, SIZE, 3)][1:]
    shares = [mixed.values["image"], *mixed.values["chains"]]
    assert first.done == f"{len(steps)} steps" and sum(shares) == pytest.approx(1)
    assert f"{shares[0]:.1%} of the image, mixed with 2 chains" in mixed.text
    for step in steps:
        k = step.values["chain"]
        assert step.text.startswith(f"chain {k} of 2, weight {shares[k]:.3f}: ")
    assert {step.values["chain"] for step in steps} == {1, 2}


@pytest.mark.parametrize("severity", [8, 10])
def test_posterize_keeps_a_bit_unless_asked_to_follow_to_the_letter(severity: int) -> None:
    for exact, least in ((False, 1.0), (True, 1.0 if severity < 9 else 0.0)):
        program = program_of(f"aug_mix({severity}, exact={exact})", FEW)
        number = names_of(program).index("posterize")
        assert program.slots.magnitude[program.slots.leaf == number].min() == least
