"""Elastic displacement against the formula of torchvision, and its law."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed.engines import Output
from augfeed.errors import PolicyError
from augfeed.operation import Displacement
from augfeed.operation.elastic import _numbers, reach_of
from augfeed.ops.elastic import spread_of
from augfeed.plan import Plan
from augfeed.policy import Elastic, Policy
from tests.cases import ENGINES, INTERPRETED, Shape, fitted, make_images, plan_of, run
from tests.sampling import sampled

BYTES = Output(torch.uint8)


def keys_of(plan: Plan) -> list[int]:
    low, high = plan.columns.elastic_key, plan.columns.elastic_key_high
    return [int(one) + (int(other) << 24) for one, other in zip(low, high, strict=True)]


def torchvisions(image: torch.Tensor, key: int, alpha: float, sigma: float) -> torch.Tensor:
    """Return a square image `[H, W, C]` as torchvision's `ElasticTransform` moves it, float64.

    The same numbers as ours; all else as there: two blurs, a grid from -1 to 1, and `grid_sample`.
    """
    side = image.shape[0]
    field = torch.from_numpy(_numbers(key, side, side)).double()
    size = int(8 * sigma + 1)
    size += 1 - size % 2
    x = torch.linspace(-(size - 1) / 2, size // 2, size, dtype=torch.float64)
    weights = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (weights / weights.sum())[:, None] * (weights / weights.sum())[None]
    wide = torch.nn.functional.pad(field[:, None], [size // 2] * 4, mode="reflect")
    moved = torch.nn.functional.conv2d(wide, kernel[None, None])[:, 0] * alpha / side
    ends = torch.linspace((1 - side) / side, (side - 1) / side, side, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(ends, ends, indexing="xy"), dim=2) + moved.permute(1, 2, 0)
    source = image.permute(2, 0, 1)[None].double()
    found = torch.nn.functional.grid_sample(source, grid[None], align_corners=False)
    return found[0].permute(1, 2, 0)


STRENGTHS = {50.0: 2.0, 200.0: 1.0, 20.0: 0.7, 80.0: 1.99}  # sigma of each alpha


def tried_strength(engine: str, alpha: float, channels: int) -> bool:
    """Every strength, and either number of channels by turns."""
    return engine not in INTERPRETED or channels == (1, 3)[[*STRENGTHS].index(alpha) % 2]


@sampled(tried_strength, {"engine": ENGINES, "alpha": STRENGTHS, "channels": [1, 3]})
def test_a_square_image_is_moved_as_torchvision_does(
    engine: str, alpha: float, channels: int
) -> None:
    sigma, shape = STRENGTHS[alpha], fitted(Shape(channels, 18, 18, 3), engine)
    plan, images = plan_of(Policy([Elastic(alpha, sigma, p=1.0)]), shape), make_images(shape)
    wanted = torch.stack([torchvisions(image, key, alpha, sigma)
                          for image, key in zip(images, keys_of(plan), strict=True)])  # fmt: skip
    made = run(engine, plan, images.float() / 255).permute(0, 2, 3, 1).double()
    assert (made - wanted / 255).abs().max() < 2e-5
    levels = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1).double()
    assert (levels - wanted).abs().max() <= 0.5 + 5e-3
    assert (made - images.double() / 255).abs().mean() > 0.01


def test_taps_are_as_many_as_torchvisions() -> None:
    for sigma in np.arange(1, 640, dtype=np.float32) / np.float32(10):
        size = int(8 * sigma + 1)
        assert reach_of(float(sigma)) == (size + 1 - size % 2) // 2


def test_fields_smaller_than_their_gaussian_are_moved_alike_on_all_engines(engine: str) -> None:
    for size in ((1, 1), (1, 9), (7, 2)):
        shape = Shape(3, *size, 3)
        plan, images = plan_of(Policy([Elastic(300, 4.0, p=1.0)]), shape), make_images(shape)
        given = images.float() / 255
        assert (run(engine, plan, given) - run("portable", plan, given)).abs().max() < 1e-5


def test_outside_is_the_fill(engine: str) -> None:
    shape = Shape(3, 9, 8, 4)
    plan = plan_of(Policy([Elastic(10_000, 0.1, fill=0.25, p=1.0)]), shape)
    made = run(engine, plan, torch.ones((4, 9, 8, 3)))
    assert (made == 0.25).float().mean() > 0.9
    assert ((made >= 0.25 - 1e-6) & (made <= 1 + 1e-6)).all()


def test_no_strength_changes_nothing(engine: str) -> None:
    shape = Shape(3, 9, 8, 2)
    plan, images = plan_of(Policy([Elastic(0.0, p=1.0)]), shape), make_images(shape)
    assert torch.equal(run(engine, plan, images, output=BYTES), images.permute(0, 3, 1, 2))


@pytest.mark.parametrize("sigma", [1.0, 3.0, 5.0])
def test_pixels_move_as_far_as_it_is_said(sigma: float) -> None:
    """A ramp shows by its values how far along x each pixel was looked for."""
    shape = Shape(1, 64, 256, 4)
    ramp = (torch.arange(256) / 255).view(1, 1, 256, 1).expand(4, 64, 256, 1).contiguous()
    plan = plan_of(Policy([Elastic(50, sigma, p=1.0)]), shape)
    moved = (run("cpu", plan, ramp)[:, 0] - ramp[..., 0])[:, 16:-16, 16:-16] * 255
    assert abs(moved.std() / (25 * spread_of(sigma)) - 1) < 0.1
    assert abs(moved.mean()) < 4 * moved.std() * sigma * 3.5 / 220


def test_samples_have_fields_of_their_own_that_their_keys_are() -> None:
    plan = plan_of(Policy([Elastic(p=1.0)]), Shape(1, 8, 8, 500))
    assert len({*keys_of(plan)}) == 500
    assert max(keys_of(plan)) > 2**47 and issubclass(Elastic, Displacement)


@pytest.mark.parametrize("given, bound", [
    ({"alpha": -1}, "0"), ({"alpha": (5, 1)}, "low"), ({"sigma": 0}, "0.1"),
    ({"sigma": (1, 100)}, "64"), ({"fill": 2}, "1"),
])  # fmt: skip
def test_what_is_out_of_bounds_is_refused_with_the_bound(given: Any, bound: str) -> None:
    with pytest.raises(PolicyError, match=bound):
        Elastic(**given)
