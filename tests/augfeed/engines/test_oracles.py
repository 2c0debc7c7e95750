"""Outside witnesses of geometry and color: torch, Kornia's functions, formulas of the papers."""

from typing import Any

import numpy as np
import pytest
import torch
from kornia.geometry import transform as kornia
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from augfeed.constants import YIQ
from augfeed.engines import Output
from augfeed.engines.portable import philox
from augfeed.philox import Stream, words
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import (
    Border,
    ColorJitter,
    Grayscale,
    HorizontalFlip,
    Perspective,
    Policy,
    Rotate,
    Scale,
    Shear,
    Translate,
    VerticalFlip,
)
from tests.cases import WINDOWS, Shape, make_images, offsets_of, plan_of, run, window_of

SHAPES = [Shape(3, 29, 41, 12), Shape(1, 40, 24, 7)]
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
# Kornia inverts its matrices in float32 and normalizes coordinates on the way.
KORNIA = 2e-4


def planes(images: Tensor) -> Tensor:
    """Return images `[N, H, W, C]` as float32 `[N, C, H, W]` in pixel space."""
    return images.permute(0, 3, 1, 2).float() / 255


def column(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values).float().view(-1, 1, 1, 1)


# Random numbers


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ((0, 0, 0, 0), 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0_A4093822,
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_known_answers(
    counter: tuple[int, int, int, int], key: int, wanted: str
) -> None:
    """Vectors of the Random123 library, for the implementation in torch."""
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    assert " ".join(f"{int(word):08x}" for word in philox((c0, c1, c2, c3), key)) == wanted


def test_philox_in_torch_equals_the_compiled_one() -> None:
    ids = np.array([0, 7, 2**31, 2**32 - 1, 2**32, 2**48 - 1])
    seed, epoch, stream = 2**63 + 12345, 2**32 - 2, Stream.NOISE_PIXELS
    compiled = words(seed, epoch, ids, [(stream, block) for block in range(50)])
    counter = (
        torch.from_numpy(ids % 2**32)[None],
        torch.tensor([[epoch]]),
        torch.from_numpy(int(stream) + ids // 2**32 * 2**16)[None],
        torch.arange(50)[:, None],
    )
    made = torch.stack(philox(counter, seed), dim=1)
    assert torch.equal(made, torch.from_numpy(compiled.astype(np.int64)))


# Flips and windows: equal to the bit


@by_shape
def test_flips_equal_torch(engine: str, shape: Shape) -> None:
    plan, images = plan_of(Policy([HorizontalFlip(), VerticalFlip()]), shape), make_images(shape)
    made = run(engine, plan, images, output=Output(torch.uint8))
    applied = [plan.decisions[name]["applied"] for name in ("vertical_flip", "horizontal_flip")]
    assert all(0 < flags.sum() < len(flags) for flags in applied)
    for k, image in enumerate(images.permute(0, 3, 1, 2)):
        axes = [axis + 1 for axis in (0, 1) if applied[axis][k]]
        assert torch.equal(made[k], image.flip(axes))


@by_shape
@pytest.mark.parametrize("window", [name for name in WINDOWS if "far outside" not in name])
def test_windows_equal_padding_and_slicing(engine: str, shape: Shape, window: str) -> None:
    crop, images = window_of(window, shape)
    plan = plan_of(Policy([crop]), shape)
    offsets = offsets_of(plan, images)
    made = run(engine, plan, images, offsets=offsets)
    mode = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}[crop.mode]
    fills = crop.fill if isinstance(crop.fill, tuple) else (crop.fill,) * shape.channels
    around, found = (crop.padding,) * 4, planes(images)
    padded = torch.cat([
        functional.pad(found[:, c : c + 1], around, mode=mode,
                       value=float(fill) if mode == "constant" else None)
        for c, fill in enumerate(fills)
    ], dim=1)  # fmt: skip
    for k, (top, left) in enumerate(offsets + crop.padding):
        wanted = padded[k, :, top : top + shape.height, left : left + shape.width]
        assert torch.allclose(made[k], wanted, rtol=0, atol=1e-7)


def test_reflection_far_outside_repeats_with_its_period(engine: str) -> None:
    images = torch.arange(5, dtype=torch.uint8).view(1, 1, 5, 1) * 50
    crop, _ = window_of("reflect padding far outside", Shape(1, 1, 13, 1))
    plan = draw_plan(Policy([crop]), BatchRows.of([0]), seed=0, epoch=0, size=(1, 13))
    offsets = np.array([[-7, -20]], np.int32)
    made = run(engine, plan, images, offsets=offsets, output=Output(torch.uint8)).ravel() // 50
    assert made.tolist() == [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]


# Warps


def check_warp(engine: str, shape: Shape, operation: Any, wanted: Any) -> None:
    policy = Policy([operation])
    plan, images = plan_of(policy, shape), make_images(shape)
    drawn = plan.decisions[policy.operations[0].op]
    assert drawn["applied"].any()
    expected = wanted(planes(images), drawn)
    expected = torch.where(column(drawn["applied"]) > 0, expected, planes(images))
    assert torch.allclose(run(engine, plan, images), expected, rtol=0, atol=KORNIA)


@by_shape
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_rotation_equals_kornia(engine: str, shape: Shape, p: float) -> None:
    def wanted(x: Tensor, drawn: dict[str, NDArray[Any]]) -> Tensor:
        return kornia.rotate(x, column(drawn["degrees"]).ravel())

    check_warp(engine, shape, Rotate((-180, 180), p=p), wanted)


@by_shape
def test_translation_equals_kornia(engine: str, shape: Shape) -> None:
    def wanted(x: Tensor, drawn: dict[str, NDArray[Any]]) -> Tensor:
        shift = np.stack([drawn["x"] * shape.width, drawn["y"] * shape.height], axis=1)
        return kornia.translate(x, torch.from_numpy(shift).float())

    check_warp(engine, shape, Translate(0.4, 0.3, p=0.8), wanted)


@by_shape
def test_scale_equals_kornia(engine: str, shape: Shape) -> None:
    def wanted(x: Tensor, drawn: dict[str, NDArray[Any]]) -> Tensor:
        return kornia.scale(x, column(drawn["factor"]).view(-1, 1))

    check_warp(engine, shape, Scale((0.5, 2.0)), wanted)


def centre(shape: Shape) -> Tensor:
    return torch.tensor([[(shape.width - 1) / 2, (shape.height - 1) / 2]]).expand(shape.batch, 2)


def shear_matrix(drawn: dict[str, NDArray[Any]], shape: Shape) -> Tensor:
    # Kornia's angles have the other sign.
    x, y = (-column(np.deg2rad(drawn[name])).ravel() for name in ("x_degrees", "y_degrees"))
    return kornia.get_shear_matrix2d(centre(shape), x, y)


@by_shape
def test_shear_equals_kornia(engine: str, shape: Shape) -> None:
    def wanted(x: Tensor, drawn: dict[str, NDArray[Any]]) -> Tensor:
        return kornia.warp_affine(x, shear_matrix(drawn, shape)[:, :2], shape[1:3])

    check_warp(engine, shape, Shear(30, 20), wanted)


def perspective_matrix(drawn: dict[str, NDArray[Any]], shape: Shape) -> Tensor:
    right, bottom = shape.width - 1.0, shape.height - 1.0
    corners = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom]])
    inwards = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    shares = torch.from_numpy(drawn["corners"]).float().view(-1, 4, 2)
    moved = corners + inwards * shares * torch.tensor([right / 2, bottom / 2])
    return kornia.get_perspective_transform(corners.expand_as(moved), moved)


