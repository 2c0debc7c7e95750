"""Programs: who gets which steps, against their laws in plain Python, one sample at a time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.notation import parse_policy
from augfeed.operation import Geometry
from augfeed.operation.program import (
    Candidate,
    Chains,
    Choice,
    Entry,
    FixedBin,
    Graded,
    Node,
    Normal,
    Op,
    Series,
    Some,
    Uniform,
    UniformBins,
    slots_of,
    weights_of,
)
from augfeed.ops import _enhance
from augfeed.ops._steps import MATRIX
from augfeed.philox import draw
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.program import codes_of
from augfeed.plan.program_draws import BLOCKS, FIRST_STREAM, Drawer
from augfeed.policy import (
    Invert,
    OneOf,
    Policy,
    Posterize,
    RandomOrder,
    Rotate,
    Sequence,
    Solarize,
    SomeOf,
)
from tests.augfeed.test_notation import programs

SIZE = (260, 270)  # in which any kernel fits
LINES = (
    "one_of([rotate(30), posterize(3), invert(0.5)], [1, 2, 0.5], p=0.8)",
    "some_of([rotate(30), solarize, invert(1.0), equalize], [1, 3], weights=[1, 2, 3, 0.1])",
    "random_order([rotate(30), sequence([solarize, rotate(3)], p=0.5), invert(1.0)], p=0.9)",
    "sequence([one_of([rotate(3), rotate(4)]), one_of([rotate(3), rotate(4)])])",
    "one_of([rotate(1)]) | sequence([invert, one_of([invert, solarize])]) | some_of([invert], 1)",
)


class Scalar:
    """The law of a tree, for one sample."""

    def __init__(self, seed: int, epoch: int, sample: int, stream: int) -> None:
        self.key, self.position = (seed, epoch, np.array([sample])), 0
        self.stream = stream

    def numbers(self, place: int, count: int) -> list[float]:
        made = draw(*self.key, [(self.stream, place * BLOCKS, count)])
        return [float(number) for number in made[:, 0]]

    def steps(self, node: Node) -> list[tuple[Any, float]]:
        """What a sample gets, and by how much: (operation or candidate, signed magnitude)."""
        place = self.position
        self.position += 1
        match node:
            case Op(operation=operation):
                applied = self.numbers(place, 1)[0] < operation.p
                return [(operation, 0.0)] if applied else []
            case Graded():
                return self.graded(node, place)
            case Choice():
                u = self.numbers(place, 2)
                found = [self.steps(child) for child in node.children]
                return found[pick(u[1], weights_of(node))] if u[0] < node.p else []
            case Some():
                u = self.numbers(place, 2 + node.most)
                found = [self.steps(child) for child in node.children]
                count = node.least + int(u[1] * (node.most - node.least + 1))
                weights, drawn = list(weights_of(node)), []
                for k in range(count):
                    chosen = pick(u[2 + k], weights)
                    weights[chosen] = 0.0
                    drawn += found[chosen]
                return drawn if u[0] < node.p else []
        assert isinstance(node, Series)  # chains have a file of tests of their own
        u = self.numbers(place, 1)
        drawn = [step for child in node.children for step in self.steps(child)]
        return drawn if u[0] < node.p else []

    def graded(self, node: Graded, place: int) -> list[tuple[Any, float]]:
        law, width = node.magnitude, max(map(len, node.entries))
        each = 2 + law.uniforms
        u = self.numbers(place, 2 + each * width)
        chosen, drawn = node.entries[pick(u[1], weights_of(node))], []
        for s, entry in enumerate(chosen):
            done, sign, *own = u[2 + s * each : 2 + (s + 1) * each]
            strength = law.draw(np.array(own)[:, None], 1)
            if entry.candidate is None or u[0] >= node.p or done >= entry.p:
                continue
            if callable(entry.values):
                magnitude = float(entry.values(strength)[0])
            else:
                bin_ = int(strength[0]) if entry.bin is None else entry.bin
                magnitude = entry.values[bin_ if len(entry.values) > 1 else 0]
            negated = entry.candidate.signed and sign < 0.5
            drawn.append((entry.candidate, -magnitude if negated else magnitude))
        return drawn


def pick(u: float, weights: Any) -> int:
    below, total = 0.0, sum(weights)
    for k, weight in enumerate(weights):
        below += weight
        if u * total < below:
            return k
    return max(k for k, weight in enumerate(weights) if weight)


def plan_of(policy: Policy, count: int = 40, *, first: int = 0) -> Plan:
    rows = BatchRows.of(np.arange(first, first + count))
    return draw_plan(policy, rows, seed=7, epoch=2, size=SIZE)


def drawn(plan: Plan, row: int) -> list[Any]:
    program = plan.program
    assert program is not None
    return [program.leaves[number - 1] for number in program.slots.leaf[row] if number]


def expected(policy: Policy, sample: int) -> list[Any]:
    steps = []
    for k, item in enumerate(policy.programs):
        steps += Scalar(7, 2, sample, FIRST_STREAM + k).steps(item.program)
    return [leaf for leaf, _ in steps]


@pytest.mark.parametrize("line", LINES)
def test_every_sample_gets_what_the_law_says(line: str) -> None:
    policy = parse_policy(line)
    plan = plan_of(policy, 100)
    for row in range(100):
        assert drawn(plan, row) == expected(policy, row)


def _has_no_chains(item: Any) -> bool:
    def without(node: Any) -> bool:
        return not isinstance(node, Chains) and all(map(without, getattr(node, "children", ())))

    return item.program is not None and without(item.program)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([OneOf, SomeOf, Sequence, RandomOrder]), st.data())
def test_any_nesting_gets_what_the_law_says(cls: Any, data: st.DataObject) -> None:
    made = data.draw(programs(cls).filter(_has_no_chains))
    policy = Policy([made])
    plan = plan_of(policy, 12)
    assert plan.program is not None
    for row in range(12):
        assert list(map(repr, drawn(plan, row))) == list(map(repr, expected(policy, row)))
    assert plan.program.code.shape[1] <= sum(slots_of(item.program) for item in policy.programs)
    for slot, known in enumerate(codes_of(policy)):
        assert {*plan.program.code[:, slot].tolist()} <= {0, *known}


def test_draws_of_a_sample_do_not_depend_on_its_batch() -> None:
    policy = parse_policy(" | ".join(LINES))
    whole = plan_of(policy, 30)
    for first, count in ((0, 1), (3, 8), (17, 13)):
        part = plan_of(policy, count, first=first)
        assert part.program is not None and whole.program is not None
        rows = slice(first, first + count)
        assert [drawn(part, row) for row in range(count)] == [
            drawn(whole, row) for row in range(first, first + count)
        ]
        assert (part.program.code == whole.program.code[rows]).all()
        width = min(part.program.value.shape[2], whole.program.value.shape[2])
        assert (part.program.value[..., :width] == whole.program.value[rows, :, :width]).all()
        assert (part.inverse == whole.inverse[rows]).all()


def test_programs_change_no_other_draw() -> None:
    line = "horizontal_flip | jitter(0.4, 0.4, 0.4) | cutout(2, p=0.5) | mixup"
    without, with_one = plan_of(parse_policy(line)), plan_of(parse_policy(f"{LINES[0]} | {line}"))
    assert (without.mixes.lam == with_one.mixes.lam).all()
    assert (without.cutout == with_one.cutout).all()
    assert (without.columns.brightness == with_one.columns.brightness).all()
    for key, values in without.decisions["horizontal_flip"].items():
        assert (values == with_one.decisions["horizontal_flip"][key]).all()


def test_a_policy_without_programs_has_none() -> None:
    assert plan_of(parse_policy("hflip | rotate(3)")).program is None


def test_every_order_and_every_subset_comes() -> None:
    plan = plan_of(parse_policy("random_order([invert(1.0), solarize(p=1.0), rotate(3)])"), 400)
    orders = {tuple(type(item).__name__ for item in drawn(plan, row)) for row in range(400)}
    assert len(orders) == 6
    plan = plan_of(parse_policy("some_of([invert(1.0), solarize(p=1.0), rotate(3)], [0, 2])"), 400)
    found = {tuple(type(item).__name__ for item in drawn(plan, row)) for row in range(400)}
    assert {len(item) for item in found} == {0, 1, 2} and len(found) == 1 + 3 + 6


def test_what_has_no_weight_never_comes() -> None:
    plan = plan_of(parse_policy("one_of([invert(1.0), rotate(3)], weights=[0, 1])"), 300)
    assert all(isinstance(drawn(plan, row)[0], Rotate) for row in range(300))


# Laws with magnitudes


def _turns(degrees: Any, size: Any) -> Any:
    applied = np.ones(len(degrees), np.bool_)
    return Rotate(180).inverse({"applied": applied, "degrees": degrees}, size)


def _factors(magnitudes: Any, size: Any) -> Any:
    return 1 + magnitudes[:, None]


TURN = Candidate("Rotate", Geometry, _turns, signed=True, moves=True)
LIGHT = Candidate("Brightness", _enhance.Brightness, _factors, signed=True)
BINS = tuple(np.linspace(0, 0.9, 31).tolist())
SHORT = (Entry(TURN, tuple(np.linspace(0, 30, 31).tolist()), p=0.7), Entry(LIGHT, BINS, bin=4))
GRADED = (
    Graded(((Entry(TURN, BINS),), (Entry(LIGHT, BINS),), (Entry(None),)), UniformBins(31)),
    Graded((SHORT, (Entry(LIGHT, BINS),), SHORT[::-1]), FixedBin(9), (1.0, 3.0, 2.0), p=0.8),
    Graded(((Entry(LIGHT, np.sqrt, p=0.5),),), Uniform(1.0, 4.0)),
    Graded(((Entry(LIGHT, np.negative),), (Entry(TURN, np.sqrt),)), Normal(9.0, 0.5, 8.5, 10.0)),
)


@pytest.mark.parametrize("node", GRADED, ids=range(len(GRADED)))
def test_candidates_come_with_the_magnitudes_of_the_law(node: Node) -> None:
    ids = np.arange(60)
    drawer = Drawer(7, 2, ids, SIZE)
    slots = drawer.program(Series((node, node)))
    seen: set[float] = set()
    for row in ids:
        wanted = Scalar(7, 2, int(row), FIRST_STREAM).steps(Series((node, node)))
        places = np.flatnonzero(slots.leaf[row])
        found = [(drawer.leaves[slots.leaf[row, k] - 1], slots.magnitude[row, k]) for k in places]
        assert found == wanted
        seen |= {magnitude for _, magnitude in wanted}
    assert min(seen) < 0 < max(seen)


def test_bins_are_reported_where_a_magnitude_has_one() -> None:
    drawer = Drawer(7, 2, np.arange(200), SIZE)
    slots = drawer.program(GRADED[0])
    light = 1 + drawer.leaves.index(LIGHT)
    rows = slots.leaf[:, 0] == light
    assert {*slots.bin[rows, 0].tolist()} <= {*range(31)} and slots.bin[rows, 0].max() > 25
    assert np.allclose(np.abs(slots.magnitude[rows, 0]), np.array(BINS)[slots.bin[rows, 0]])
    assert (slots.bin[slots.leaf[:, 0] == 0] == -1).all()


# What is left for the pass


def test_neighbouring_geometry_becomes_one_matrix_and_the_last_is_the_passs() -> None:
    policy = parse_policy("sequence([rotate(30), rotate(20), invert(1.0), rotate(9), shear(9)])")
    plan = plan_of(policy, 5)
    program = plan.program
    assert program is not None
    assert (program.code[:, 0] == 0).all() and (program.code[:, 1] == MATRIX).all()
    assert (program.code[:, 3:] == 0).all() and plan.warped.all()
    numbers = {type(leaf).__name__ + str(k): made for k, (leaf, made) in
               enumerate(zip(program.leaves, program.made, strict=True))}  # fmt: skip
    one, two = (numbers[f"Rotate{k}"] for k in (0, 1))
    assert one is not None and two is not None
    together = _turns(one.values["degrees"] + two.values["degrees"], SIZE)
    assert np.allclose(program.value[:, 1, :9].reshape(-1, 3, 3), together, atol=1e-6)


def test_what_geometry_alone_draws_needs_no_frame() -> None:
    plan = plan_of(parse_policy("hflip(0.5) | one_of([rotate(30), shear(20), hflip(1.0)])"))
    assert not plan.made.any() and plan.warped.all()


def test_flips_come_before_the_program_of_a_sample() -> None:
    turned = plan_of(parse_policy("sequence([rotate(30)])")).inverse
    both = plan_of(parse_policy("hflip(1.0) | sequence([rotate(30)])")).inverse
    mirror = np.array([[-1, 0, SIZE[1] - 1], [0, 1, 0], [0, 0, 1]])
    assert np.allclose(both, mirror @ turned, atol=1e-5)


def test_an_operation_may_stand_in_a_program_any_number_of_times() -> None:
    policy = Policy([Sequence((Posterize(5, p=1.0), Solarize(0.5, p=1.0), Posterize(2, p=1.0),
                               Invert(1.0), Invert(1.0)))])  # fmt: skip
    assert all(len(drawn(plan_of(policy), row)) == 5 for row in range(40))
