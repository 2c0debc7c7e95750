"""Automatic policies hold their published laws: a plain re-draw of each sample, and counts."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augfeed.doctor.statistics import chi_square, kolmogorov_smirnov, uniform
from augfeed.notation import parse_policy
from augfeed.operation.program import Candidate
from augfeed.ops._auto_steps import linspace
from augfeed.philox import draw
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.program_draws import BLOCKS, FIRST_STREAM

SIZE = (224, 192)
MANY, FEW = 100_000, 400
LEAST_P = 1e-3  # the seed is fixed: the numbers are the same in every run


@cache
def plan_of(line: str, count: int, seed: int = 3) -> Plan:
    rows = BatchRows.of(np.arange(count))
    return draw_plan(parse_policy(line), rows, seed=seed, epoch=2, size=SIZE)


Step = tuple[str, float]  # its name, and the signed magnitude


def steps_of(plan: Plan, row: int) -> list[Step]:
    program = plan.program
    assert program is not None
    found = []
    for slot in np.flatnonzero(program.slots.leaf[row]):
        leaf = program.leaves[program.slots.leaf[row, slot] - 1]
        name = leaf.name if isinstance(leaf, Candidate) else leaf.op
        found.append((name, float(program.slots.magnitude[row, slot])))
    return found


# torchvision's ranges, written down again: name, the magnitude of a bin, whether it is negated.
Ranges = dict[str, tuple[Callable[[int, int], float], bool]]


def _line(most: float, bin_: int, bins: int) -> float:
    return float(torch.linspace(0.0, most, bins)[bin_])


def _bits(first: int, last: int, bin_: int, bins: int) -> float:
    kept = first - torch.arange(bins) / ((bins - 1) / (first - last))
    return float(kept.round().int()[bin_])


def _threshold(bin_: int, bins: int) -> float:
    return math.ceil(255.0 * float(torch.linspace(1.0, 0.0, bins)[bin_]))


def _share(most: float, bin_: int, bins: int) -> float:
    return most * bin_ / (bins - 1)


def _none(bin_: int, bins: int) -> float:
    return 0.0


def torchvision(shear: float, shift: Any, turn: float, factor: float, bits: int) -> Ranges:
    return {
        "identity": (_none, False),
        "shear_x": (partial(_line, shear), True),
        "shear_y": (partial(_line, shear), True),
        "translate_x": (shift, True),
        "translate_y": (shift, True),
        "rotate": (partial(_line, turn), True),
        "brightness": (partial(_line, factor), True),
        "color": (partial(_line, factor), True),
        "contrast": (partial(_line, factor), True),
        "sharpness": (partial(_line, factor), True),
        "posterize": (partial(_bits, 8, bits), False),
        "solarize": (_threshold, False),
        "autocontrast": (_none, False),
        "equalize": (_none, False),
    }


RAND = torchvision(0.3, partial(_share, 150 / 331), 30.0, 0.9, 4)
WIDE = torchvision(0.99, partial(_line, 32.0), 135.0, 0.99, 2)


@dataclass
class Numbers:
    """The uniforms of one sample, node by node of the tree."""

    sample: int
    seed: int = 3
    place: int = 0

    def node(self, count: int) -> list[float]:
        ids = np.array([self.sample])
        found = draw(self.seed, 2, ids, [(FIRST_STREAM, self.place * BLOCKS, count)])
        self.place += 1
        return [float(value) for value in found[:, 0]]


def trivial(sample: int) -> Iterator[Step]:
    _, which, fires, sign, bin_ = Numbers(sample).node(5)
    name, (value, signed) = list(WIDE.items())[int(which * 14)]
    if name != "identity" and fires < 1:
        magnitude = value(int(bin_ * 31), 31)
        yield name, -magnitude if signed and sign < 0.5 else magnitude


def rand(sample: int) -> Iterator[Step]:
    numbers = Numbers(sample)
    numbers.node(1)  # of the series
    for _ in range(2):
        _, which, fires, sign = numbers.node(4)
        name, (value, signed) = list(RAND.items())[int(which * 14)]
        if name != "identity" and fires < 1:
            magnitude = value(9, 31)
            yield name, -magnitude if signed and sign < 0.5 else magnitude


def timm(sample: int) -> Iterator[Step]:
    # rand-m9-mstd0.5-inc1, as timm writes it.
    names = ["autocontrast", "equalize", "invert", "rotate", "posterize", "solarize",
             "solarize_add", "color", "contrast", "brightness", "sharpness", "shear_x", "shear_y",
             "translate_x", "translate_y"]  # fmt: skip
    numbers = Numbers(sample)
    numbers.node(1)
    for _ in range(2):
        _, which, fires, sign, one, two = numbers.node(6)
        if fires >= 0.5:
            continue
        noise = math.sqrt(-2 * math.log(1 - one)) * math.cos(2 * math.pi * two)
        level = max(0.0, min(9 + 0.5 * noise, 10.0))
        name = names[int(which * 15)]
        signed = -1.0 if sign < 0.5 else 1.0
        yield (
            name,
            {
                "rotate": signed * level / 10 * 30,
                "posterize": max(1, 4 - int(level / 10 * 4)),
                "solarize": 256 - min(256, int(level / 10 * 256)),
                "solarize_add": min(128, int(level / 10 * 110)),
                "shear_x": signed * level / 10 * 0.3,
                "shear_y": signed * level / 10 * 0.3,
                "translate_x": signed * level / 10 * 0.45,
                "translate_y": signed * level / 10 * 0.45,
                **dict.fromkeys(
                    ("color", "contrast", "brightness", "sharpness"), signed * level / 10 * 0.9
                ),
            }.get(name, 0.0),
        )


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("trivial_augment_wide", trivial),
        ("rand_augment", rand),
        ('timm("rand-m9-mstd0.5-inc1")', timm),
    ],
)
def test_a_policy_draws_what_a_plain_reading_of_its_law_draws(
    line: str, plain: Callable[[int], Iterator[Step]]
) -> None:
    plan = plan_of(line, FEW)
    for sample in range(FEW):
        expected, found = list(plain(sample)), steps_of(plan, sample)
        assert [name for name, _ in found] == [name for name, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected])


def counted(line: str, slot: int | None = None) -> tuple[Counter[str], int]:
    program = plan_of(line, MANY).program
    assert program is not None
    leaf = program.slots.leaf if slot is None else program.slots.leaf[:, slot]
    names = ["none", *(getattr(item, "name", "") or item.op for item in program.leaves)]
    counts = np.bincount(leaf.ravel(), minlength=len(names))
    return Counter(dict(zip(names, counts.tolist(), strict=True))), leaf.size


def expect(counts: Counter[str], shares: dict[str, float], of: int) -> None:
    assert set(counts) <= set(shares), "nothing else is drawn"
    names = [name for name, share in shares.items() if share > 0]
    assert not any(counts[name] for name in shares if name not in names)
    observed = [counts[name] for name in names]
    measured = chi_square(observed, [shares[name] * of for name in names], len(names) - 1)
    assert measured.p_value is not None and measured.p_value > LEAST_P, counts


TIMM = (
    "autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add",
    "color", "contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x",
    "translate_y",
)  # fmt: skip
ALIKE = {"none" if name == "identity" else name: 1 / 14 for name in RAND}
THREE = {"solarize": 1 / 3, "desaturate": 1 / 3, "gaussian_blur": 1 / 3, "none": 0.0}
WEIGHTS = {
    "rotate": 3, "shear_x": 2, "shear_y": 2, "translate_x": 1, "translate_y": 1, "color": 0.25,
    "sharpness": 0.25, "autocontrast": 0.25, "solarize": 0.05, "solarize_add": 0.05,
    "contrast": 0.05, "brightness": 0.05, "equalize": 0.05, "posterize": 0.05, "invert": 0.05,
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "slot", "shares"),
    [
        ("trivial_augment_wide", 0, ALIKE),
        ("rand_augment", 0, ALIKE),
        ("rand_augment(3)", 2, ALIKE),
        ('timm("rand-m9-mstd0.5-inc1")', 1, {"none": 0.5, **dict.fromkeys(TIMM, 1 / 30)}),
        ('timm("rand-m3-n1-p0.8")', 0, {"none": 0.2, **dict.fromkeys(TIMM, 0.8 / 15)}),
        ('timm("3a")', 0, THREE),
        ('timm("rand-t3a-p1.0")', 0, THREE),
        (
            'timm("rand-tweights-p1.0")',
            0,
            {"none": 0.0, **{name: share / 10.1 for name, share in WEIGHTS.items()}},
        ),
        ('trivial_augment_wide(without=["rotate", "identity"], p=0.4)', 0,
         {"none": 0.6, **{name: 0.4 / 12 for name in ALIKE if name not in ("rotate", "none")}}),
    ],
)  # fmt: skip
def test_steps_come_as_often_as_the_law_says(
    line: str, slot: int, shares: dict[str, float]
) -> None:
    expect(*_with(counted(line, slot), shares))


def _with(
    found: tuple[Counter[str], int], shares: dict[str, float]
) -> tuple[Counter[str], dict[str, float], int]:
    return found[0], shares, found[1]


def test_the_second_of_weighted_steps_is_another_one() -> None:
    program = plan_of('timm("rand-tweights-p1.0")', MANY).program
    assert program is not None
    assert (program.slots.leaf[:, 0] != program.slots.leaf[:, 1]).all()
    whole = sum(WEIGHTS.values())
    second = {
        name: sum(
            other / whole * weight / (whole - other)
            for key, other in WEIGHTS.items()
            if key != name
        )
        for name, weight in WEIGHTS.items()
    }
    expect(*_with(counted('timm("rand-tweights-p1.0")', 1), {"none": 0.0, **second}))


@pytest.mark.parametrize("name", sorted(set(RAND) - {"identity", "autocontrast", "equalize"}))
def test_bins_of_trivial_augment_are_uniform_and_signs_are_fair(name: str) -> None:
    program = plan_of("trivial_augment_wide", MANY).program
    assert program is not None
    number = 1 + [leaf.name for leaf in program.leaves].index(name)
    rows = program.slots.leaf[:, 0] == number
    bins, magnitude = program.slots.bin[rows, 0], program.slots.magnitude[rows, 0]
    counts = np.bincount(bins, minlength=31)
    measured = chi_square(counts, np.full(31, rows.sum() / 31), 30)
    assert measured.p_value is not None and measured.p_value > LEAST_P
    value, signed = WIDE[name]
    expected = np.array([value(k, 31) for k in range(31)])[bins]
    np.testing.assert_allclose(np.abs(magnitude), expected)
    if not signed:
        assert (magnitude >= 0).all()
        return
    moved = magnitude[expected != 0]
    below = int((moved < 0).sum())
    fair = chi_square([below, len(moved) - below], [len(moved) / 2] * 2, 1)
    assert fair.p_value is not None and fair.p_value > LEAST_P


def magnitudes(line: str, name: str) -> NDArray[np.float64]:
    program = plan_of(line, MANY).program
    assert program is not None
    number = 1 + [leaf.name for leaf in program.leaves].index(name)
    found: NDArray[np.float64] = program.slots.magnitude[program.slots.leaf == number]
    return found


def test_timm_draws_levels_that_are_normal_and_held_at_the_most() -> None:
    level = np.abs(magnitudes('timm("rand-m9-mstd0.5-inc1")', "rotate")) / 3
    assert level.max() == 10.0
    at_most = (level == 10.0).mean()
    assert at_most == pytest.approx(0.5 * math.erfc(2 / math.sqrt(2)), abs=0.006)

    def held(x: NDArray[np.float64]) -> NDArray[np.float64]:
        made: NDArray[np.float64] = torch.special.ndtr(torch.from_numpy((x - 9) / 0.5)).numpy()
        shares: NDArray[np.float64] = made / (1 - at_most)
        return shares

    p_value = kolmogorov_smirnov(level[level < 10.0], held).p_value
    assert p_value is not None and p_value > LEAST_P


@pytest.mark.parametrize(
    ("line", "most"), [("rand-m3-inc1-mstd101", 3.0), ("rand-m14-mmax20-mstd500-inc1", 14.0)]
)
def test_timm_draws_uniform_levels_above_a_deviation_of_100(line: str, most: float) -> None:
    level = np.abs(magnitudes(f'timm("{line}")', "rotate")) / 3
    p_value = kolmogorov_smirnov(level, uniform(0, most)).p_value
    assert p_value is not None and p_value > LEAST_P


def test_timm_holds_levels_at_mmax_and_factors_at_a_tenth() -> None:
    level = magnitudes('timm("rand-m14-mmax12-inc1")', "rotate") / 3
    assert set(np.round(level, 9)) == {-12.0, 12.0}
    plan = plan_of('timm("rand-m14-mmax12-inc1-n1")', MANY)
    assert plan.program is not None
    number = 1 + [leaf.name for leaf in plan.program.leaves].index("brightness")
    rows = plan.program.slots.leaf[:, 0] == number
    assert set(np.round(plan.program.value[rows, 0, 0].astype(float), 6)) == {0.1, 2.08}


# AutoAugment: the pairs of ImageNet, in the short form of the tables of both libraries.
PAIRS = """Po.4:8 Ro.6:9|So.6:5 AC.6|Eq.8 Eq.6|Po.6:7 Po.6:6|Eq.4 So.2:4|Eq.4 Ro.8:8|So.6:3 Eq.6|
Po.8:5 Eq1|Ro.2:3 So.6:8|Eq.6 Po.4:6|Ro.8:8 Co.4:0|Ro.4:9 Eq.6|Eq0 Eq.8|In.6 Eq1|Co.6:4 Ct1:8|
Ro.8:8 Co1:2|Co.8:8 So.8:7|Sh.4:7 In.6|SX.6:5 Eq1|Co.4:0 Eq.6|Eq.4 So.2:4|So.6:5 AC.6|In.6 Eq1|
Co.6:4 Ct1:8|Eq.8 Eq.6"""
NAMES = {
    "Po": "posterize", "Ro": "rotate", "So": "solarize", "AC": "autocontrast", "Eq": "equalize",
    "Co": "color", "Ct": "contrast", "Sh": "sharpness", "SX": "shear_x", "In": "invert",
}  # fmt: skip


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("flavor", ["torchvision", "timm"])
def test_auto_augment_does_the_steps_of_its_pairs_as_often_as_they_say(
    slot: int, flavor: str
) -> None:
    shares: dict[str, float] = {"none": 1.0}
    for pair in PAIRS.replace("\n", "").split("|"):
        word = pair.split()[slot]
        p = float(word[2:].partition(":")[0]) / 25
        shares[NAMES[word[:2]]] = shares.get(NAMES[word[:2]], 0.0) + p
        shares["none"] -= p
    line = f'auto_augment("imagenet", flavor="{flavor}")'
    counts, size = counted(line, slot)
    both = {name: shares.get(name, 0.0) for name in {*shares, *counts}}
    expect(counts, both, size)


def test_one_level_of_auto_augment_is_two_strengths() -> None:
    ours = magnitudes('auto_augment(flavor="torchvision")', "posterize")
    theirs = magnitudes('auto_augment(flavor="timm")', "posterize")
    assert set(ours) == {4.0, 5.0, 6.0}  # bins 8, 7, 6 and 5 of 10
    assert set(theirs) == {6.0, 7.0}
    assert 0.0 in np.round(magnitudes("auto_augment", "color"), 6)  # bin 0 changes nothing
    assert -0.9 in np.round(magnitudes('auto_augment(flavor="timm")', "color"), 6)
    assert 113 + 1 in magnitudes("auto_augment", "solarize")  # from 113.3 on
    assert 128 in magnitudes('auto_augment(flavor="timm")', "solarize")


@pytest.mark.parametrize("line", ["rand-m9-mstd0.5-inc1", "rand-m10-inc1", "v0", "rand-m0"])
def test_posterize_keeps_a_bit_unless_timm_is_to_be_followed_to_the_letter(line: str) -> None:
    kept = magnitudes(f'timm("{line}")', "posterize")
    exact = magnitudes(f'timm("{line}", exact=True)', "posterize")
    assert kept.min() == 1.0 and exact.min() == 0.0
    assert (kept == np.maximum(exact, 1.0)).all()


def test_timm_without_the_floor_blacks_out_the_share_of_images_that_is_known() -> None:
    program = plan_of('timm("rand-m9-mstd0.5-inc1", exact=True)', MANY).program
    assert program is not None
    number = 1 + [leaf.name for leaf in program.leaves].index("posterize")
    black = ((program.slots.leaf == number) & (program.slots.magnitude == 0)).any(axis=1)
    assert black.mean() == pytest.approx(0.0015, abs=0.0004)


@pytest.mark.parametrize("bins", [2, 7, 10, 11, 30, 31, 1000])
@pytest.mark.parametrize(("first", "last"), [(0, 0.3), (0, 0.99), (0, 135), (1, 0), (0, 101.5)])
def test_magnitudes_of_bins_are_those_of_torch(first: float, last: float, bins: int) -> None:
    assert linspace(first, last, bins) == tuple(torch.linspace(first, last, bins).tolist())


def test_a_batch_of_one_draws_what_a_large_one_draws() -> None:
    plan = plan_of("rand_augment", FEW)
    policy = parse_policy("rand_augment")
    for sample in (0, 17, 399):
        alone = draw_plan(policy, BatchRows.of(np.array([sample])), seed=3, epoch=2, size=SIZE)
        assert steps_of(alone, 0) == steps_of(plan, sample)
