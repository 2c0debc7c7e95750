"""The tables of published automatic policies: sub-policies, and what a magnitude is of which step.

One name means two policies: torchvision and timm map magnitudes to different strengths.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

from augfeed.operation.program import Candidate, Entry, Magnitudes
from augfeed.ops import _auto_steps as steps
from augfeed.ops._auto_steps import enhance, linspace, translate_by_bin

# Pairs of a step, its probability and its level, from 0 to 10. AutoAugment, 1805.09501.
SUB_POLICIES = {
    "imagenet": """
        posterize .4 8, rotate .6 9
        solarize .6 5, autocontrast .6 5
        equalize .8 8, equalize .6 3
        posterize .6 7, posterize .6 6
        equalize .4 7, solarize .2 4
        equalize .4 4, rotate .8 8
        solarize .6 3, equalize .6 7
        posterize .8 5, equalize 1 2
        rotate .2 3, solarize .6 8
        equalize .6 8, posterize .4 6
        rotate .8 8, color .4 0
        rotate .4 9, equalize .6 2
        equalize 0 7, equalize .8 8
        invert .6 4, equalize 1 8
        color .6 4, contrast 1 8
        rotate .8 8, color 1 2
        color .8 8, solarize .8 7
        sharpness .4 7, invert .6 8
        shear_x .6 5, equalize 1 9
        color .4 0, equalize .6 3
        equalize .4 7, solarize .2 4
        solarize .6 5, autocontrast .6 5
        invert .6 4, equalize 1 8
        color .6 4, contrast 1 8
        equalize .8 8, equalize .6 3
    """,
    "cifar10": """
        invert .1 0, contrast .2 6
        rotate .7 2, translate_x .3 9
        sharpness .8 1, sharpness .9 3
        shear_y .5 8, translate_y .7 9
        autocontrast .5 0, equalize .9 0
        shear_y .2 7, posterize .3 7
        color .4 3, brightness .6 7
        sharpness .3 9, brightness .7 9
        equalize .6 0, equalize .5 0
        contrast .6 7, sharpness .6 5
        color .7 7, translate_x .5 8
        equalize .3 0, autocontrast .4 0
        translate_y .4 3, sharpness .2 6
        brightness .9 6, color .2 8
        solarize .5 2, invert 0 0
        equalize .2 0, autocontrast .6 0
        equalize .2 0, equalize .6 0
        color .9 9, equalize .6 0
        autocontrast .8 0, solarize .2 8
        brightness .1 3, color .7 0
        solarize .4 5, autocontrast .9 0
        translate_y .9 9, translate_y .7 9
        autocontrast .9 0, solarize .8 3
        equalize .8 0, invert .1 0
        translate_y .7 9, autocontrast .9 0
    """,
    "svhn": """
        shear_x .9 4, invert .2 0
        shear_y .9 8, invert .7 0
        equalize .6 0, solarize .6 6
        invert .9 0, equalize .6 0
        equalize .6 0, rotate .9 3
        shear_x .9 4, autocontrast .8 0
        shear_y .9 8, invert .4 0
        shear_y .9 5, solarize .2 6
        invert .9 0, autocontrast .8 0
        equalize .6 0, rotate .9 3
        shear_x .9 4, solarize .3 3
        shear_y .8 8, invert .7 0
        equalize .9 0, translate_y .6 6
        invert .9 0, equalize .6 0
        contrast .3 3, rotate .8 4
        invert .8 0, translate_y 0 2
        shear_y .7 6, solarize .4 8
        invert .6 0, rotate .8 4
        shear_y .3 7, translate_x .9 3
        shear_x .1 6, invert .6 0
        solarize .7 2, translate_y .6 7
        shear_y .8 4, invert .8 0
        shear_x .7 9, translate_y .8 3
        shear_y .8 5, autocontrast .7 0
        shear_x .7 2, invert .1 0
    """,
    # Of EfficientNet on TPUs, as timm has it.
    "v0": """
        equalize .8 1, shear_y .8 4
        color .4 9, equalize .6 3
        color .4 1, rotate .6 8
        solarize .8 3, equalize .4 7
        solarize .4 2, solarize .6 2
        color .2 0, equalize .8 8
        equalize .4 8, solarize_add .8 3
        shear_x .2 9, rotate .6 8
        color .6 1, equalize 1 2
        invert .4 9, rotate .6 0
        equalize 1 9, shear_y .6 3
        color .4 7, equalize .6 0
        posterize .4 6, autocontrast .4 7
        solarize .6 8, color .6 9
        solarize .2 4, rotate .8 9
        rotate 1 7, translate_y .8 9
        shear_x 0 0, solarize .8 4
        shear_y .8 0, color .6 4
        color 1 0, rotate .6 2
        equalize .8 4, equalize 0 8
        equalize 1 4, autocontrast .6 2
        shear_y .4 7, solarize_add .6 7
        posterize .8 2, solarize .6 10
        solarize .6 8, equalize .6 1
        color .8 6, rotate .4 5
    """,
}


class SubStep(NamedTuple):
    """One step of a sub-policy, with its probability and its level."""

    name: str
    p: float
    level: int


@cache
def sub_policies(name: str) -> tuple[tuple[SubStep, SubStep], ...]:
    """Return the 25 pairs of a table of AutoAugment."""
    made = []
    for line in SUB_POLICIES[name].split("\n"):
        if line.strip():
            words = [item.split() for item in line.split(",")]
            first, second = (SubStep(step, float(p), int(level)) for step, p, level in words)
            made.append((first, second))
    return tuple(made)


class Space(NamedTuple):
    """How strong the steps of one of torchvision's policies get at the most.

    `shift` is a share of the side; `pixels`, if above 0, stands in its place. `bits` are those that
    posterize keeps at the least and at the most magnitude.
    """

    shear: float
    turn: float
    factor: float
    bits: tuple[int, int]
    shift: float = 0.0
    pixels: float = 0.0


RAND = Space(0.3, 30.0, 0.9, (8, 4), shift=150 / 331)
WIDE = Space(0.99, 135.0, 0.99, (8, 2), pixels=32.0)
AUGMIX = Space(0.3, 30.0, 0.9, (4, 0), shift=1 / 3)


@cache
def torchvision_entries(space: Space, bins: int, least_bits: int = 1) -> dict[str, Entry]:
    """Return the steps of torchvision's policies, each with the magnitudes of its bins.

    Posterize never keeps less than `least_bits`.
    """
    made = {"identity": Entry(None)}
    for axis, candidate in enumerate((steps.SHEAR_X, steps.SHEAR_Y)):
        made[candidate.name] = Entry(candidate, linspace(0, space.shear, bins))
        made[f"translate_{'xy'[axis]}"] = _translation(space, axis, bins)
    made["rotate"] = Entry(steps.ROTATE, linspace(0, space.turn, bins))
    for name in steps.ENHANCE:
        made[name] = Entry(enhance(name, signed=True), linspace(0, space.factor, bins))
    return {
        **made,
        "posterize": Entry(steps.POSTERIZE, _bits(space.bits, bins, least_bits)),
        "solarize": Entry(steps.SOLARIZE, _thresholds(bins)),
        "autocontrast": Entry(steps.AUTOCONTRAST),
        "equalize": Entry(steps.EQUALIZE),
        "invert": Entry(steps.INVERT),
    }


def _translation(space: Space, axis: int, bins: int) -> Entry:
    if space.pixels:
        return Entry(steps.TRANSLATE_BY_PIXELS[axis], linspace(0, space.pixels, bins))
    values = tuple(space.shift * (k / (bins - 1)) for k in range(bins))
    return Entry(translate_by_bin(axis, space.shift, bins), values)


def _bits(bits: tuple[int, int], bins: int, least: int) -> tuple[float, ...]:
    # In float32, halves to even, as torch rounds.
    lost = np.arange(bins, dtype=np.float32) / np.float32((bins - 1) / (bits[0] - bits[1]))
    return tuple(float(max(kept, least)) for kept in np.rint(np.float32(bits[0]) - lost))


def _thresholds(bins: int) -> tuple[float, ...]:
    # The first level that is inverted.
    return tuple(float(np.ceil(255.0 * share)) for share in linspace(1, 0, bins))


# What every sub-policy of RandAugment, TrivialAugment and AugMix of torchvision draws from.
RAND_NAMES = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
ENHANCED = ("brightness", "color", "contrast", "sharpness")
# Of all of them, those that move pixels.
MOVING = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def kept(names: Iterable[str], without: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that are not left out; raise `ValueError` if none is."""
    rest = tuple(name for name in names if name not in without)
    if not rest:
        raise ValueError(f"without={without!r} leaves nothing to draw: leave a step")
    return rest


