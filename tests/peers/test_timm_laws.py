"""What `timm(...)` draws beside what timm's own policies draw from the same line."""

import random
from collections import Counter
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest

pytest.importorskip("timm", reason="timm is not installed: `make peers`")

from tests.peers.witness import (
    SIZE,
    THEIRS,
    Step,
    assert_alike,
    assert_one_law,
    assert_same_values,
    names_of,
    plan_of,
    steps_of,
    strengths_of,
)

timm: Any = import_module("timm.data.auto_augment")
NAMES = {
    "AutoContrast": "autocontrast", "Equalize": "equalize", "Invert": "invert", "Rotate": "rotate",
    "Posterize": "posterize", "Solarize": "solarize", "SolarizeAdd": "solarize_add",
    "Color": "color", "Contrast": "contrast", "Brightness": "brightness", "Sharpness": "sharpness",
    "ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x",
    "TranslateY": "translate_y", "Desaturate": "desaturate", "GaussianBlur": "gaussian_blur",
}  # fmt: skip
WHOLE = {"posterize", "solarize", "solarize_add", "autocontrast", "equalize", "invert"}
RAND = (
    "rand-m9-mstd0.5-inc1", "rand-m9-mstd0.5", "rand-m7-n3-mstd0.5-inc1", "rand-m9-n1-inc1",
    "rand-m6-n2-p0.8-inc1", "rand-m15-mmax20-mstd2-inc1", "rand-m15-inc1", "rand-m3-inc1-mstd101",
    "rand-m8", "rand", "rand-m5-n2-inc1-mstd0.5-tweights", "rand-n3-mstd1-tweights",
    "rand-m6-n2-mstd1-inc1-t3aw", "rand-n2-mstd101-t3a-p1.0",
)  # fmt: skip
AUTO = ("original", "originalr", "v0", "v0r", "original-mstd0.5", "v0r-mstd1", "v0-mstd101",
        "3a", "3a-mstd0.5")  # fmt: skip


class Image:
    """Tells the radius of the blur that is asked of it, and is nothing else."""

    def filter(self, blur: Any) -> float:
        return float(blur.radius[0] if isinstance(blur.radius, tuple) else blur.radius)


def told(op: Any, image: Any, *arguments: Any, steps: list[Step], **_: Any) -> Any:
    """Take down what an operation of timm's would do."""
    kind = op.name.removesuffix("Rand").removesuffix("Rel")
    name = NAMES[kind.removesuffix("Increasing").removesuffix("Original")]
    value = float(arguments[0]) if arguments else 0.0
    if name == "gaussian_blur":
        value = timm.NAME_TO_OP[op.name](Image(), *arguments)
    elif name.startswith("translate"):  # by its matrix, from the output's pixels to the input's
        value = -value * SIZE["yx".index(name[-1])]
    elif name == "posterize":  # beyond level 10 below 0 bits, which is as black
        value = max(value, 0.0)
    elif name == "desaturate":  # to the factor of Pillow's Color
        value = min(1.0, max(0.0, 1.0 - value))
    steps.append((name, round(value, 5) + 0.0))
    return image


@cache
def drawn(line: str) -> list[tuple[Step, ...]]:
    make = timm.rand_augment_transform if line.startswith("rand") else timm.auto_augment_transform
    transform, steps, found = make(line), [], []
    ops = transform.ops if hasattr(transform, "ops") else [
        op for pair in transform.policy for op in pair]  # fmt: skip
    for op in ops:
        op.aug_fn = partial(told, op, steps=steps)
    random.seed(5)
    np.random.seed(5)
    for _ in range(THEIRS):
        steps.clear()
        transform("an image")
        found.append(tuple(steps))
    return found


@cache
def ours(line: str) -> list[tuple[Step, ...]]:
    return steps_of(plan_of(f'timm("{line}", exact=True)'))


@pytest.mark.parametrize("line", [*RAND, *AUTO])
def test_chains_of_steps_come_as_often(line: str) -> None:
    assert_alike(names_of(ours(line)), names_of(drawn(line)))
    assert_alike(Counter(map(len, ours(line))), Counter(map(len, drawn(line))))


@pytest.mark.parametrize("line", [*RAND, *AUTO])
def test_steps_are_as_strong_as_often(line: str) -> None:
    seen = {name for chain in drawn(line) for name, _ in chain}
    assert_same_values({name for chain in ours(line) for name, _ in chain}, seen)
    for name in sorted(seen):
        own, other = strengths_of(ours(line), name), strengths_of(drawn(line), name)
        few = len(set(other)) <= 256 and name in WHOLE
        if few or ("mstd" not in line and name != "gaussian_blur"):
            assert_alike(Counter(own), Counter(other))
            if "mstd" not in line:
                assert_same_values(own, other)
        elif len(other) > 100:
            assert_one_law(own, other)


def test_the_floor_of_posterize_is_all_that_differs_by_default() -> None:
    line = "rand-m9-mstd0.5-inc1"
    floored = steps_of(plan_of(f'timm("{line}")'))
    expected = [
        tuple((name, max(value, 1.0) if name == "posterize" else value) for name, value in chain)
        for chain in ours(line)
    ]
    assert floored == expected and floored != ours(line)


def test_three_augment_chooses_as_timms_3a_does() -> None:
    same = {"grayscale": "desaturate"}
    chosen = Counter(
        same.get(chain[0][0], chain[0][0]) for chain in steps_of(plan_of("three_augment"))
    )
    assert_alike(chosen, Counter(chain[0][0] for chain in drawn("3a")))
    assert strengths_of(drawn("3a"), "solarize")[0] == 128.0
    plan = plan_of("three_augment")
    assert plan.program is not None
    blur = [leaf.op for leaf in plan.program.leaves].index("gaussian_blur")
    made = plan.program.made[blur]
    assert made is not None
    assert_one_law(made.values["sigma"], strengths_of(drawn("3a"), "gaussian_blur"))
