"""Kornia's own augmentation classes as witnesses: given the plan's decisions as their parameters,
they make the same images."""

from typing import Any

import numpy as np
import pytest
import torch
from kornia import augmentation as kornia
from numpy.typing import NDArray
from torch import Tensor

from augfeed.plan import CUTMIX, Plan
from augfeed.policy import (
    CutMix,
    Grayscale,
    HorizontalFlip,
    Invert,
    Mixup,
    Perspective,
    Policy,
    Posterize,
    RandomErasing,
    Rotate,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)
from tests.cases import Shape, make_images, plan_of, run

SHAPE = Shape(3, 25, 33, 12)
FLOAT32 = torch.tensor(2)  # Kornia's number of the dtype that labels are computed in
WARPED = 3e-4  # Kornia inverts its matrices in float32 and normalizes coordinates on the way


def given(applied: NDArray[np.bool_], **more: NDArray[Any]) -> dict[str, Tensor]:
    """Return parameters in Kornia's form: which samples get it, the batch's shape, the rest."""
    shape = torch.tensor([SHAPE.batch, SHAPE.channels, SHAPE.height, SHAPE.width])
    drawn = {name: torch.from_numpy(np.array(values, np.float32)) for name, values in more.items()}
    return {"batch_prob": torch.from_numpy(applied).float(), "forward_input_shape": shape, **drawn}


def done(engine: str, *operations: Any) -> tuple[Tensor, Tensor, Plan]:
    """Return images `[N, C, H, W]`, what an engine makes of them, and the plan."""
    plan, images = plan_of(Policy(operations), SHAPE), make_images(SHAPE)
    return images.permute(0, 3, 1, 2).float() / 255, run(engine, plan, images), plan


def test_random_flips(engine: str) -> None:
    x, made, plan = done(engine, HorizontalFlip(), VerticalFlip())
    wanted = kornia.RandomHorizontalFlip()(x, params=given(plan.flip_x))
    wanted = kornia.RandomVerticalFlip()(wanted, params=given(plan.flip_y))
    assert torch.allclose(made, wanted, atol=1e-7)


def test_random_rotation(engine: str) -> None:
    x, made, plan = done(engine, Rotate(70, p=0.6))
    drawn = plan.decisions["rotate"]
    aug = kornia.RandomRotation(70.0, align_corners=True)
    wanted = aug(x, params=given(drawn["applied"], degrees=drawn["degrees"]))
    assert torch.allclose(made, wanted, atol=WARPED)


def test_random_affine(engine: str) -> None:
    """Its law is one of ours: shear, then turn and scale, then shift; all its angles negated."""
    order = [Shear(20, 10), Rotate(40), Scale((0.7, 1.5)), Translate(0.2, 0.2)]
    x, made, plan = done(engine, *order)
    drawn, every = plan.decisions, np.ones(SHAPE.batch, np.bool_)
    shift, factor = drawn["translate"], drawn["scale"]["factor"]
    centre = [(SHAPE.width - 1) / 2, (SHAPE.height - 1) / 2]
    params = given(
        every,
        translations=np.stack([shift["x"] * SHAPE.width, shift["y"] * SHAPE.height], axis=1),
        center=np.tile(centre, (SHAPE.batch, 1)),
        scale=np.stack([factor, factor], axis=1),
        angle=-drawn["rotate"]["degrees"],
        shear_x=-drawn["shear"]["x_degrees"],
        shear_y=-drawn["shear"]["y_degrees"],
    )
    wanted = kornia.RandomAffine(40.0, align_corners=True)(x, params=params)
    assert torch.allclose(made, wanted, atol=WARPED)


def test_random_perspective(engine: str) -> None:
    x, made, plan = done(engine, Perspective(0.5, p=0.7))
    drawn = plan.decisions["perspective"]
    right, bottom = SHAPE.width - 1, SHAPE.height - 1
    start = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [right / 2, bottom / 2]
    params = given(
        drawn["applied"],
        start_points=np.tile(start, (SHAPE.batch, 1, 1)),
        end_points=start + inwards * drawn["corners"].reshape(-1, 4, 2),
    )
    wanted = kornia.RandomPerspective(0.5, align_corners=True)(x, params=params)
    assert torch.allclose(made, wanted, atol=WARPED)


