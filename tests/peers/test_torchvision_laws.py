"""What our policies draw beside what torchvision's own samplers draw."""

import math
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch

pytest.importorskip("torchvision", reason="torchvision is not installed: `make peers`")

from torchvision.transforms import v2

from tests.peers.witness import (
    OURS,
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

SMALL = (32, 32)
OF_SVHN = v2.AutoAugmentPolicy.SVHN
NAMES = {
    "ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x",
    "TranslateY": "translate_y", "Rotate": "rotate", "Brightness": "brightness", "Color": "color",
    "Contrast": "contrast", "Sharpness": "sharpness", "Posterize": "posterize",
    "Solarize": "solarize", "AutoContrast": "autocontrast", "Equalize": "equalize",
    "Invert": "invert",
}  # fmt: skip
ENHANCE = ("Brightness", "Color", "Contrast", "Sharpness")
POLICIES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "trivial_augment_wide": (v2.TrivialAugmentWide, {}),
    "trivial_augment_wide(10)": (v2.TrivialAugmentWide, {"num_magnitude_bins": 10}),
    "rand_augment": (v2.RandAugment, {}),
    "rand_augment(3, 14)": (v2.RandAugment, {"num_ops": 3, "magnitude": 14}),
    "rand_augment(1, 5, bins=11)": (
        v2.RandAugment, {"num_ops": 1, "magnitude": 5, "num_magnitude_bins": 11}
    ),
    'auto_augment("imagenet")': (v2.AutoAugment, {}),
    'auto_augment("cifar10")': (v2.AutoAugment, {"policy": v2.AutoAugmentPolicy.CIFAR10}),
    'auto_augment("svhn")': (v2.AutoAugment, {"policy": OF_SVHN}),
}  # fmt: skip


def recorded(transform: type[Any], options: dict[str, Any], size: tuple[int, int]) -> list[Any]:
    """Return the steps that a transform would do to each of many images."""
    steps: list[Step] = []

    class Recorder(transform):  # type: ignore[misc]
        def _apply_image_or_video_transform(
            self, image: Any, transform_id: str, magnitude: float, **_: Any
        ) -> Any:
            if transform_id != "Identity":
                steps.append((NAMES[transform_id], told(transform_id, magnitude)))
            return image

    draw, found = Recorder(**options), []
    image = torch.zeros(1, *size, dtype=torch.uint8)
    torch.manual_seed(3)
    for _ in range(THEIRS):
        steps.clear()
        draw(image)
        found.append(tuple(steps))
    return found


def told(name: str, magnitude: float) -> float:
    """Return what a magnitude comes to in `_apply_image_or_video_transform`."""
    if name in ENHANCE:
        return round(1.0 + magnitude, 5)
    if name.startswith("Translate") or name == "Posterize":
        return float(int(magnitude)) + 0.0
    if name == "Solarize":  # the first level that is not below 255 times the magnitude
        return float(math.ceil(255.0 * magnitude))
    return round(magnitude, 5) + 0.0


@cache
def both(line: str, size: tuple[int, int] = SIZE) -> tuple[list[Any], list[Any]]:
    transform, options = POLICIES[line]
    return steps_of(plan_of(line, OURS, size)), recorded(transform, options, size)


@pytest.mark.parametrize("line", POLICIES)
def test_chains_of_steps_come_as_often(line: str) -> None:
    ours, theirs = both(line)
    assert_alike(names_of(ours), names_of(theirs))
    assert_alike(Counter(map(len, ours)), Counter(map(len, theirs)))


@pytest.mark.parametrize("size", [SIZE, SMALL])
@pytest.mark.parametrize("line", POLICIES)
def test_steps_have_the_same_strengths_and_signs_as_often(line: str, size: tuple[int, int]) -> None:
    ours, theirs = both(line, size)
    seen = {name for chain in theirs for name, _ in chain}
    assert_same_values({name for chain in ours for name, _ in chain}, seen)
    for name in seen:
        own, other = strengths_of(ours, name), strengths_of(theirs, name)
        assert_same_values(own, other)
        assert_alike(Counter(own), Counter(other))


def test_steps_of_rand_augment_say_nothing_of_each_other() -> None:
    ours, theirs = both("rand_augment")
    signs = [
        Counter(tuple((name, value < 0) for name, value in chain) for chain in chains)
        for chains in (ours, theirs)
    ]
    assert_alike(*signs)


JITTER = (0.8, 0.5, 0.9, 0.2)
LAW = f"color_jitter{JITTER}"[:-1] + ', hue_space="hsv", ordering="random", clamp="each")'


@cache
def jitters() -> list[tuple[Step, ...]]:
    """Return the steps of torchvision's ColorJitter, in the order that they are done."""
    transform, names = v2.ColorJitter(*JITTER), ("brightness", "contrast", "saturation", "hue")
    torch.manual_seed(3)
    found = []
    for _ in range(THEIRS):
        drawn = transform.make_params([])
        values = {name: float(drawn[f"{name}_factor"]) for name in names}
        found.append(tuple((names[k], values[names[k]]) for k in drawn["fn_idx"].tolist()))
    return found


def test_color_jitter_has_torchvisions_orders_and_factors() -> None:
    ours = steps_of(plan_of(LAW), digits=12)
    assert len(names_of(jitters())) == 24
    assert_alike(names_of(ours), names_of(jitters()))
    for name in ("brightness", "contrast", "saturation", "hue"):
        assert_one_law(strengths_of(ours, name), strengths_of(jitters(), name))


@pytest.mark.parametrize("options", ['ordering="fixed", clamp="each", hue_space="hsv"', ""])
def test_factors_of_other_color_jitters_have_the_same_law(options: str) -> None:
    line = f"color_jitter{JITTER}"[:-1] + (f", {options})" if options else ")")
    plan = plan_of(line)
    for name in ("brightness", "contrast", "saturation", "hue"):
        own = strengths_of(steps_of(plan, digits=12), name) if plan.program else (
            plan.decisions["color_jitter"][name])  # fmt: skip
        assert_one_law(own, strengths_of(jitters(), name))