Level = Callable[[Magnitudes], Magnitudes]


class Scaled(NamedTuple):
    """A step of timm's, and its magnitude by a level from 0 on, of which 10 is the usual most."""

    candidate: Candidate
    magnitude: Level


def _linear(factor: float) -> Level:
    return lambda level: level / 10.0 * factor


def _kept(first: int, sign: int, least: int) -> Level:
    def bits(level: Magnitudes) -> Magnitudes:
        made: Magnitudes = np.clip(first + sign * np.trunc(level / 10.0 * 4), least, 8)
        return made

    return bits


def _threshold(level: Magnitudes) -> Magnitudes:
    return np.minimum(256.0, np.trunc(level / 10.0 * 256))


def _addition(level: Magnitudes) -> Magnitudes:
    return np.minimum(128.0, np.trunc(level / 10.0 * 110))


@cache
def timm_steps(least_bits: int = 1, shift: float = 0.45) -> dict[str, Scaled]:
    """Return the steps of timm's policies; those of `increasing` sets end in `+`.

    `shift` is the share of the side by which level 10 moves an image.
    """
    made = {
        "autocontrast": Scaled(steps.AUTOCONTRAST, np.zeros_like),
        "equalize": Scaled(steps.EQUALIZE, np.zeros_like),
        "invert": Scaled(steps.INVERT, np.zeros_like),
        "rotate": Scaled(steps.ROTATE, _linear(30.0)),
        "posterize": Scaled(steps.POSTERIZE, _kept(0, 1, least_bits)),
        "posterize+": Scaled(steps.POSTERIZE, _kept(4, -1, least_bits)),
        "posterize of 4 and more": Scaled(steps.POSTERIZE, _kept(4, 1, least_bits)),
        "solarize": Scaled(steps.SOLARIZE, _threshold),
        "solarize+": Scaled(steps.SOLARIZE, lambda level: 256.0 - _threshold(level)),
        "solarize_add": Scaled(steps.SOLARIZE_ADD, _addition),
        "shear_x": Scaled(steps.SHEAR_X, _linear(0.3)),
        "shear_y": Scaled(steps.SHEAR_Y, _linear(0.3)),
        "translate_x": Scaled(steps.TRANSLATE_BY_SHARE[0], _linear(shift)),
        "translate_y": Scaled(steps.TRANSLATE_BY_SHARE[1], _linear(shift)),
        "desaturate": Scaled(
            steps.DESATURATE, lambda level: np.clip(0.5 + 0.5 * (level / 10.0), 0.5, 1.0)
        ),
        "gaussian_blur": Scaled(
            steps.BLUR, lambda level: np.clip(0.1 + 1.9 * (level / 10.0), 0.1, 2.0)
        ),
    }
    for name in ENHANCED:
        # A factor of 0.1 to 1.9; or, signed, of 1 -/+ 0.9, and never below 0.1.
        unsigned = enhance(name, signed=False)
        made[name] = Scaled(unsigned, lambda level: level / 10.0 * 1.8 + 0.1 - 1.0)
        made[f"{name}+"] = Scaled(enhance(name, signed=True, least=0.1), _linear(0.9))
    return made


