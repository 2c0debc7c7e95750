"""Outside witnesses of mixing, occlusion and noise: the papers' formulas, counting, statistics."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from augfeed.philox import Stream, normal_quantiles, words
from augfeed.plan import CUTMIX, MIXUP, NONE, BatchRows, Plan, draw_plan
from augfeed.policy import (
    CutMix,
    Cutout,
    GaussianNoise,
    Mixup,
    Normalize,
    OneOf,
    Policy,
    RandomErasing,
    SaltAndPepper,
)
from tests.cases import (
    ENGINES,
    INTERPRETED,
    SMALL,
    STATISTICS,
    Shape,
    make_images,
    plan_of,
    run,
    usual,
)
from tests.sampling import sampled

MIXERS: dict[str, Any] = {
    "mixup": Mixup(0.4),
    "mixup, some": Mixup(1.0, p=0.5),
    "mixup per batch": Mixup(0.2, per="batch"),
    "cutmix": CutMix(1.0),
    "cutmix, some": CutMix(0.3, p=0.5),
    "cutmix per batch": CutMix(1.0, per="batch"),
    "one of": OneOf((Mixup(0.4), CutMix(1.0))),
    "one of, some": OneOf((Mixup(0.4), CutMix(1.0, p=0.7)), (1.0, 2.0), p=0.8),
    "one of per batch": OneOf((Mixup(per="batch"), CutMix(per="batch"))),
}

OFTEN = ("mixup", "cutmix", "one of, some")  # tried with an interpreted engine in every run


# Mixing


@sampled(lambda name, mixer: name not in INTERPRETED or mixer in OFTEN,
         {"name": ENGINES, "mixer": MIXERS})  # fmt: skip
def test_soft_label_equals_pixel_share(name: str, mixer: str, pytestconfig: pytest.Config) -> None:
    """Every image has one color of its own: pixels are counted, and the label must say so."""
    few = name in INTERPRETED and not pytestconfig.option.whole

    @settings(max_examples=5 if few else 30)
    @given(
        size=st.tuples(st.integers(1, 33), st.integers(1, 33)),
        window=st.tuples(st.integers(0, 20), st.integers(1, 20)),
        channels=st.sampled_from([1, 3]),
        seed=st.integers(0, 2**64 - 1),
    )
    def check(size: tuple[int, int], window: tuple[int, int], channels: int, seed: int) -> None:
        first, batch = window
        total = first + batch + 3
        rows = BatchRows.at(np.arange(first, first + batch), np.arange(total), mixing=True)
        plan = draw_plan(Policy([MIXERS[mixer]]), rows, seed=seed, epoch=0, size=size)
        colors = np.arange(1, total + 1, dtype=np.float32) / (total + 1)
        images = torch.from_numpy(colors).view(-1, 1, 1, 1).expand(-1, *size, channels).contiguous()
        made = run(name, plan, images, places=plan.ids).double().numpy()
        for row in range(plan.count):
            own, other = (float(colors[plan.ids[k]]) for k in (row, plan.mixes.partner[row]))
            check_share(made[row], own, other, plan, row)

    check()


def check_share(made: NDArray[Any], own: float, other: float, plan: Plan, row: int) -> None:
    lam, mode, pixels = (
        float(plan.mixes.lam[row]),
        plan.mixes.mode[row],
        plan.size[0] * plan.size[1],
    )
    if mode == MIXUP:
        assert own != other
        # Half a unit of float32 in each of four roundings.
        assert np.abs(made - (lam * own + (1 - lam) * other)).max() <= 2.5e-7
        return
    is_own, is_other = np.isclose(made, own, 0, 1e-6), np.isclose(made, other, 0, 1e-6)
    assert (is_own | is_other).all() and (is_own == is_own[0]).all()
    if mode == NONE:
        assert lam == 1 and is_own.all()
    else:
        assert own != other and not (is_own & is_other).any()
        count = int(is_own[0].sum())
        assert count == round(lam * pixels)
        assert lam == np.float32(1 - (pixels - count) / pixels)


def test_drawn_lambda_is_kept_if_asked_for(engine: str) -> None:
    """For those who reproduce old results: the box is the same, the label is what was drawn."""
    shape = Shape(3, 12, 12, 64)
    drawn, counted = (plan_of(Policy([CutMix(0.3, correct_lambda=flag)]), shape)
                      for flag in (False, True))  # fmt: skip
    images = make_images(shape)
    assert torch.equal(run(engine, drawn, images), run(engine, counted, images))
    assert not np.array_equal(drawn.mixes.lam, counted.mixes.lam)


def mixed_by_hand(operations: tuple[Any, ...], mixer: Any, shape: Shape, engine: str) -> None:
    """Check that mixing is the papers' formula on whole images as they are without it."""
    plan = plan_of(Policy([*operations, mixer]), shape)
    plain = run(engine, plan_of(Policy(operations), shape), make_images(shape))
    made, mixes = run(engine, plan, make_images(shape)), plan.mixes
    assert (mixes.partner != np.arange(shape.batch)).all()
    for row, (mode, partner, lam) in enumerate(zip(mixes.mode, mixes.partner, mixes.lam,
                                                   strict=True)):  # fmt: skip
        wanted = plain[row].clone()
        top, left, bottom, right = mixes.patch[row]
        if mode == CUTMIX:
            wanted[:, top:bottom, left:right] = plain[partner, :, top:bottom, left:right]
        else:
            wanted = float(lam) * wanted + (1 - float(lam)) * plain[partner]
        assert torch.allclose(made[row], wanted, atol=1e-6)


