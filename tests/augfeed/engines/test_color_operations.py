"""Color operations against Pillow, and against the formulas of torchvision, timm and Kornia."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from augfeed.engines import Output
from augfeed.plan import Plan
from augfeed.policy import (
    AutoContrast,
    ChannelDrop,
    ChannelShuffle,
    Gamma,
    Policy,
    SolarizeAdd,
)
from tests.cases import INTERPRETED, Shape, make_images, plan_of, run

BYTES = Output(torch.uint8)
LEVELS = torch.arange(256, dtype=torch.uint8)


def levels_of(engine: str, item: Any, channels: int = 1) -> NDArray[np.uint8]:
    """Return what becomes of each level, `[256]`."""
    images = LEVELS.view(1, 16, 16, 1).expand(1, 16, 16, channels).contiguous()
    made = run(engine, plan_of(Policy([item]), Shape(channels, 16, 16, 1)), images, output=BYTES)
    assert all(torch.equal(made[:, 0], made[:, c]) for c in range(channels))
    return np.asarray(made[0, 0].flatten())


def applied(engine: str, item: Any, shape: Shape) -> tuple[Plan, torch.Tensor, torch.Tensor]:
    """Return the plan, the images `[N, C, H, W]` and what became of them, uint8."""
    plan, images = plan_of(Policy([item]), shape), make_images(shape)
    return plan, images.permute(0, 3, 1, 2), run(engine, plan, images, output=BYTES)


# Gamma


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 1.5, 2.2, 10.0])
@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_gamma_is_torchvisions_within_a_level(engine: str, gamma: float, gain: float) -> None:
    made = levels_of(engine, Gamma(gamma, gain))
    exact = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255)
    pillow = ((256 - 1e-3) * gain * (np.arange(256) / 255) ** gamma).clip(0, 255).astype(int)
    assert np.abs(made - exact).max() <= 0.5 + 1e-3
    assert np.abs(made.astype(int) - pillow).max() <= 1
    assert made[0] == 0 and (np.diff(made.astype(int)) >= 0).all()


def test_gamma_keeps_black_and_white_of_floats(engine: str) -> None:
    images = torch.tensor([0.0, 1e-30, 1.0, 1.0]).view(1, 2, 2, 1)
    made = run(engine, plan_of(Policy([Gamma(0.01)]), Shape(1, 2, 2, 1)), images).flatten()
    assert made[0] == 0 and made[2] == 1 and 0 < made[1] < 1


def test_a_drawn_gamma_of_1_still_has_its_gain(engine: str) -> None:
    assert levels_of(engine, Gamma(1.0, 0.5))[255] == 128


# Solarize, added


@pytest.mark.parametrize("added", [0, 1, 43, 110])
def test_solarize_add_is_timms_to_the_bit(engine: str, added: int) -> None:
    table = [min(255, k + added) if k < 128 else k for k in range(256)]
    assert levels_of(engine, SolarizeAdd(added / 255, p=1.0)).tolist() == table


def test_an_addition_below_0_ends_at_black(engine: str) -> None:
    made = levels_of(engine, SolarizeAdd(-60 / 255, 1.0, p=1.0)).astype(int)
    assert (made[:255] == np.maximum(np.arange(255) - 60, 0)).all() and made[255] == 255


# Autocontrast


@pytest.mark.parametrize("channels", [1, 3])
def test_autocontrast_is_pillows_to_the_bit(engine: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    pairs = [(0, 255), (0, 0), (255, 255), (7, 7), (254, 255), (0, 1), (10, 250), (100, 103)]
    pairs += [tuple(sorted(rng.integers(0, 256, 2))) for _ in range(12)]
    images: list[NDArray[Any]] = []
    for low, high in pairs:
        image: NDArray[Any] = rng.integers(low, high + 1, (9, 30, channels))
        image[0, 0], image[0, 1] = low, high
        image.reshape(-1, channels)[2 : 2 + high - low + 1][:250] = np.arange(low, high + 1)[
            :250, None
        ]
        images.append(image.astype(np.uint8))
    shape = Shape(channels, 9, 30, len(images))
    plan = plan_of(Policy([AutoContrast(1.0)]), shape)
    made = run(engine, plan, torch.from_numpy(np.stack(images)), output=BYTES)
    for image, found in zip(images, made.permute(0, 2, 3, 1), strict=True):
        wanted = ImageOps.autocontrast(Image.fromarray(image.squeeze()))
        assert np.array_equal(found.numpy().squeeze(), np.asarray(wanted))


def test_every_pair_of_levels_is_stretched_as_pillow_does() -> None:
    """In float64, whose rounding takes a level off here and there: so does ours."""
    level, counts = np.arange(256), np.zeros(256, np.int64)
    for low in range(256):
        for high in range(low + 1, 256):
            counts[:] = 0
            counts[[low, high]] = 1
            scale = 255.0 / (high - low)
            wanted = [max(0, min(255, int(k * scale + -low * scale))) for k in (low, high)]
            made = AutoContrast.table(counts, level)
            assert [made[low], made[high]] == wanted
            if (low * 256 + high) % 97 == 0:
                every = [max(0, min(255, int(k * scale + -low * scale))) for k in range(256)]
                assert made.tolist() == every


def test_stretched_channels_reach_from_black_to_white(engine: str) -> None:
    _, _, made = applied(engine, AutoContrast(1.0), Shape(3, 24, 20, 6))
    assert (made.amin((2, 3)) == 0).all() and (made.amax((2, 3)) >= 254).all()


# Channels


def test_channels_come_in_all_six_orders_alike(engine: str) -> None:
    rows = 60 if engine in INTERPRETED else 600
    plan, images, made = applied(engine, ChannelShuffle(1.0), Shape(3, 2, 3, rows))
    orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    for row, number in enumerate(plan.decisions["channel_shuffle"]["order"]):
        assert torch.equal(made[row], images[row, list(orders[number])])
    found = Counter(plan.decisions["channel_shuffle"]["order"].tolist())
    assert len(found) == 6 and (rows < 600 or min(found.values()) > 70)


@pytest.mark.parametrize("count", [1, 2])
def test_dropped_channels_are_black_and_others_stay(engine: str, count: Any) -> None:
    _, images, made = applied(engine, ChannelDrop(count, p=1.0), Shape(3, 4, 5, 60))
    same, black = ((made == images).all(dim=(2, 3)), (made == 0).all(dim=(2, 3)))
    assert (black.sum(1) == count).all() and (same | black).all()
    assert (black.sum(0) > 60 * count / 3 * 0.5).all()


@pytest.mark.parametrize(
    "item", [ChannelDrop(p=1.0), ChannelShuffle(1.0)], ids=lambda item: item.op
)
def test_an_image_of_one_channel_keeps_it(engine: str, item: Any) -> None:
    _, images, made = applied(engine, item, Shape(1, 4, 5, 6))
    assert torch.equal(made, images)
