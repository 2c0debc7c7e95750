"""What frames lose as JPEGs, against Pillow's files, to the bit."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed.engines import Output
from augfeed.errors import PolicyError
from augfeed.operation.jpeg import compressed
from augfeed.policy import Jpeg, Policy
from tests.cases import Shape, make_images, plan_of, run

BYTES = Output(torch.uint8)
SIZES = [(1, 1), (2, 2), (5, 4), (13, 19), (16, 16), (33, 18)]
MORE = [(1, 19), (23, 1), (3, 3), (4, 5), (8, 8), (17, 15), (15, 18), (32, 32), (37, 61), (40, 16)]


def through_a_file(image: torch.Tensor, quality: int) -> torch.Tensor:
    """Return an image `[H, W, C]` as Pillow reads it from the JPEG that it writes."""
    file = io.BytesIO()
    Image.fromarray(image.squeeze(2).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).reshape(image.shape).copy())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_frames_come_out_as_pillow_reads_its_files(
    engine: str, size: tuple[int, int], channels: int
) -> None:
    shape = Shape(channels, *size, 4)
    plan, images = plan_of(Policy([Jpeg((1, 100), p=1.0)]), shape), make_images(shape)
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1)
    for row, quality in enumerate(plan.columns.jpeg_quality):
        assert torch.equal(made[row], through_a_file(images[row], int(quality)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", MORE)
def test_every_quality_is_pillows(size: tuple[int, int], channels: int) -> None:
    shape = Shape(channels, *size, 2)
    images = make_images(shape)
    values = images.permute(0, 3, 1, 2).float() / 255
    for quality in (1, 2, 10, 49, 50, 51, 75, 95, 99, 100):
        made = compressed(values, np.array([quality, quality]))
        for image, found in zip(images, made, strict=True):
            levels = (found.permute(1, 2, 0) * 255).round().to(torch.uint8)
            assert torch.equal(levels, through_a_file(image, quality))


def test_floats_are_compressed_at_their_nearest_levels(engine: str) -> None:
    shape = Shape(3, 18, 21, 3)
    plan, images = plan_of(Policy([Jpeg(30, p=1.0)]), shape), make_images(shape)
    near = torch.tensor([-0.4, 0.0, 0.4]).view(3, 1, 1, 1)
    made = run(engine, plan, ((images.float() + near) / 255).clamp(0, 1))
    for image, found in zip(images, made, strict=True):
        wanted = through_a_file(image, 30).permute(2, 0, 1) / 255
        assert (found - wanted).abs().max() < 1e-6


def test_a_lower_quality_loses_more(engine: str) -> None:
    shape = Shape(3, 16, 16, 2)
    images = make_images(shape)
    lost = []
    for quality in (95, 60, 20, 1):
        plan = plan_of(Policy([Jpeg(quality, p=1.0)]), shape)
        made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1)
        lost.append((made.float() - images.float()).square().mean().item())
    assert lost == sorted(lost) and lost[0] > 0


@pytest.mark.parametrize("quality", [0, 101, (60, 50), (0, 10), 50.5])
def test_a_quality_that_is_none_is_refused_with_the_bound(quality: Any) -> None:
    with pytest.raises(PolicyError, match="quality"):
        Jpeg(quality)