TIMM_RAND = (
    "autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add",
    "color", "contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x",
    "translate_y",
)  # fmt: skip
_INCREASING = (*ENHANCED, "posterize", "solarize")
TIMM_INCREASING = tuple(f"{name}+" if name in _INCREASING else name for name in TIMM_RAND)
TIMM_AUGMIX = tuple(name for name in TIMM_INCREASING if name not in ("invert", "solarize_add"))
# Sets by name: weights, or none for steps that are drawn alike.
TIMM_SETS: dict[str, dict[str, float]] = {
    "3a": dict.fromkeys(("solarize+", "desaturate", "gaussian_blur"), 0.0),
    "3aw": {
        "solarize+": 6, "desaturate": 6, "gaussian_blur": 6, "rotate": 3, "shear_x": 2,
        "shear_y": 2, "posterize+": 1, "autocontrast": 1, "color+": 1, "sharpness+": 1,
        "contrast+": 1, "brightness+": 1, "equalize": 1, "invert": 1,
    },
    "weights": {
        "rotate": 3, "shear_x": 2, "shear_y": 2, "translate_x": 1, "translate_y": 1, "color+": 0.25,
        "sharpness+": 0.25, "autocontrast": 0.25, "solarize+": 0.05, "solarize_add": 0.05,
        "contrast+": 0.05, "brightness+": 0.05, "equalize": 0.05, "posterize+": 0.05,
        "invert": 0.05,
    },
    # Of `w0`, which timm had before 1.0, for steps that do not increase.
    "w0": {
        "rotate": 0.3, "shear_x": 0.2, "shear_y": 0.2, "translate_x": 0.1, "translate_y": 0.1,
        "color": 0.025, "sharpness": 0.025, "autocontrast": 0.025, "solarize": 0.005,
        "solarize_add": 0.005, "contrast": 0.005, "brightness": 0.005, "equalize": 0.005,
        "posterize": 0.0, "invert": 0.0,
    },
}  # fmt: skip
