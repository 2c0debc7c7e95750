"""Pixels that move: images of three channels, small and large, as images of one."""

import pytest

from augfeed import parse_policy
from augfeed.engines.cpu import CpuEngine
from tests.cases import Shape, make_images, plan_of

SIZES = [(3, 5), (32, 32), (20, 31), (33, 32), (40, 70)]  # those of 1,024 pixels are taken whole
POLICIES = [
    "rotate(180) | border(fill=0.3)",
    'rotate(40, interpolation="nearest") | border(fill=0.3)',
    "rotate(9) | scale([0.3, 2])",
    "horizontal_flip | shear(60) | translate(0.9)",
    "perspective(0.8, p=1) | horizontal_flip",
    'rotate(180) | border("edge")',
    "sequence([rotate(90), equalize, shear(40), autocontrast, sharpness, rotate(20)])",
]


@pytest.mark.parametrize("text", POLICIES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 4])
def test_three_equal_channels_are_made_as_one_is(
    text: str, size: tuple[int, int], padding: int
) -> None:
    crop = f"random_crop([{size[0]}, {size[1]}], {padding}, fill=0.7) | " if padding else ""
    shape = Shape(1, *size, 12)
    images, plan = make_images(shape), plan_of(parse_policy(crop + text), shape)
    offsets = plan.window.offsets(*size) if padding else None

    one = CpuEngine().apply(plan, images, offsets=offsets)
    three = CpuEngine().apply(plan, images.repeat(1, 1, 1, 3), offsets=offsets)

    assert one.max() > one.min()
    assert (three == one).all()
