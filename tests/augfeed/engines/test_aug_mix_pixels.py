"""Pixels of AugMix are those of Pillow's steps, mixed as torchvision and timm write it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augfeed.engines import Output
from augfeed.notation import parse_policy
from augfeed.operation.program import Candidate
from augfeed.ops import _chains
from augfeed.plan import BatchRows, Plan, draw_plan
from tests.augfeed.engines.test_automatic_pixels import LOOKS, SIDE, Pixels, by_pillow, make_images
from tests.cases import ENGINES, Shape, plan_of, run
from tests.cases import make_images as make_small

BYTES = Output(torch.uint8)
COUNT = 120
Floats = NDArray[np.float32]
Chains = list[tuple[Pixels, float]]  # what a chain makes of an image, and its weight


@cache
def drawn(line: str) -> Plan:
    rows = BatchRows.of(np.arange(COUNT))
    return draw_plan(parse_policy(line), rows, seed=11, epoch=1, size=(SIDE, SIDE))


def chains_of(plan: Plan, row: int, image: Pixels) -> tuple[list[float], Chains] | None:
    """The weights of a row's first and last step, and its chains; None where pixels move."""
    program, weights, chains, made = plan.program, list[float](), Chains(), image
    assert program is not None
    for slot in np.flatnonzero(program.slots.leaf[row]):
        leaf = program.leaves[program.slots.leaf[row, slot] - 1]
        magnitude = float(program.slots.magnitude[row, slot])
        assert isinstance(leaf, Candidate)
        if leaf.step is _chains.Add:
            chains.append((made, magnitude))
            made = image
        elif leaf.step in _chains.STEPS:
            weights.append(magnitude)
        elif leaf.name in LOOKS:
            made, _ = by_pillow(made, leaf.name, magnitude, False)
        else:
            return None
    return weights, chains


def once(image: Pixels, weights: list[float], chains: Chains) -> Pixels:
    mix = np.float32(weights[0]) * image
    for made, weight in chains:
        mix = mix + np.float32(weight) * made
    return mix.astype(np.uint8)


def twice(image: Pixels, weights: list[float], chains: Chains) -> Pixels:
    mix = np.zeros(image.shape, np.float32)
    for made, weight in chains:
        mix = mix + np.float32(weight) * made
    return blended(image, np.clip(mix, 0, 255).astype(np.uint8), weights[1])


def in_turn(image: Pixels, weights: list[float], chains: Chains) -> Pixels:
    mix = image
    for made, weight in chains:
        mix = blended(mix, made, weight)
    return mix


def blended(first: Pixels, second: Pixels, share: float) -> Pixels:
    # As Pillow's blend does.
    gap = second.astype(np.float32) - first
    return (first + np.float32(share) * gap).astype(np.uint8)


Mix = Callable[[Pixels, list[float], Chains], Pixels]
LINES: dict[str, Mix] = {
    "aug_mix(6, depth=1)": once,
    "aug_mix(10, 1, 2)": once,
    'aug_mix(6, depth=1, flavor="timm")': twice,
    'timm("augmix-m6-w2-d1-b1")': in_turn,
}


@pytest.mark.parametrize("line", LINES)
def test_chains_are_mixed_as_the_libraries_write_it(line: str) -> None:
    images, plan, seen = make_images()[:COUNT], drawn(line), 0
    made: Any = run("portable", plan, torch.from_numpy(images), output=BYTES)
    for row in range(COUNT):
        found = chains_of(plan, row, images[row])
        if found is None:
            continue
        wanted = LINES[line](images[row], *found)
        gap = np.abs(made[row].permute(1, 2, 0).numpy().astype(int) - wanted)
        assert gap.max() <= 1  # of contrast the mean gray may be another level than Pillow's
        assert gap.mean() < 0.05
        seen += 1
    assert seen > 10


def test_two_flavors_differ_by_two_levels_at_most_for_the_same_chains() -> None:
    """What the docstring says of roundings, for any images and any weights."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (4000, 1)).astype(np.uint8)
    chains = [rng.integers(0, 256, (4000, 1)).astype(np.uint8) for _ in range(3)]
    gaps = []
    for _ in range(200):
        drawn = rng.dirichlet([1.0] * 3)[:, None], rng.beta(1, 1, 1)
        results = []
        for weigh, mix in ((_chains.weigh_once, once), (_chains.weigh_twice, twice)):
            first, ended, last = weigh(*drawn)
            weights = [float(first[0]), float(last[0])]
            results.append(mix(image, weights, list(zip(chains, ended[:, 0], strict=True))))
        gaps.append(np.abs(results[0].astype(int) - results[1]).max())
    assert max(gaps) in (1, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("line", ["aug_mix", 'aug_mix(flavor="timm")', 'timm("augmix-b1")'])
def test_chains_that_change_nothing_leave_every_level_as_it_is(line: str, engine: str) -> None:
    shape = Shape(3, 8, 9, 6)
    plan, images = plan_of(parse_policy(line), shape), make_small(shape)
    assert plan.program is not None
    control = [code for code in np.unique(plan.program.code) if 202 <= code <= 204]
    assert len(control) == 3
    plan.program.code[~np.isin(plan.program.code, control)] = 0
    for given in (images, images.float() / 255):
        made = run(engine, plan, given, output=BYTES)
        assert torch.equal(made, images.permute(0, 3, 1, 2))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_mixture_starts_from_the_first(engine: str) -> None:
    # The memory of one sample's chains is not that of another, or of chains before.
    shape = Shape(3, 10, 12, 5)
    line = "sequence([aug_mix(p=0.6), invert(0.5), aug_mix(5, 2, 1, all_ops=False)])"
    plan, images = plan_of(parse_policy(line), shape), make_small(shape)
    made, wanted = (run(name, plan, images, output=BYTES) for name in (engine, "portable"))
    gap = (made.int() - wanted.int()).abs()
    assert (gap > 0).float().mean() < 0.005
