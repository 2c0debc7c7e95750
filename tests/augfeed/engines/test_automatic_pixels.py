"""Pixels of automatic policies are those of Pillow, step by step, on uint8 within one level."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from augfeed.engines import Output
from augfeed.notation import parse_policy
from augfeed.operation.program import Candidate
from augfeed.plan import BatchRows, Plan, draw_plan
from tests.cases import run

SIDE, COUNT = 48, 400
Pixels = NDArray[np.uint8]
Done = tuple[Pixels, NDArray[np.bool_]]  # what Pillow makes of it, and where that is comparable


@cache
def make_images(count: int = COUNT) -> Pixels:
    """Smooth images with an edge, from dark to bright: a warp moves no level by much."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    made = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for row in made:
        phase, speed = rng.uniform(0, 6, 3), rng.uniform(1, 3, 3)
        wave = np.sin(speed * x[..., None] + phase) * np.cos(speed * y[..., None] - phase)
        row[:] = np.round(128 + rng.uniform(60, 127) * wave)
    return made


def affine(image: Image.Image, matrix: list[float]) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=0
    )


def inside(matrix: list[float]) -> NDArray[np.bool_]:
    # Pixels that come from within the image, a pixel away from its edge, where Pillow repeats it.
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    a, b, c, d, e, f = matrix
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    within = (from_x > 1) & (from_x < SIDE - 1) & (from_y > 1) & (from_y < SIDE - 1)
    shown: NDArray[np.bool_] = within[..., None]
    return shown


def turned(degrees: float) -> list[float]:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    middle = SIDE / 2
    return [cos, -sin, middle * (1 - cos + sin), sin, cos, middle * (1 - cos - sin)]


MOVES: dict[str, Callable[[float], list[float]]] = {
    "rotate": turned,
    "shear_x": lambda m: [1, m, 0, 0, 1, 0],
    "shear_y": lambda m: [1, 0, 0, m, 1, 0],
}
LOOKS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarize": lambda image, m: ImageOps.solarize(image, int(m)),
    "solarize_add": lambda image, m: image.point(
        [min(255, k + int(m)) if k < 128 else k for k in range(256)] * 3
    ),
    "autocontrast": lambda image, m: ImageOps.autocontrast(image),
    "equalize": lambda image, m: ImageOps.equalize(image),
    "invert": lambda image, m: ImageOps.invert(image),
    "desaturate": lambda image, m: ImageEnhance.Color(image).enhance(1 - m),
}


def by_pillow(pixels: Pixels, name: str, magnitude: float, by_share: bool) -> Done:
    image, everywhere = Image.fromarray(pixels), np.ones((SIDE, SIDE, 1), np.bool_)
    if name in LOOKS:
        return np.asarray(LOOKS[name](image, magnitude)), everywhere
    if name.startswith("translate"):
        shift = magnitude * SIDE if by_share else int(magnitude)
        matrix: list[float] = [1, 0, 0, 0, 1, 0]
        matrix[2 if name.endswith("x") else 5] = -shift
    else:
        matrix = MOVES[name](magnitude)
    return np.asarray(affine(image, matrix)), inside(matrix)


def plan_of(line: str) -> Plan:
    rows = BatchRows.of(np.arange(COUNT))
    return draw_plan(parse_policy(line), rows, seed=11, epoch=1, size=(SIDE, SIDE))


def drawn(plan: Plan) -> Iterator[tuple[int, str, float]]:
    program = plan.program
    assert program is not None
    for row in range(len(program.slots.leaf)):
        number = int(program.slots.leaf[row, 0])
        if number:
            leaf = program.leaves[number - 1]
            assert isinstance(leaf, Candidate)
            yield row, leaf.name, float(program.slots.magnitude[row, 0])


