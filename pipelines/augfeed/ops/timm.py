"""The automatic policies of timm, by its own lines."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from augfeed.operation import ARXIV, Probability, Program, Uniforms, kind, operation
from augfeed.operation.parameter_types import StepInterpolation
from augfeed.operation.program import (
    Chains,
    Choice,
    Entry,
    Graded,
    Law,
    Magnitudes,
    Node,
    Normal,
    Series,
    Some,
    Uniform,
)
from augfeed.ops._auto_steps import BLUR
from augfeed.ops._auto_tables import (
    TIMM_AUGMIX,
    TIMM_INCREASING,
    TIMM_RAND,
    TIMM_SETS,
    Scaled,
    sub_policies,
    timm_steps,
)
from augfeed.ops._chains import IN_TURN, SUMMED, chain, weigh_in_turn, weigh_twice
from augfeed.ops._timm_grammar import UNIFORM, Auto, Mix, Rand, Recipe, parse_timm

Strength = Callable[[Magnitudes], Magnitudes]
FAR = 1e6  # beyond any level
AUGMIX_SHIFT = 0.3  # of the side, at level 10


@operation
class Timm(Program):
    """Give a sample what a line of timm's `aa` says: `rand-m9-n2-mstd0.5-mmax10-inc1`.

    `rand` draws `n` steps (2) of 15 (1909.13719), each done with probability `p` (0.5) at a level
    that is normal about `m` (10) with `mstd` (0; above 100: uniform from 0 to m), held between 0
    and `mmax` (10). Level 10 is: rotate 30 degrees, shear 0.3, translate 0.45 of the side,
    solarize_add 110; with `inc1` factors of 1 -/+ 0.9, posterize 0 bits, solarize at 0; without
    it factors from 0.1 (level 0) to 1.9, posterize 4 bits, solarize at 256, which are weaker the
    higher the level. `tweights`, `t3a`, `t3aw` and `w0` are sets of steps; those with weights are
    drawn without replacement. `original`, `originalr`, `v0`, `v0r` (AutoAugment) and `3a`
    (3-Augment, 2204.07118) take `mstd`. `augmix` (1912.02781) mixes `w` (3) chains of `d` steps
    (-1: 1 to 3) of 13, at a level that is uniform from 0 to `m` (3), or normal with `mstd`, with
    weights by `a` (1), and with `b1` chain by chain: see `aug_mix(flavor="timm")`. A part that timm
    would pass over or refuse is refused.

    Two things differ on purpose. Posterize keeps one bit at least, where timm keeps none and makes
    the image black, in one of some 650 samples of `rand-m9-mstd0.5-inc1`: `exact=True` does as timm
    does. (Two steps together may still do it: a tenth of the brightness, and then one bit.) Blur is
    a true Gaussian, where Pillow's is a box blur that comes near it.

    timm fills with the mean color: `border(fill="mean")`. Its steps resample by the interpolation
    of training, or bilinear or bicubic by a coin for each step: `interpolation="bicubic"`, or
    `"random"`, one coin for all steps of a sample.
    """

    line: Annotated[
        str,
        Field(
            max_length=200,
            description="timm's line, as rand-m9-mstd0.5-inc1",
            examples=["rand-m9-mstd0.5-inc1", "rand-m7-n3-tweights", "original-mstd0.5", "3a"],
        ),
    ]
    exact: Annotated[bool, Field(description="whether posterize may keep 0 bits: black")] = False
    p: Probability = 1.0
    interpolation: StepInterpolation = "policy"
    later = ("interpolation",)
    op: Literal["timm"] = kind("timm")
    order = 297
    source = f"{ARXIV}1909.13719"
    cases = {
        "timm": 'timm("rand-m9-mstd0.5-inc1")',
        "timm, weights": 'horizontal_flip | timm("rand-m7-n3-mstd101-tweights") | '
        "border(fill=0.45)",
        "timm, weaker by level": 'timm("rand-m4-n2-p0.8")',
        "timm, AutoAugment": 'timm("v0r-mstd0.5")',
        "timm, 3-Augment": 'timm("3a")',
        "timm, AugMix": 'timm("augmix-m5-w2-d2-b1") | hflip',
    }

    @field_validator("line")
    @classmethod
    def _understood(cls, value: str) -> str:
        parse_timm(value)
        return value

    def tree(self) -> Node:
        """Return what the line says."""
        return timm_tree(parse_timm(self.line), exact=self.exact, p=self.p)


@cache
def timm_tree(recipe: Recipe, *, exact: bool, p: float) -> Node:
    """Return what the steps of a recipe are drawn from."""
    known = timm_steps(0 if exact else 1)
    match recipe:
        case Rand():
            return _rand(recipe, known, p)
        case Auto(table="3a"):
            return _three(recipe, known, p)
        case Auto():
            return _auto(recipe, known, p)
    return _mix(recipe, timm_steps(0 if exact else 1, AUGMIX_SHIFT), p)


def law_of(magnitude: float, noise: float) -> Law:
    """Return how the level is drawn, before it is held within its bounds."""
    if noise == UNIFORM:
        return Uniform(0.0, float(magnitude))
    if noise == 0:
        return Uniform(float(magnitude), float(magnitude))
    return Normal(float(magnitude), noise, -FAR, FAR)


def values_of(scaled: Scaled, most: float, about: float = 0.0) -> Strength:
    """Return the magnitudes of a step by what a law drew, `about` a level of its own."""
    return lambda drawn: scaled.magnitude(np.clip(about + drawn, 0.0, most))


def _rand(recipe: Rand, known: dict[str, Scaled], p: float) -> Node:
    weights = TIMM_SETS.get(recipe.steps, {})
    names = tuple(weights) or (TIMM_INCREASING if recipe.increasing else TIMM_RAND)
    law = law_of(recipe.magnitude, recipe.noise)
    entries = tuple(
        (Entry(known[name].candidate, values_of(known[name], recipe.most), recipe.p),)
        for name in names
    )
    if not any(weights.values()):
        return Series((Graded(entries, law),) * recipe.layers, p)
    children = tuple(Graded((entry,), law) for entry in entries)
    return Some(children, recipe.layers, recipe.layers, tuple(weights.values()), p)


def _mix(recipe: Mix, known: dict[str, Scaled], p: float) -> Node:
    entries = tuple(
        (Entry(known[name].candidate, values_of(known[name], 10.0)),)
        for name in TIMM_AUGMIX
        if name.removesuffix("+") not in recipe.without
    )
    child = chain(Graded(entries, law_of(recipe.magnitude, recipe.noise)), recipe.depth)
    steps, weigh = (IN_TURN, weigh_in_turn) if recipe.blended else (SUMMED, weigh_twice)
    return Chains(child, recipe.width, recipe.alpha, steps, weigh, p)


_POSTERIZE = {"original": "posterize of 4 and more", "originalr": "posterize+", "v0r": "posterize+"}


def _auto(recipe: Auto, known: dict[str, Scaled], p: float) -> Node:
    pairs = []
    for pair in sub_policies("v0" if recipe.table in ("v0", "v0r") else "imagenet"):
        slots = []
        for step in pair:
            name = _POSTERIZE.get(recipe.table, step.name) if step.name == "posterize" else (
                step.name)  # fmt: skip
            values = values_of(known[name], 10.0, float(step.level))
            slots.append(Entry(known[name].candidate, values, step.p))
        pairs.append(tuple(slots))
    return Graded(tuple(pairs), law_of(0.0, recipe.noise), p=p)


@dataclass(frozen=True, slots=True)
class _UpToLevel(Normal):
    # Five times a radius that is uniform from 0.1 to a fifth of a level, which is drawn as well.
    uniforms: int = 3

    def draw(self, u: Uniforms, count: int) -> Magnitudes:
        most = Normal.draw(self, u, count) / 5
        made: Magnitudes = 5 * (0.1 + u[2] * (most - 0.1))
        return made


def _three(recipe: Auto, known: dict[str, Scaled], p: float) -> Node:
    made: list[Node] = []
    for name, level in (("solarize", 5.0), ("desaturate", 10.0)):
        entry = Entry(known[name].candidate, values_of(known[name], 10.0, level))
        made.append(Graded(((entry,),), law_of(0.0, recipe.noise)))
    blur = Entry(BLUR, lambda drawn: drawn / 5)
    return Choice((*made, Graded(((blur,),), _UpToLevel(10.0, recipe.noise, 0.0, 10.0))), p=p)