@pytest.mark.parametrize("mixer", [Mixup(1.0), CutMix(1.0)], ids=["mixup", "cutmix"])
def test_mixing_follows_the_papers(engine: str, mixer: Any) -> None:
    mixed_by_hand((STATISTICS,), mixer, Shape(3, 21, 14, 16), engine)


# Occlusion


@pytest.mark.parametrize("inside", [False, True])
def test_cutout_hides_a_square_and_nothing_else(engine: str, inside: bool) -> None:
    shape = Shape(3, 20, 27, 16 if usual(engine) == SMALL else 40)
    cutout = Cutout(9, p=0.7, fill=-5.0, inside=inside)
    plan, images = plan_of(Policy([cutout, STATISTICS]), shape), make_images(shape)
    made = run(engine, plan, images)
    plain = run(engine, plan_of(Policy([STATISTICS]), shape), images)
    hidden = made == -5.0
    assert torch.equal(made[~hidden], plain[~hidden])
    applied = (plan.cutout != 0).any(axis=1)
    assert 0 < applied.sum() < shape.batch
    for row, (top, left, bottom, right) in enumerate(plan.cutout):
        box = torch.zeros(shape.height, shape.width, dtype=torch.bool)
        box[top:bottom, left:right] = True
        assert torch.equal(hidden[row], box.expand(3, -1, -1))
        assert not (inside and applied[row]) or int(box.sum()) == 81


def test_cutout_covers_what_the_paper_says(engine: str) -> None:
    """Centres anywhere: half of a 32-pixel side hides 19.1 % on average, not a quarter."""
    shape = Shape(1, 32, 32, 200 if usual(engine) == SMALL else 4000)
    plan = plan_of(Policy([Cutout(16, fill=9.0)]), shape)
    made = run(engine, plan, torch.zeros(1, 32, 32, 1, dtype=torch.uint8),
               places=np.zeros(shape.batch, np.int64))  # fmt: skip
    share = float((made == 9).float().mean())
    assert share == pytest.approx(0.191, abs=0.003 * (4000 / shape.batch) ** 0.5)


@pytest.mark.parametrize("fill", [0.5, "mean", "noise"])
def test_erasing_hides_a_rectangle_with_its_fill(engine: str, fill: Any) -> None:
    shape = Shape(3, 40, 50, 12 if usual(engine) == SMALL else 30)
    policy, images = Policy([RandomErasing(p=0.8, fill=fill), STATISTICS]), make_images(shape)
    plan = plan_of(policy, shape)
    made = run(engine, plan, images)
    plain = run(engine, plan_of(Policy([STATISTICS]), shape), images)
    held = []
    for row, (top, left, bottom, right) in enumerate(plan.erased):
        held.append(made[row, :, top:bottom, left:right].ravel())
        made[row, :, top:bottom, left:right] = plain[row, :, top:bottom, left:right]
    assert torch.equal(made, plain)
    if fill == "noise":
        assert stats.kstest(torch.cat(held).numpy(), "norm").pvalue > 1e-3
    else:
        assert (torch.cat(held) == (0.0 if fill == "mean" else fill)).all()


def test_erasing_noise_without_normalize_is_uniform(engine: str) -> None:
    shape = Shape(3, 64, 64, 8)
    plan = plan_of(Policy([RandomErasing(p=1.0, fill="noise")]), shape)
    made = run(engine, plan, make_images(shape))
    top, left, bottom, right = plan.erased[0]
    held = made[0, :, top:bottom, left:right]
    assert held.min() > 0 and held.max() < 1
    assert stats.kstest(held.ravel().numpy(), "uniform").pvalue > 1e-3


def test_erasing_lies_over_cutout(engine: str) -> None:
    shape = Shape(1, 20, 20, 10)
    operations = [Cutout(64, fill=0.25), RandomErasing(p=1.0, fill=0.75)]
    plan = plan_of(Policy(operations), shape)
    made = run(engine, plan, make_images(shape))
    for row, (top, left, bottom, right) in enumerate(plan.erased):
        assert (made[row, :, top:bottom, left:right] == 0.75).all()
        assert int((made[row] == 0.75).sum()) == (bottom - top) * (right - left) > 0


# Noise


def large(engine: str) -> Shape:
    """Return a shape of as many values as statistics need; errors shrink with their root."""
    return Shape(3, 89, 127, 2) if engine in INTERPRETED else Shape(3, 211, 301, 2)