@pytest.mark.parametrize("engine", ["cpu", "portable"])
@pytest.mark.parametrize(
    "line",
    [
        "trivial_augment_wide",
        "rand_augment(1, 22)",
        'timm("rand-m6-n1-mstd3-inc1-p1.0")',
        'timm("rand-m6-n1-mstd101-p1.0")',
        'timm("rand-n1-p1.0-mstd101-t3aw")',
    ],
)
def test_a_step_makes_what_pillow_makes(line: str, engine: str) -> None:
    images, plan = make_images(), plan_of(line)
    made: Any = run(engine, plan, torch.from_numpy(images), output=Output(torch.uint8))
    made = made.permute(0, 2, 3, 1).numpy()
    seen = set()
    for row, name, magnitude in drawn(plan):
        if name == "gaussian_blur":
            continue  # Pillow's is a box blur: held against a true Gaussian elsewhere
        wanted, where = by_pillow(images[row], name, magnitude, "timm" in line)
        if name.startswith("translate") and "rand_augment" in line:
            wanted, where = by_pillow(images[row], name, int(magnitude * SIDE + 1e-4 *
                                      np.sign(magnitude)), False)  # fmt: skip
        gap = np.abs(made[row].astype(int) - wanted)[np.broadcast_to(where, wanted.shape)]
        assert gap.size == 0 or gap.max() <= 1, (name, magnitude, gap.max())
        seen.add(name)
    assert len(seen) >= 12, "every step was drawn"


def strengths(line: str) -> dict[tuple[str, bool], list[tuple[int, float]]]:
    """How far pixels are from what they were, by step, sign and bin."""
    policy, rng = parse_policy(line), np.random.default_rng(2)
    rough = np.clip(make_images()[7:8] + rng.integers(-20, 21, (SIDE, SIDE, 3)), 0, 255).astype(
        np.uint8
    )
    rows = BatchRows.of(np.arange(COUNT))
    found: dict[tuple[str, bool], list[tuple[int, float]]] = {}
    for epoch in range(12):
        plan = draw_plan(policy, rows, seed=1, epoch=epoch, size=(SIDE, SIDE))
        # One image for all samples, so that they differ by their steps alone.
        same = np.repeat(rough, COUNT, axis=0)
        made: Any = run("cpu", plan, torch.from_numpy(same), output=Output(torch.uint8))
        gap = np.abs(made.permute(0, 2, 3, 1).numpy().astype(float) - same).mean(axis=(1, 2, 3))
        assert plan.program is not None
        for row, name, magnitude in drawn(plan):
            key = name, magnitude < 0
            found.setdefault(key, []).append((int(plan.program.slots.bin[row, 0]), gap[row]))
    return found


def test_a_step_grows_with_its_bin_and_has_both_signs() -> None:
    found = strengths("trivial_augment_wide(5, max_rotation=60)")
    signed = {
        "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
        "contrast", "sharpness",
    }  # fmt: skip
    assert {name for name, negative in found if negative} == signed
    for name in ("autocontrast", "equalize"):
        assert {bin_ for bin_, _ in found.pop((name, False))} == {-1}
    for (name, negative), made in found.items():
        by_bin = dict(sorted(made))
        assert sorted(by_bin) == list(range(1 if negative else 0, 5)), name
        gaps = list(by_bin.values())
        assert gaps == sorted(gaps) and gaps[-1] > 1.5 * gaps[0], (name, negative, gaps)
        assert all(gap == by_bin[bin_] for bin_, gap in made), "a bin is one strength"


@pytest.mark.parametrize(
    "line",
    [
        "trivial_augment_wide(max_rotation=30)",
        "rand_augment",
        'timm("rand-m9-mstd0.5-inc1-n1-p1.0")',
        'timm("rand-m10-n1-inc1-p1.0")',
        'timm("rand-m0-n1-p1.0")',
        'timm("v0")',
        'auto_augment("svhn")',
        "three_augment",
    ],
)
def test_no_step_turns_an_image_black(line: str) -> None:
    images = torch.from_numpy(make_images())
    made = run("cpu", plan_of(line), images, output=Output(torch.uint8))
    assert (made.flatten(1).max(dim=1).values > 0).all()


def test_timm_to_the_letter_turns_images_black() -> None:
    images = torch.from_numpy(make_images())
    line = 'timm("rand-m10-n1-p1.0-inc1", exact=True)'
    made = run("cpu", plan_of(line), images, output=Output(torch.uint8))
    black = made.flatten(1).max(dim=1).values == 0
    plan = plan_of(line)
    posterized = [row for row, name, _ in drawn(plan) if name == "posterize"]
    assert black.nonzero().flatten().tolist() == posterized and len(posterized) > 10
