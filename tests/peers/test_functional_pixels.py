"""Pixels of single operations and windows beside torchvision's functional operations on uint8."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision", reason="torchvision is not installed: `make peers`")

from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from augfeed import Pipeline
from augfeed.engines import Output
from augfeed.notation import parse_policy
from tests.cases import Shape, make_images, run
from tests.peers.witness import plan_of, steps_of

SHAPE = Shape(3, 40, 48, 12)
SIZE = SHAPE.height, SHAPE.width
UINT8 = Output(torch.uint8)
ENGINES = ("cpu", "portable")
BLUR = "gaussian_blur(9, [0.1, 2.0], p=1.0)"
# By its line: what torchvision does to uint8 `[3, H, W]`, with the values drawn for the image.
SINGLE: dict[str, Callable[[torch.Tensor, dict[str, Any]], torch.Tensor]] = {
    "autocontrast(p=1.0)": lambda image, _: F.autocontrast(image),
    "equalize(p=1.0)": lambda image, _: F.equalize(image),
    "posterize(3, p=1.0)": lambda image, _: F.posterize(image, 3),
    "solarize(0.5, p=1.0)": lambda image, _: F.solarize(image, 127.5),
    "invert(p=1.0)": lambda image, _: F.invert(image),
    "grayscale(p=1.0)": lambda image, _: F.rgb_to_grayscale(image, 3),
    "sharpness([0.0, 3.0], p=1.0)": lambda image, one: F.adjust_sharpness(image, one["factor"]),
    "gamma([0.5, 2.0], p=1.0)": lambda image, one: F.adjust_gamma(image, one["gamma"]),
    "horizontal_flip(1.0)": lambda image, _: F.horizontal_flip(image),
    "vertical_flip(1.0)": lambda image, _: F.vertical_flip(image),
    BLUR: lambda image, one: F.gaussian_blur(image, [9, 9], [one["sigma"]] * 2),
    "jpeg([5, 95], p=1.0)": lambda image, one: F.jpeg(image, int(one["quality"])),
    "color_jitter([0.3, 1.8])": lambda image, one: F.adjust_brightness(image, one["brightness"]),
    "color_jitter(0, [0.3, 1.8])": lambda image, one: F.adjust_contrast(image, one["contrast"]),
    "color_jitter(0, 0, [0.0, 2.0])": lambda image, one: F.adjust_saturation(
        image, one["saturation"]
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("line", SINGLE)
def test_an_operation_makes_what_torchvision_makes(line: str, engine: str) -> None:
    plan, images = plan_of(line, SHAPE.batch, SIZE), make_images(SHAPE)
    made = run(engine, plan, images, output=UINT8).long()
    (decided,) = plan.decisions.values()
    for k in range(SHAPE.batch):
        one = {name: np.asarray(values)[k].tolist() for name, values in decided.items()}
        theirs = SINGLE[line](images[k].permute(2, 0, 1).contiguous(), one).long()
        # torchvision rounds the gray down before it blends, and then the color.
        most = 2 if one.get("saturation", 1.0) != 1.0 else 1
        assert int((made[k] - theirs).abs().max()) <= most, one


HSV = 'hue_space="hsv", clamp="each"'


@pytest.mark.parametrize("engine", ENGINES)
def test_jitter_in_any_order_makes_what_torchvision_makes_of_pil_images(engine: str) -> None:
    plan = plan_of(f'color_jitter(0.8, 0.8, 0.8, 0.2, {HSV}, ordering="random")', 40, SIZE)
    images = make_images(Shape(3, *SIZE, 40))
    made = run(engine, plan, images, output=UINT8).permute(0, 2, 3, 1).numpy().astype(int)
    adjust = {"brightness": F.adjust_brightness, "contrast": F.adjust_contrast,
              "saturation": F.adjust_saturation, "hue": F.adjust_hue}  # fmt: skip
    exact = 0
    for k, chain in enumerate(steps_of(plan, digits=12)):
        image = Image.fromarray(images[k].numpy())
        for name, value in chain:
            image = adjust[name](image, value)
        gap = np.abs(made[k] - np.asarray(image, int))
        # A level that one step is off, the next ones multiply.
        assert len(chain) == 4 and gap.max() <= 3 and (gap > 1).mean() < 0.2
        exact += int(gap.mean() < 0.05)
    assert exact >= 38


@pytest.mark.parametrize(("options", "sign", "most"), [(HSV, 1, 1.5), ("", -1, 22.0)])
def test_hue_is_near_that_of_tensors_of_torchvision(options: str, sign: int, most: float) -> None:
    # Pillow's HSV has 256 hues, which `hsv` follows. The default turns the plane of YIQ the other
    # way round: the luma stays, not the value, so that saturated colors, as here, come out others.
    line = f"color_jitter(hue=0.2{', ' if options else ''}{options})"
    plan, images = plan_of(line, SHAPE.batch, SIZE), make_images(SHAPE)
    made = run("cpu", plan, images, output=UINT8).double()
    turns = (
        [value for ((_, value),) in steps_of(plan, digits=12)]
        if plan.program
        else plan.decisions["color_jitter"]["hue"].tolist()
    )

    def gap(sign: int) -> float:
        theirs = torch.stack([
            F.adjust_hue(images[k].permute(2, 0, 1), sign * turn) for k, turn in enumerate(turns)
        ]).double()  # fmt: skip
        return float((made - theirs).abs().mean())

    assert gap(sign) < most and gap(-sign) > 2 * gap(sign)


def resized(image: torch.Tensor, box: list[int], size: int, kind: str) -> torch.Tensor:
    mode = v2.InterpolationMode(kind)
    if kind != "nearest":
        planes = image.permute(2, 0, 1)
        return F.resized_crop(planes, *box, [size, size], mode, antialias=True).permute(1, 2, 0)
    # Of tensors torchvision takes the pixel at the upper left of an output pixel, of PIL images
    # that in its middle, as here.
    made = F.resized_crop(Image.fromarray(image.numpy()), *box, [size, size], mode)
    return torch.from_numpy(np.array(made))


@pytest.mark.parametrize("source", [(60, 81), (21, 20)])  # made smaller, and larger
@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic"])
def test_random_resized_crops_make_what_torchvision_makes(
    kind: str, source: tuple[int, int]
) -> None:
    images = make_images(Shape(3, *source, 24))
    policy = parse_policy(f'random_resized_crop(32, interpolation="{kind}")')
    pipeline = Pipeline(images.numpy(), policy, output=UINT8, seed=3)
    off, count = 0, 0
    for k in range(len(images)):
        made = pipeline.sample(k, 1).images[0].permute(1, 2, 0).long()
        plan, _ = pipeline.sample_plan(k, 1)
        gap = (made - resized(images[k], plan.window.at(*source).box[0].tolist(), 32, kind)).abs()
        assert int(gap.max()) <= (2 if kind == "bicubic" else 1)
        off, count = off + int((gap > 1).sum()), count + gap.numel()
    # torchvision rounds after the rows and again after the columns.
    assert off <= 1e-4 * count
