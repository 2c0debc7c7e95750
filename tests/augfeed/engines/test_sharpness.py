"""Sharpness against Pillow and the formula of torchvision."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from augfeed.engines import Output
from augfeed.policy import Policy, Sharpness
from tests.cases import Shape, make_images, plan_of, run

BYTES = Output(torch.uint8)
SIZES = [(1, 1), (1, 9), (2, 7), (7, 2), (3, 3), (3, 20), (23, 3), (17, 31)]


def pillows(image: torch.Tensor, factor: float) -> torch.Tensor:
    """Return an image `[H, W, C]` as Pillow sharpens it."""
    made = ImageEnhance.Sharpness(Image.fromarray(image.squeeze(2).numpy())).enhance(factor)
    return torch.from_numpy(np.asarray(made).reshape(image.shape).copy())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_sharpness_is_pillows_to_the_bit(engine: str, size: tuple[int, int], channels: int) -> None:
    shape = Shape(channels, *size, 6)
    plan, images = plan_of(Policy([Sharpness((0.0, 4.0), p=1.0)]), shape), make_images(shape)
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1)
    for row, factor in enumerate(plan.columns.sharpness):
        if min(size) > 2:  # Pillow reads beyond images that are smaller: it copies them
            assert torch.equal(made[row], pillows(images[row], float(factor)))
        else:
            assert torch.equal(made[row], images[row])


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.5, 0.999, 1.001, 1.9, 2.0, 10.0, 100.0])
def test_every_factor_is_pillows_to_the_bit(engine: str, factor: float) -> None:
    shape = Shape(3, 12, 14, 2)
    plan, images = plan_of(Policy([Sharpness(factor, p=1.0)]), shape), make_images(shape)
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1)
    for image, found in zip(images, made, strict=True):
        assert torch.equal(found, pillows(image, factor))


def test_sharpened_floats_are_torchvisions(engine: str) -> None:
    shape = Shape(3, 15, 12, 4)
    plan = plan_of(Policy([Sharpness((0.0, 3.0), p=1.0)]), shape)
    images = make_images(shape).float() / 255
    x = images.permute(0, 3, 1, 2)
    kernel = torch.ones((3, 1, 3, 3))
    kernel[:, :, 1, 1] = 5
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = torch.nn.functional.conv2d(x, kernel / 13, groups=3)
    factor = torch.from_numpy(plan.columns.sharpness).view(-1, 1, 1, 1)
    wanted = (factor * x + (1 - factor) * smooth).clamp(0, 1)
    assert (run(engine, plan, images) - wanted).abs().max() < 2e-6


def test_a_factor_of_1_changes_nothing(engine: str) -> None:
    shape = Shape(3, 9, 8, 2)
    plan, images = plan_of(Policy([Sharpness(1.0, p=1.0)]), shape), make_images(shape)
    assert torch.equal(run(engine, plan, images, output=BYTES), images.permute(0, 3, 1, 2))


def test_the_outermost_pixels_stay(engine: str) -> None:
    shape = Shape(3, 9, 8, 2)
    plan, images = plan_of(Policy([Sharpness(0.0, p=1.0)]), shape), make_images(shape)
    made = run(engine, plan, images, output=BYTES)
    edge = torch.ones((9, 8), dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert torch.equal(made[:, :, edge], images.permute(0, 3, 1, 2)[:, :, edge])
    assert not torch.equal(made, images.permute(0, 3, 1, 2))
