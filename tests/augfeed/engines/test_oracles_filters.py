"""Filters and fills on every engine: moved pixels against Pillow, fills against what they say."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed.errors import InputError, PolicyError
from augfeed.notation import parse_policy
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import Border, Policy, RandomCrop, Rotate
from tests.cases import ENGINES, Shape, make_images, offsets_of, plan_of, run

SHAPE = Shape(3, 21, 26, 6)
PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def moved(line: str) -> Plan:
    rows = BatchRows.of(np.arange(SHAPE.batch))
    return draw_plan(parse_policy(line), rows, seed=1, epoch=2, size=(SHAPE.height, SHAPE.width))


@pytest.mark.parametrize("kind", PILLOW)
@pytest.mark.parametrize("engine", ENGINES)
def test_moved_pixels_are_within_one_step_of_those_of_pillow(engine: str, kind: str) -> None:
    by = f'interpolation="{kind}"'
    plan = moved(f'rotate(40, {by}) | scale([1.1, 1.6], {by}) | border("edge")')
    images = make_images(SHAPE)
    made = run(engine, plan, images).permute(0, 2, 3, 1).numpy() * 255
    y, x = np.mgrid[: SHAPE.height, : SHAPE.width]
    far = total = 0
    for k in range(SHAPE.batch):
        (a, b, c), (d, e, f), _ = plan.inverse[k].astype(np.float64)
        # Pillow's coordinates are those of corners, ours those of centers.
        matrix = (a, b, c - (a + b) / 2 + 0.5, d, e, f - (d + e) / 2 + 0.5)
        image = Image.fromarray(images[k].numpy())
        asked = image.transform(image.size, Image.Transform.AFFINE, matrix, resample=PILLOW[kind])
        u, v = a * x + b * y + c, d * x + e * y + f
        # At the border Pillow repeats the last pixels, whatever lies outside.
        inner = (u > 1) & (v > 1) & (u < SHAPE.width - 2.01) & (v < SHAPE.height - 2.01)
        off = np.abs(made[k] - np.asarray(asked, np.float64))[inner]
        far, total = far + int((off > 1.01).sum()), total + off.size
    # Where it takes the nearest, Pillow counts with 16 bits of fraction: a few lie elsewhere.
    assert total > 1000 and far <= (total * 0.002 if kind == "nearest" else 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_policy_with_random_filters_makes_each_row_by_its_own(engine: str) -> None:
    lines = [f'rotate(40, interpolation="{kind}")' for kind in ("random", "bilinear", "bicubic")]
    plans = [moved(line) for line in lines]
    mixed, bilinear, bicubic = (run(engine, plan, make_images(SHAPE)) for plan in plans)
    rows = plans[0].filters == plans[2].filters
    assert 0 < rows.sum() < len(rows)
    for k, row in enumerate(rows):
        torch.testing.assert_close(mixed[k], bicubic[k] if row else bilinear[k], rtol=0, atol=2e-6)
        assert not torch.allclose(bilinear[k], bicubic[k], atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_what_lies_outside_is_the_fill_of_each_channel(engine: str, interpolation: Any) -> None:
    fill = (0.2, 0.7, 0.4)
    policy = Policy([Rotate((45, 45), interpolation=interpolation), Border(fill=fill)])
    made = run(engine, plan_of(policy, SHAPE), make_images(SHAPE))
    for corner in (made[:, :, 0, 0], made[:, :, -1, -1]):
        torch.testing.assert_close(corner, torch.tensor(fill).expand_as(corner), rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_mean_color_is_zero_after_normalization(engine: str) -> None:
    line = f'rotate([45, 45]) | border(fill="mean") | normalize({MEAN}, {STD})'
    made = run(engine, moved(line), make_images(SHAPE))
    assert float(made[:, :, 0, 0].abs().max()) < 1e-5
    assert float(made[:, :, 10, 10].abs().min()) > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fill", [(0.2, 0.6, 1.0), "mean"])
def test_padding_is_the_fill_of_each_channel(engine: str, fill: Any) -> None:
    crop = RandomCrop((SHAPE.height, SHAPE.width), padding=30, fill=fill)
    statistics = parse_policy(f"normalize({MEAN}, 1.0)").operations
    plan = plan_of(Policy([crop, *statistics]), SHAPE)
    images = make_images(SHAPE)
    offsets = offsets_of(plan, images)
    made = run(engine, plan, images, offsets=offsets)
    expected = torch.tensor(MEAN if isinstance(fill, str) else fill) - torch.tensor(MEAN)
    seen = 0
    for k, (top, left) in enumerate(offsets.tolist()):
        for y, x in ((0, 0), (SHAPE.height - 1, SHAPE.width - 1)):
            if not (0 <= y + top < SHAPE.height and 0 <= x + left < SHAPE.width):
                torch.testing.assert_close(made[k, :, y, x], expected, rtol=0, atol=2e-6)
                seen += 1
    assert seen >= SHAPE.batch


def test_two_interpolations_in_one_policy_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"rotate\(interpolation='nearest'\) and shear\("
                                          r"interpolation='bilinear'\).*the same"):  # fmt: skip
        parse_policy('hflip | rotate(10, interpolation="nearest") | shear(5)')
    same = 'rotate(10, interpolation="nearest") | shear(5, interpolation="nearest")'
    assert (moved(same).filters == 0).all()


@pytest.mark.parametrize("line", ['rotate(9) | border(fill="mean")',
                                  'random_crop(8, padding=2, fill="mean")'])  # fmt: skip
def test_a_mean_color_needs_a_mean(line: str) -> None:
    with pytest.raises(PolicyError, match=r"\(fill='mean'\) needs the mean of a normalize"):
        parse_policy(line)
    assert parse_policy(f"{line} | normalize(0.5, 0.2)")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fill_of_other_channels_is_refused(engine: str) -> None:
    plan = moved("rotate(9) | border(fill=[0.5, 0.2])")
    with pytest.raises(InputError, match=r"border\(fill=\(0.5, 0.2\)\) is for 2 channels .* 3:"):
        run(engine, plan, make_images(SHAPE))
