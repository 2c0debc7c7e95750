"""The laws of automatic policies: which steps a sample gets, how strong, with which sign."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.doctor.check import Check, Lab
from augfeed.doctor.statistics import Measured, chi_square, kolmogorov_smirnov, uniform
from augfeed.plan import Plan
from augfeed.policy import AugMix, AutoAugment, RandAugment, Timm, TrivialAugmentWide

BINS = 31
STEPS = 14  # of TrivialAugment and RandAugment, with identity
TIMM_STEPS = 15


def programs(lab: Lab) -> Iterator[Check]:
    """Check the steps of automatic policies, their bins, their signs and their levels."""
    yield from _trivial(lab)
    plan = lab.plan(RandAugment(2, 9))
    law = "each of 14 as often"
    for slot in (0, 1):
        yield Check.of(f"rand_augment step {slot + 1}", law, _alike(plan, slot, STEPS))
    law = "tell nothing about each other"
    yield Check.of("rand_augment steps", law, _pairs_alike(plan))
    plan = lab.plan(Timm("rand-m3-mstd101-n1-inc1"))
    law = "half of the samples, each of 15 as often"
    yield Check.of("timm step", law, _alike(plan, 0, TIMM_STEPS, p=0.5))
    level = np.abs(_magnitudes(plan, "rotate")) / 3
    law = "level uniform in [0, 3]"
    yield Check.of("timm level", law, kolmogorov_smirnov(level, uniform(0, 3)))
    plan = lab.plan(AutoAugment("svhn"))
    law = "a share 0.724 of the samples has a first step"
    done = int((_leaf(plan)[:, 0] > 0).sum())
    measured = _shares([done, lab.samples - done], [0.724, 0.276])
    yield Check.of("auto_augment step", law, measured)
    yield from _chains(lab)


def _chains(lab: Lab) -> Iterator[Check]:
    plan = lab.plan(AugMix(width=2, flavor="timm"))
    first = _leaf(plan)[:, 1:4] > 0
    counts = np.bincount(first.sum(axis=1), minlength=4)
    yield Check.of("aug_mix chain", "1, 2 or 3 steps, each as often", _shares(counts[1:], [1] * 3))
    names = np.bincount(_leaf(plan)[:, 1])
    yield Check.of("aug_mix step", "each of 13 as often", _shares(names[names > 0], [1] * 13))
    assert plan.program is not None
    weights = plan.program.slots.magnitude[:, [4, 9]]
    for name, values in (("weight", weights[:, 0]), ("share", weights[:, 1])):
        measured = kolmogorov_smirnov(values, uniform(0, 1))
        yield Check.of(f"aug_mix {name}", "Beta(1, 1)", measured)


def _trivial(lab: Lab) -> Iterator[Check]:
    plan = lab.plan(TrivialAugmentWide(BINS))
    law = "each of 14 as often"
    yield Check.of("trivial_augment step", law, _alike(plan, 0, STEPS))
    assert plan.program is not None
    bins = plan.program.slots.bin[:, 0]
    counts = np.bincount(bins[bins >= 0], minlength=BINS)
    law = f"each of {BINS} as often"
    yield Check.of("trivial_augment bin", law, _shares(counts, [1] * BINS))
    turned = _magnitudes(plan, "rotate")
    below, above = int((turned < 0).sum()), int((turned > 0).sum())
    law = "half of the samples are turned either way"
    yield Check.of("trivial_augment sign", law, _shares([below, above], [1, 1]))


def _leaf(plan: Plan) -> NDArray[Any]:
    assert plan.program is not None
    return plan.program.slots.leaf


def _magnitudes(plan: Plan, name: str) -> NDArray[np.float64]:
    assert plan.program is not None
    names = [leaf.name for leaf in plan.program.leaves]
    where = plan.program.slots.leaf == 1 + names.index(name)
    found: NDArray[np.float64] = plan.program.slots.magnitude[where]
    return found


def _alike(plan: Plan, slot: int, steps: int, p: float = 1.0) -> Measured:
    # Of 14 steps, identity does not count as a step; with p, all others together are.
    counts = np.bincount(_leaf(plan)[:, slot], minlength=steps)
    rest = [(1 - p) * steps / p] if p < 1 else [1.0]
    return _shares(counts, [*rest, *[1.0] * (steps if p < 1 else steps - 1)])


def _pairs_alike(plan: Plan) -> Measured:
    leaf = _leaf(plan).astype(np.int64)
    counts = np.bincount(leaf[:, 0] * STEPS + leaf[:, 1], minlength=STEPS**2)
    return _shares(counts, [1.0] * STEPS**2)


def _shares(observed: Any, shares: Any) -> Measured:
    counts, wanted = np.asarray(observed, np.float64), np.asarray(shares, np.float64)
    return chi_square(counts, wanted / wanted.sum() * counts.sum(), len(counts) - 1)