@by_shape
def test_perspective_equals_kornia(engine: str, shape: Shape) -> None:
    def wanted(x: Tensor, drawn: dict[str, NDArray[Any]]) -> Tensor:
        return kornia.warp_perspective(x, perspective_matrix(drawn, shape), shape[1:3])

    check_warp(engine, shape, Perspective(0.5), wanted)


BORDERS = [("constant", 0.0), ("constant", 0.7), ("edge", 0.0), ("reflect", 0.0)]


@by_shape
@pytest.mark.parametrize(("mode", "fill"), BORDERS)
def test_composed_warps_equal_kornia(engine: str, shape: Shape, mode: Any, fill: float) -> None:
    """Forward matrices in the order of the policy, the first applied first."""
    operations = [Shear(20), HorizontalFlip(), Rotate(60), Perspective(0.4, p=1.0)]
    plan, images = plan_of(Policy([*operations, Border(mode, fill)]), shape), make_images(shape)
    drawn, flip = plan.decisions, torch.eye(3).repeat(shape.batch, 1, 1)
    flip[plan.flip_x, 0] = torch.tensor([-1.0, 0.0, shape.width - 1.0])
    angle = column(drawn["rotate"]["degrees"]).ravel()
    turn = torch.eye(3).repeat(shape.batch, 1, 1)
    one = torch.ones(shape.batch, 2)
    turn[:, :2] = kornia.get_rotation_matrix2d(centre(shape), angle, one)
    tilt = perspective_matrix(drawn["perspective"], shape)
    forward = tilt @ turn @ flip @ shear_matrix(drawn["shear"], shape)
    name = {"constant": "zeros", "edge": "border", "reflect": "reflection"}[mode]
    wanted = fill + kornia.warp_perspective(
        planes(images) - fill, forward, shape[1:3], padding_mode=name
    )
    assert torch.allclose(run(engine, plan, images), wanted, rtol=0, atol=3 * KORNIA)


# Color


def colored(engine: str, operation: Any, *, low: float = 0.4, high: float = 0.6) -> Any:
    """Return images with values in [low, high], what becomes of them, and what was drawn."""
    shape = Shape(3, 24, 31, 10)
    images = low + (high - low) * make_images(shape).float() / 255
    plan: Plan = plan_of(Policy([operation]), shape)
    return images.permute(0, 3, 1, 2), run(engine, plan, images), plan.decisions[operation.op]


