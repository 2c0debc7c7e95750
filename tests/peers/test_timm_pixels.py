"""Pixels of each step of `timm(...)`, given its strength, beside those of timm's own functions."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest

pytest.importorskip("timm", reason="timm is not installed: `make peers`")

from PIL import Image

from tests.cases import run
from tests.peers.test_torchvision_pixels import MOVES, SIDES, UINT8, drawn, inner, make_images
from tests.peers.witness import plan_of

FUNCTIONS: dict[str, Any] = import_module("timm.data.auto_augment").NAME_TO_OP
COUNT = 220
NAMES = {
    "autocontrast": "AutoContrast", "equalize": "Equalize", "invert": "Invert",
    "rotate": "Rotate", "posterize": "Posterize", "solarize": "Solarize",
    "solarize_add": "SolarizeAdd", "color": "Color", "contrast": "Contrast",
    "brightness": "Brightness", "sharpness": "Sharpness", "shear_x": "ShearX",
    "shear_y": "ShearY", "translate_x": "TranslateXRel", "translate_y": "TranslateYRel",
}  # fmt: skip
FACTORS = ("color", "contrast", "brightness", "sharpness")
PLAIN = ("autocontrast", "equalize", "invert")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def by_timm(image: Image.Image, name: str, magnitude: float, kind: str) -> Any:
    value: Any = magnitude
    if name in FACTORS:
        value = max(0.1, 1.0 + magnitude)
    elif name in ("posterize", "solarize", "solarize_add"):
        value = int(magnitude)
    elif name.startswith("translate"):
        value = -magnitude
    given = () if name in PLAIN else (value,)
    made = FUNCTIONS[NAMES[name]](image, *given, fillcolor=(0, 0, 0), resample=FILTERS[kind])
    return np.asarray(made, np.int64)


@pytest.mark.parametrize("engine", ["cpu", "portable"])
@pytest.mark.parametrize("kind", FILTERS)
def test_steps_make_what_timm_makes(kind: str, engine: str) -> None:
    line = f'rotate(1, p=0.0, interpolation="{kind}") | timm("rand-m6-n1-mstd3-inc1-p1.0")'
    images, plan = make_images(), plan_of(line, COUNT, SIDES)
    made = run(engine, plan, images, output=UINT8).permute(0, 2, 3, 1).numpy().astype(np.int64)
    worst: dict[str, int] = {}
    for row, name, magnitude in drawn(plan):
        gap = np.abs(
            made[row] - by_timm(Image.fromarray(images[row].numpy()), name, magnitude, kind)
        )
        if name in MOVES:
            share = magnitude * SIDES["yx".index(name[-1])] if name[0] == "t" else magnitude
            gap = gap[inner(name, share)]
            if name[0] == "t":
                gap = gap[2:-2]
        worst[name] = max(worst.get(name, 0), int(gap.max(initial=0)))
    assert len(worst) == len(NAMES) and max(worst.values()) <= 1, worst
