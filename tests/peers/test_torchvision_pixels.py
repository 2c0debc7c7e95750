"""Pixels of each step, given its strength, beside those of torchvision's functional operations."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("torchvision", reason="torchvision is not installed: `make peers`")

from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from augfeed.engines import Output
from augfeed.operation.program import Candidate
from augfeed.plan import Plan
from tests.cases import run
from tests.peers.witness import plan_of

SIDES, COUNT = (44, 52), 220
UINT8 = Output(torch.uint8)
ENGINES = ("cpu", "portable")
Pixels = NDArray[np.int64]  # [H, W, 3]
NAMES = {
    "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "color": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize",
    "solarize": "Solarize", "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip
MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


@cache
def make_images(count: int = COUNT) -> torch.Tensor:
    """Return uint8 `[N, H, W, 3]`: smooth, of many contrasts, with noise."""
    rng, (height, width) = np.random.default_rng(4), SIDES
    y, x = np.mgrid[:height, :width] / height
    made = np.empty((count, height, width, 3), np.uint8)
    for row in made:
        phase, speed = rng.uniform(0, 6, 3), rng.uniform(1, 3, 3)
        wave = np.sin(speed * x[..., None] + phase) * np.cos(speed * y[..., None] - phase)
        rough = rng.normal(0, rng.choice([0, 6]), wave.shape)
        row[:] = np.clip(np.round(128 + rng.uniform(30, 127) * wave + rough), 0, 255)
    return torch.from_numpy(made)


def drawn(plan: Plan) -> list[tuple[int, str, float]]:
    """Return row, name and magnitude of the samples with a step."""
    program = plan.program
    assert program is not None
    found = []
    for row, number in enumerate(program.slots.leaf[:, 0].tolist()):
        if number:
            leaf = program.leaves[number - 1]
            assert isinstance(leaf, Candidate)
            found.append((row, leaf.name, float(program.slots.magnitude[row, 0])))
    return found


def by_torchvision(image: Any, name: str, magnitude: float, interpolation: str) -> Pixels:
    """Return what torchvision makes of an image, PIL or uint8 `[3, H, W]`."""
    mode = v2.InterpolationMode(interpolation)
    if name == "solarize":  # by the level, as its own magnitude is a share of 255
        made = F.solarize(image, threshold=magnitude)
    else:
        if name.startswith("translate") and abs(magnitude) < 1:  # a share of the side: a bin
            magnitude *= SIDES["yx".index(name[-1])]
            magnitude += 1e-4 * np.sign(magnitude)
        made = v2.RandAugment()._apply_image_or_video_transform(
            image, NAMES[name], magnitude, interpolation=mode, fill={type(image): None}
        )
    if isinstance(made, torch.Tensor):
        made = made.permute(1, 2, 0).numpy()
    return np.asarray(made, np.int64)


def inner(name: str, magnitude: float) -> NDArray[np.bool_]:
    """Return which pixels come from two pixels or more within the image, bool `[H, W]`."""
    height, width = SIDES
    image = torch.zeros(1, height, width, dtype=torch.uint8)
    image[:, 2:-2, 2:-2] = 255
    moved = by_torchvision(image.expand(3, -1, -1), name, magnitude, "bilinear")
    return moved[..., 0] == 255


def line_of(law: str, interpolation: str) -> str:
    return f'rotate(1, p=0.0, interpolation="{interpolation}") | {law}'


def allowed(name: str, interpolation: str) -> float:
    """Return the share of values that may be further away than one level."""
    # Turned by 45 or 90 degrees, pixels lie halfway between two, and rounding decides.
    return 0.02 if (name, interpolation) == ("rotate", "nearest") else 0.0


def hold(far: dict[str, float], interpolation: str) -> None:
    assert len(far) == len(NAMES), "every step was drawn"
    assert not {name for name, share in far.items() if share > allowed(name, interpolation)}, far


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("law", ["trivial_augment_wide", "rand_augment(1, 23)"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_steps_make_what_torchvision_makes_of_tensors(
    interpolation: str, law: str, engine: str
) -> None:
    images, plan = make_images(), plan_of(line_of(law, interpolation), COUNT, SIDES)
    made = run(engine, plan, images, output=UINT8).permute(0, 2, 3, 1).numpy().astype(np.int64)
    far: dict[str, float] = {}
    for row, name, magnitude in drawn(plan):
        theirs = by_torchvision(images[row].permute(2, 0, 1), name, magnitude, interpolation)
        far[name] = max(far.get(name, 0), float((np.abs(made[row] - theirs) > 1).mean()))
    hold(far, interpolation)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_steps_make_what_torchvision_makes_of_pil_images(interpolation: str, engine: str) -> None:
    # Pillow repeats the last pixels at the border, whatever lies outside: they are not compared.
    images = make_images()
    plan = plan_of(line_of("trivial_augment_wide", interpolation), COUNT, SIDES)
    made = run(engine, plan, images, output=UINT8).permute(0, 2, 3, 1).numpy().astype(np.int64)
    far: dict[str, float] = {}
    for row, name, magnitude in drawn(plan):
        image = Image.fromarray(images[row].numpy())
        gap = np.abs(made[row] - by_torchvision(image, name, magnitude, interpolation))
        if name in MOVES:
            gap = gap[inner(name, magnitude)]
        far[name] = max(far.get(name, 0), float((gap > 1).mean()) if gap.size else 0)
    hold(far, interpolation)