def test_random_erasing(engine: str) -> None:
    x, made, plan = done(engine, RandomErasing(p=0.7, fill=0.25))
    top, left, bottom, right = plan.erased.T
    params = given(
        bottom > top, xs=left, ys=top, widths=right - left, heights=bottom - top,
        values=np.full(SHAPE.batch, 0.25),
    )  # fmt: skip
    wanted = kornia.RandomErasing()(x, params=params)
    assert torch.allclose(made, wanted, atol=1e-7)


def test_random_solarize(engine: str) -> None:
    x, made, plan = done(engine, Solarize(0.37, p=0.6))
    params = given(
        plan.decisions["solarize"]["applied"],
        thresholds=np.full(SHAPE.batch, 0.37),
        additions=np.zeros(SHAPE.batch),
    )
    assert torch.allclose(made, kornia.RandomSolarize()(x, params=params), atol=1e-6)


@pytest.mark.parametrize("bits", [1, 3, 7])
def test_random_posterize(engine: str, bits: int) -> None:
    """Kornia cuts off where we round to levels: whole levels are given, and a quarter added."""
    _, made, plan = done(engine, Posterize(bits, p=0.6))
    x = (make_images(SHAPE).permute(0, 3, 1, 2).float() + 0.25) / 255
    params = given(plan.decisions["posterize"]["applied"])
    params["bits_factor"] = torch.full((SHAPE.batch,), bits, dtype=torch.int32)
    wanted = kornia.RandomPosterize()(x, params=params)
    assert torch.allclose((made * 255).floor(), (wanted * 255).floor(), atol=0.1)


def test_random_invert_and_grayscale(engine: str) -> None:
    x, made, plan = done(engine, Grayscale(0.5), Invert(0.5))
    wanted = kornia.RandomGrayscale()(x, params=given(plan.decisions["grayscale"]["applied"]))
    wanted = kornia.RandomInvert()(wanted, params=given(plan.decisions["invert"]["applied"]))
    assert torch.allclose(made, wanted, atol=1e-6)


def test_random_mixup(engine: str) -> None:
    """Its lambda is the share of the partner; its label says (own, partner's, lambda)."""
    x, made, plan = done(engine, Mixup(1.0, p=0.7))
    mixes, labels = plan.mixes, torch.arange(SHAPE.batch)
    params = given(np.ones(SHAPE.batch, np.bool_), mixup_lambdas=1 - mixes.lam)
    params["mixup_pairs"] = torch.from_numpy(mixes.partner).long()
    params["dtype"] = FLOAT32
    wanted, label = kornia.RandomMixUpV2(data_keys=["input", "class"])(x, labels, params=params)
    assert torch.allclose(made, wanted, atol=1e-6)
    assert np.array_equal(label[:, 1].numpy(), mixes.partner)
    assert np.allclose(1 - label[:, 2].numpy(), mixes.lam, atol=1e-7)


def test_random_cutmix(engine: str) -> None:
    """Its boxes name their last pixel; its corrected lambda is the own share, as ours."""
    x, made, plan = done(engine, CutMix(1.0))
    mixes, labels = plan.mixes, torch.arange(SHAPE.batch)
    assert (mixes.mode == CUTMIX).all()
    top, left, bottom, right = mixes.patch.T
    some = (bottom > top) & (right > left)
    corners = [(left, top), (right - 1, top), (right - 1, bottom - 1), (left, bottom - 1)]
    boxes = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    boxes[~some] = [[0, 0], [-1, 0], [-1, -1], [0, -1]]
    params = given(
        np.ones(SHAPE.batch, np.bool_), crop_src=boxes[None], image_shape=np.array(SHAPE[1:3])
    )
    params["mix_pairs"] = torch.from_numpy(mixes.partner).long()[None]
    params["dtype"] = FLOAT32
    aug = kornia.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    wanted, label = aug(x, labels, params=params)
    assert torch.allclose(made, wanted, atol=1e-7)
    assert np.array_equal(label[0, :, 1].numpy(), mixes.partner)
    assert np.allclose(label[0, some, 2].numpy(), mixes.lam[some], atol=1e-7)