def grey(x: Tensor) -> Tensor:
    """Return torchvision's gray: weights with four, three and three digits."""
    return (0.2989 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])[:, None]


TORCHVISION = 2e-4  # its weight of red is 0.2989 where ITU-R 601 says 0.299


def test_brightness_equals_torchvision(engine: str) -> None:
    x, made, drawn = colored(engine, ColorJitter(brightness=0.5))
    assert torch.allclose(made, column(drawn["brightness"]) * x, atol=1e-6)


def test_contrast_equals_torchvision(engine: str) -> None:
    x, made, drawn = colored(engine, ColorJitter(contrast=0.9))
    mean, factor = grey(x).mean(dim=(1, 2, 3), keepdim=True), column(drawn["contrast"])
    assert torch.allclose(made, factor * x + (1 - factor) * mean, atol=TORCHVISION)


def test_contrast_after_brightness_equals_torchvision(engine: str) -> None:
    x, made, drawn = colored(engine, ColorJitter(brightness=0.3, contrast=0.9))
    x, factor = column(drawn["brightness"]) * x, column(drawn["contrast"])
    mean = grey(x).mean(dim=(1, 2, 3), keepdim=True)
    assert torch.allclose(made, factor * x + (1 - factor) * mean, atol=TORCHVISION)


@pytest.mark.parametrize("window", ["cut from a larger image", "constant padding"])
def test_contrast_is_about_the_mean_of_the_frame(engine: str, window: str) -> None:
    """What the window shows, padding included, before anything is turned."""
    shape, jitter = Shape(3, 21, 26, 9), ColorJitter(contrast=0.9)
    crop, images = window_of(window, shape)
    images = 0.4 + 0.2 * images.float() / 255

    def made(*operations: Any) -> Tensor:
        plan = plan_of(Policy([crop, *operations]), shape)
        return run(engine, plan, images, offsets=offsets_of(plan, images))

    turn = (Rotate(45), Border("constant", 0.5))
    factor = column(plan_of(Policy([jitter]), shape).decisions["color_jitter"]["contrast"])
    mean = grey(made()).mean(dim=(1, 2, 3), keepdim=True)
    wanted = factor * made(*turn) + (1 - factor) * mean
    assert torch.allclose(made(*turn, jitter), wanted, atol=TORCHVISION)


def test_contrast_about_half_keeps_half(engine: str) -> None:
    x, made, drawn = colored(engine, ColorJitter(contrast=0.9, about="half"))
    assert torch.allclose(made - 0.5, column(drawn["contrast"]) * (x - 0.5), atol=1e-6)


def test_saturation_equals_torchvision(engine: str) -> None:
    x, made, drawn = colored(engine, ColorJitter(saturation=0.9))
    factor = column(drawn["saturation"])
    assert torch.allclose(made, factor * x + (1 - factor) * grey(x), atol=TORCHVISION)


def test_grayscale_equals_torchvision(engine: str) -> None:
    x, made, drawn = colored(engine, Grayscale(0.5), low=0.0, high=1.0)
    wanted = torch.where(column(drawn["applied"]) > 0, grey(x), x)
    assert torch.allclose(made, wanted, atol=TORCHVISION)


def yiq(x: Tensor) -> Tensor:
    return torch.einsum("kc,nchw->nkhw", torch.tensor(YIQ), x)


@pytest.mark.parametrize("turns", [0.5, -0.31, 0.07])
def test_hue_turns_the_chroma_plane(engine: str, turns: float) -> None:
    x, made, _ = colored(engine, ColorJitter(hue=(turns, turns)))
    before, after = yiq(x), yiq(made)
    assert torch.allclose(after[:, 0], before[:, 0], atol=1e-6), "luma changed"
    was, became = (torch.complex(part[:, 1], part[:, 2]) for part in (before, after))
    turn = torch.polar(torch.tensor(1.0), torch.tensor(2 * torch.pi * turns))
    assert torch.allclose(became, was * turn, atol=1e-6)


def test_half_a_turn_negates_chroma_and_two_cancel(engine: str) -> None:
    x, made, _ = colored(engine, ColorJitter(hue=(0.5, 0.5)))
    assert torch.allclose(yiq(made)[:, 1:], -yiq(x)[:, 1:], atol=1e-6)


def test_hue_and_its_negative_cancel(engine: str) -> None:
    x, made, _ = colored(engine, ColorJitter(hue=(0.2, 0.2)))
    back = plan_of(Policy([ColorJitter(hue=(-0.2, -0.2))]), Shape(3, 24, 31, 10))
    again = run(engine, back, made.permute(0, 2, 3, 1).contiguous())
    assert torch.allclose(again, x, atol=2e-6)


def test_greys_stay_grey(engine: str) -> None:
    shape = Shape(3, 16, 16, 6)
    images = make_images(shape)[..., :1].expand(-1, -1, -1, 3).contiguous()
    plan = plan_of(Policy([ColorJitter(saturation=0.9, hue=0.5), Grayscale(0.5)]), shape)
    assert torch.allclose(run(engine, plan, images), planes(images), atol=1e-6)