def noise_of(engine: str, operation: Any, *more: Any, epoch: int = 0) -> Tensor:
    """Return what an operation adds to images of middle gray."""
    policy, shape = Policy([operation, *more]), large(engine)
    plan = plan_of(policy, shape, epoch=epoch)
    images = torch.full((2, shape.height, shape.width, 3), 0.5)
    plain = run(engine, plan_of(Policy(more), shape), images)
    return run(engine, plan, images) - plain


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (4, 4)])
def test_numbers_of_pixels_lie_as_documented(engine: str, size: tuple[int, int]) -> None:
    """Position p of a plane is in lane p // nb of block p % nb, of nb = ceil(H * W / 8)."""
    height, width = size
    plan = plan_of(Policy([GaussianNoise(1.0)]), Shape(3, height, width, 2), seed=2**40 + 1)
    made = run(engine, plan, torch.zeros(2, height, width, 3, dtype=torch.uint8)).numpy()
    blocks, table = -(-height * width // 8), normal_quantiles()
    requests = [(Stream.NOISE_PIXELS, block) for block in range(3 * blocks)]
    drawn = words(plan.seed, plan.epoch, plan.ids, requests)
    for sample, channel, y, x in np.ndindex(made.shape):
        lane, block = divmod(y * width + x, blocks)
        word = int(drawn[channel * blocks + block, lane // 2, sample])
        half = word >> 16 if lane % 2 else word & 0xFFFF
        assert made[sample, channel, y, x] == pytest.approx(table[half], abs=1e-6)


def test_noise_is_normal(engine: str) -> None:
    z = noise_of(engine, GaussianNoise(1.0)).double().ravel().numpy()
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(z).max() <= normal_quantiles()[-1] + 1e-6


def test_noise_is_independent_between_all_that_it_runs_over(engine: str) -> None:
    z, later = (noise_of(engine, GaussianNoise(1.0), epoch=epoch) for epoch in (0, 1))
    block = -(-large(engine).height * large(engine).width // 8)
    line = z[0, 0].ravel()
    pairs = {
        "samples": (z[0], z[1]),
        "channels": (z[0, 0], z[0, 2]),
        "epochs": (z, later),
        "neighbours": (line[:-1], line[1:]),
        "lanes of a block": (line[:-block], line[block:]),
        "two lanes": (line[: -2 * block], line[2 * block :]),
    }
    for name, (one, other) in pairs.items():
        r = np.corrcoef(one.ravel().numpy(), other.ravel().numpy())[0, 1]
        assert abs(r) < 4.5 / np.sqrt(one.numel()), name


def test_sigma_counts_in_the_space_it_names(engine: str) -> None:
    normalize = Normalize((0.5, 0.4, 0.3), (0.1, 0.2, 0.4))
    for noise, scale in (
        (GaussianNoise(0.3), (1, 1, 1)),
        (GaussianNoise(0.3, space="pixel"), (10, 5, 2.5)),
    ):
        z = noise_of(engine, noise, normalize)
        assert z.std(dim=(0, 2, 3)).tolist() == pytest.approx([0.3 * k for k in scale], rel=0.02)


def test_sigma_is_that_of_the_sample(engine: str) -> None:
    plan = plan_of(Policy([GaussianNoise((0.1, 2.0), p=0.8)]), Shape(1, 100, 100, 12))
    made = run(engine, plan, torch.zeros(12, 100, 100, 1, dtype=torch.uint8))
    assert (plan.sigma == 0).any() and len(set(plan.sigma)) > 5
    assert made.std(dim=(1, 2, 3)).tolist() == pytest.approx(plan.sigma.tolist(), rel=0.05)


@pytest.mark.parametrize(("amount", "salt"), [(0.3, 0.5), (0.1, 1.0), (0.2, 0.0), (1.0, 0.25)])
def test_salt_and_pepper_turn_whole_pixels_black_or_white(
    engine: str, amount: float, salt: float
) -> None:
    made = noise_of(engine, SaltAndPepper(amount, salt)) + 0.5
    assert torch.equal(made, made[:, :1].expand(-1, 3, -1, -1))
    near = {"abs": 4 * np.sqrt(amount / made[:, 0].numel())}
    assert float((made == 1).float().mean()) == pytest.approx(amount * salt, **near)
    assert float((made == 0).float().mean()) == pytest.approx(amount * (1 - salt), **near)
    assert float((made == 0.5).float().mean()) == pytest.approx(1 - amount, **near)


def test_salt_is_white_and_pepper_black_after_normalize(engine: str) -> None:
    policy = Policy([SaltAndPepper(1.0), Normalize((0.5, 0.4, 0.3), (0.1, 0.2, 0.4))])
    made = run(engine, plan_of(policy, Shape(3, 9, 9, 1)), make_images(Shape(3, 9, 9, 1)))
    for channel, (black, white) in enumerate([(-5, 5), (-2, 3), (-0.75, 1.75)]):
        assert set(made[0, channel].ravel().round(decimals=4).tolist()) == {black, white}
