"""Steps on frames, equalize and blur, against Pillow, torch and Kornia; whose frame is made, and of
what."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from augfeed.engines import Output
from augfeed.engines import cpu as cpu_engine
from augfeed.errors import InputError
from augfeed.kernels.frames import materialise
from augfeed.plan import BatchRows, FrameSteps, Plan, draw_plan
from augfeed.plan.frames import CODES
from augfeed.policy import (
    Border,
    ColorJitter,
    Equalize,
    GaussianBlur,
    HorizontalFlip,
    Mixup,
    Policy,
    RandomCrop,
    Rotate,
)
from tests.cases import (
    CASES,
    ENGINES,
    INTERPRETED,
    WINDOWS,
    Shape,
    assert_agree,
    fitted,
    make_images,
    offsets_of,
    plan_of,
    policy_of,
    run,
    window_of,
)
from tests.cases import FRAMES as CASE_FRAMES
from tests.sampling import chosen, sampled

BYTES = Output(torch.uint8)
EVERY = CASE_FRAMES  # one of each, for half of the samples
FRAMES = (Equalize(0.5), GaussianBlur((3, 5), (0.4, 2.0), p=0.4))


def kinds(height: int, width: int, channels: int) -> torch.Tensor:
    """Return uint8 images `[N, H, W, C]` of many histograms."""
    rng, size = np.random.default_rng(height * width), (height, width, channels)
    ramp = np.arange(height * width * channels).reshape(size)
    rare = np.zeros(size)
    rare.flat[:: max(1, rare.size // 7)] = np.arange(rare.flat[:: max(1, rare.size // 7)].size) * 30
    made = [
        rng.integers(0, 256, size), rng.integers(100, 120, size), rng.integers(0, 2, size) * 255,
        np.full(size, 77), np.full(size, 0), np.full(size, 255), ramp % 256, ramp % 7, rare,
        np.minimum(rng.exponential(20, size), 255), 255 - rng.integers(0, 3, size) ** 4,
    ]  # fmt: skip
    return torch.from_numpy(np.stack([np.clip(each, 0, 255) for each in made]).astype(np.uint8))


def equalized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image `[H, W, C]` as Pillow equalizes it."""
    gray = image.shape[2] == 1
    made = ImageOps.equalize(Image.fromarray(image[:, :, 0] if gray else image))
    return np.asarray(made).reshape(image.shape)


def convolved(image: torch.Tensor, sigma: float, sides: tuple[int, int]) -> torch.Tensor:
    """Return `[H, W, C]` blurred in float64, as torchvision does it: one convolution."""
    weights = []
    for taps in sides:
        lim = (taps - 1) / (2.0 * 2.0**0.5)
        x = torch.linspace(-lim, lim, taps, dtype=torch.float64)
        weights.append(torch.softmax(-((x / sigma) ** 2), dim=0))
    kernel = weights[0][:, None] * weights[1][None, :]
    planes = image.permute(2, 0, 1)[:, None].double()
    pad = [sides[1] // 2, sides[1] // 2, sides[0] // 2, sides[0] // 2]
    wide = torch.nn.functional.pad(planes, pad, mode="reflect")
    return torch.nn.functional.conv2d(wide, kernel[None, None])[:, 0].permute(1, 2, 0)


# Equalize


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (15, 17), (16, 16), (31, 29), (40, 48)])
def test_equalize_is_pillows_to_the_bit(engine: str, size: tuple[int, int], channels: int) -> None:
    images = kinds(*size, channels)
    plan = plan_of(Policy([Equalize(1.0)]), Shape(channels, *size, len(images)))
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1)
    for image, found in zip(images, made, strict=True):
        assert np.array_equal(found.numpy(), equalized(image.numpy()))


def test_equalize_is_torchvisions_to_the_bit(engine: str) -> None:
    """Its tensor formula, which differs from Pillow's in words only."""
    images = kinds(37, 29, 3)
    plan = plan_of(Policy([Equalize(1.0)]), Shape(3, 37, 29, len(images)))
    flat = images.permute(0, 3, 1, 2).flatten(2).long()
    histogram = torch.zeros((*flat.shape[:2], 256), dtype=torch.long)
    histogram.scatter_add_(2, flat, torch.ones_like(flat))
    total = histogram.cumsum(2)
    last = histogram.gather(2, total.argmax(2, keepdim=True))
    step = (37 * 29 - last) // 255
    table = ((total + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.cat([torch.zeros_like(table[..., :1]), table[..., :-1]], dim=2)
    wanted = torch.where(step > 0, table.gather(2, flat), flat)
    made = run(engine, plan, images, output=BYTES)
    assert torch.equal(made.flatten(2).long(), wanted)


def test_equalized_floats_are_their_nearest_levels_equalized(engine: str) -> None:
    images = kinds(24, 20, 3)
    plan = plan_of(Policy([Equalize(1.0)]), Shape(3, 24, 20, len(images)))
    floats = (images.float() + 0.3) / 255  # none lies between two levels
    floats[images == 255] = 1.0
    made = run(engine, plan, floats)
    for image, given, found in zip(images.numpy(), floats, made, strict=True):
        for c in range(3):
            wanted = equalized(image)[..., c].copy()
            kept = np.array_equal(wanted, image[..., c])
            there = given[..., c] if kept else torch.from_numpy(wanted).float() / 255
            assert (found[c] - there).abs().max() < 1e-6


def test_equalized_floats_beyond_0_and_1_and_not_numbers_are_black_or_white(engine: str) -> None:
    images = torch.rand((2, 24, 20, 1), generator=torch.Generator().manual_seed(0))
    plan = plan_of(Policy([Equalize(1.0)]), Shape(1, 24, 20, 2))
    images[0, 0, :3] = torch.tensor([-1e30, -torch.inf, torch.nan])[:, None]
    images[0, 1, :2] = torch.tensor([1e30, torch.inf])[:, None]
    made = run(engine, plan, images)
    assert (made[0, 0, 0, :3] == 0).all() and (made[0, 0, 1, :2] == 1).all()
    assert ((made >= 0) & (made <= 1)).all()


# Blur


BLURS = {str(kernel): GaussianBlur(kernel, sigma) for kernel, sigma in (
    (3, (0.1, 2.0)), ((9, 5), (0.5, 3.0)), (1, 1.0), ((1, 7), 2.0), (31, (0.2, 0.9)), (39, 100.0),
)}  # fmt: skip


def tried_blur(engine: str, kernel: str, channels: int) -> bool:
    """Every kernel, and either number of channels by turns."""
    return engine not in INTERPRETED or channels == (3, 1)[[*BLURS].index(kernel) % 2]


@sampled(tried_blur, {"engine": ENGINES, "kernel": BLURS, "channels": [1, 3]})
def test_blur_is_torchvisions(engine: str, kernel: str, channels: int) -> None:
    blur, shape = BLURS[kernel], fitted(Shape(channels, 21, 26, 4), engine)
    plan, images = plan_of(Policy([blur]), shape), make_images(shape)
    drawn = plan.decisions["gaussian_blur"]["sigma"]
    wanted = torch.stack([convolved(image, float(s), blur.sides)
                          for image, s in zip(images, drawn, strict=True)])  # fmt: skip
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1).double()
    gap = (made - wanted).abs()
    assert gap.max() <= 0.5 + 1e-4  # rounded to the nearest level, whichever it is near the middle
    floats = run(engine, plan, images.float() / 255).permute(0, 2, 3, 1).double()
    assert (floats - wanted / 255).abs().max() < 1e-6


def test_blur_is_kornias(engine: str) -> None:
    kornia = pytest.importorskip("kornia")
    shape = Shape(3, 20, 24, 4)
    plan, images = plan_of(Policy([GaussianBlur((7, 5))]), shape), make_images(shape).float() / 255
    sigma = torch.from_numpy(plan.frames.numbers[:, 0, 0])[:, None].expand(-1, 2)
    wanted = kornia.filters.gaussian_blur2d(images.permute(0, 3, 1, 2), (5, 7), sigma, "reflect")
    assert (run(engine, plan, images) - wanted).abs().max() < 1e-6


def test_halves_are_rounded_to_even(engine: str) -> None:
    """As torch's round does, which torchvision calls."""
    images = torch.tensor([0, 1, 0, 3, 2, 3, 2, 1]).to(torch.uint8).repeat(6).view(1, 1, 48, 1)
    sigma = float(np.sqrt(1 / (2 * np.log(2))))  # weights of 1/4, 1/2 and 1/4
    plan = plan_of(Policy([GaussianBlur((3, 1), sigma)]), Shape(1, 1, 48, 1))
    made = run(engine, plan, images, output=BYTES)
    assert made[0, 0, 0, 1:9].tolist() == [0, 1, 2, 2, 2, 2, 1, 0]


@pytest.mark.parametrize("kernel, size", [(7, (3, 9)), (7, (9, 3)), ((3, 7), (3, 9)), (3, (1, 9))])
def test_a_kernel_that_reflects_more_than_the_image_is_refused(
    kernel: Any, size: tuple[int, int]
) -> None:
    with pytest.raises(
        InputError, match=rf"kernel_size=.* does not fit into images of {size[0]} x"
    ):
        draw_plan(Policy([GaussianBlur(kernel)]), BatchRows.of([0]), seed=0, epoch=0, size=size)


def test_the_largest_kernel_that_fits_is_not_refused(engine: str) -> None:
    shape = Shape(3, 4, 6, 2)
    blur = GaussianBlur((11, 7), 5.0)
    plan, images = plan_of(Policy([blur]), shape), make_images(shape)
    assert plan.policy.find(GaussianBlur) == blur
    made = run(engine, plan, images.float() / 255).permute(0, 2, 3, 1).double()
    wanted = torch.stack([convolved(image, 5.0, blur.sides) for image in images]) / 255
    assert (made - wanted).abs().max() < 1e-6


def test_the_smallest_sigma_leaves_an_image_as_it_is(engine: str) -> None:
    shape = Shape(3, 8, 8, 2)
    plan, images = plan_of(Policy([GaussianBlur(5, 1e-300)]), shape), make_images(shape)
    made = run(engine, plan, images, output=BYTES)
    assert torch.equal(made, images.permute(0, 3, 1, 2))


# Whose frame is made, and of what


def framed(plan: Plan, images: torch.Tensor, window: Any = None) -> torch.Tensor:
    """Return the frames of all rows of a plan, uint8 `[M, H, W, C]`, by Pillow and torch."""
    if window is not None:
        shape = Shape(images.shape[3], *plan.size, len(plan.ids))
        cut = plan_of(Policy([window]), shape)
        plain = run("cpu", cut, images, offsets=offsets_of(plan, images), output=BYTES)
        images = plain.permute(0, 2, 3, 1).contiguous()
    frames = images.clone()
    blur = plan.policy.find(GaussianBlur)
    for row, codes in enumerate(plan.frames.codes):
        for code, numbers in zip(codes, plan.frames.numbers[row], strict=True):
            if code == CODES[Equalize]:
                frames[row] = torch.from_numpy(equalized(frames[row].numpy()).copy())
            elif code == CODES[GaussianBlur] and blur:
                made = convolved(frames[row], float(numbers[0]), blur.sides)
                frames[row] = made.round().to(torch.uint8)
    return frames


def nothing(count: int) -> FrameSteps:
    return FrameSteps(np.zeros((count, 0), np.uint8), np.zeros((count, 0, 3), np.float32))


AFTER = {
    "nothing": (),
    "contrast about the mean": (ColorJitter(contrast=(0.3, 0.6)),),
    "geometry": (HorizontalFlip(), Rotate(25), Border("reflect")),
    "mixup": (Mixup(1.0),),
    "all": CASES["mixed after all else"],
}


@pytest.mark.parametrize("after", AFTER)
def test_the_pass_reads_the_frames_that_were_made(engine: str, after: str) -> None:
    """Partners too, each by their own decision; and means are those of the frames."""
    shape = Shape(3, 24, 20, 8)
    plan, images = plan_of(policy_of((*FRAMES, *AFTER[after]), 3), shape), make_images(shape)
    assert {*plan.frames.made} == {True, False}
    kept = [
        item for item in plan.policy.operations if not isinstance(item, Equalize | GaussianBlur)
    ]
    without = replace(plan, policy=Policy(kept), frames=nothing(shape.batch))
    assert_agree(run(engine, plan, images), run(engine, without, framed(plan, images)), plan)


@pytest.mark.parametrize("window", WINDOWS)
def test_frames_are_made_of_what_a_window_shows(engine: str, window: str) -> None:
    shape = Shape(3, 20, 24, 4)
    crop, images = window_of(window, shape)
    fills = crop.fill if isinstance(crop.fill, tuple) else (float(crop.fill),)
    # Levels, which are not rounded twice.
    crop = replace(crop, fill=tuple(round(255 * fill) / 255 for fill in fills))
    plan = plan_of(policy_of((*FRAMES, ColorJitter(contrast=(0.3, 0.6))), 3, crop), shape)
    offsets = offsets_of(plan, images)
    made = run(engine, plan, images, offsets=offsets)
    kept = Policy([ColorJitter(contrast=(0.3, 0.6))])
    without = replace(plan, policy=kept, frames=nothing(shape.batch))
    wanted = run(engine, without, framed(plan, images, crop))
    for row in np.flatnonzero(plan.frames.made):  # the others' padding is not a whole level
        assert_agree(made[row : row + 1], wanted[row : row + 1], plan)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("other", ENGINES[1:])
def test_engines_agree_on_frames_of_windows(window: str, other: str) -> None:
    shape = fitted(Shape(3, 20, 24, 4), other)
    crop, images = window_of(window, shape)
    for given in (images, images.float() / 255):
        plan = plan_of(policy_of(CASES["frames, recoloured"], 3, crop), shape)
        offsets = offsets_of(plan, given)
        assert_agree(run("cpu", plan, given, offsets=offsets),
                     run(other, plan, given, offsets=offsets), plan)  # fmt: skip


STEPS = {item.op: item for item in EVERY}
STEP_WINDOWS = ("cut from a larger image", "constant padding", "edge padding")


def tried_step(step: str, window: str, other: str) -> bool:
    """Every step, in one of the windows."""
    return other not in INTERPRETED or window == chosen(step, STEP_WINDOWS)


@sampled(tried_step, {"step": STEPS, "window": STEP_WINDOWS, "other": ENGINES[1:]})
def test_engines_agree_on_every_step_on_frames_of_windows(
    step: str, window: str, other: str
) -> None:
    item, shape = STEPS[step], Shape(3, 12, 14, 3)
    crop, images = window_of(window, shape)
    for given in (images, images.float() / 255):
        plan = plan_of(policy_of((replace(item, p=0.7),), 3, crop), shape)
        offsets = offsets_of(plan, given)
        assert_agree(run("cpu", plan, given, offsets=offsets),
                     run(other, plan, given, offsets=offsets), plan)  # fmt: skip


@pytest.mark.parametrize("other", ENGINES[1:])
def test_engines_agree_on_all_steps_on_frames_one_after_another(other: str) -> None:
    shape = Shape(3, 14, 12, 4)
    plan, images = plan_of(Policy(EVERY), shape), make_images(shape)
    gap = (run("cpu", plan, images) - run(other, plan, images)).abs()
    assert (gap > 1.5 / 255).float().mean() < 0.02  # a level that is rounded otherwise goes on


def test_only_rows_with_steps_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[NDArray[np.int64]] = []
    compiled = materialise

    def spy(images: Any, rows: Any, which: Any, *rest: Any) -> None:
        made.append(which)
        compiled(images, rows, which, *rest)

    monkeypatch.setattr(cpu_engine, "materialise", spy)
    shape = Shape(3, 20, 24, 12)
    plan = plan_of(Policy([Equalize(0.3), GaussianBlur(3, p=0.2)]), shape)
    run("cpu", plan, make_images(shape))
    assert np.concatenate(made).tolist() == np.flatnonzero(plan.frames.made).tolist()
    made.clear()
    run("cpu", plan_of(Policy([Equalize(0.0)]), shape), make_images(shape))
    assert not made


@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_steps_are_carried_out_one_after_another_in_any_order(engine: str) -> None:
    """A program of a row may have any of them, more than once, with gaps."""
    shape = Shape(3, 24, 20, 4)
    plan, images = plan_of(Policy([GaussianBlur(5)]), shape), make_images(shape)
    codes = np.array([[1, 2, 1, 0], [0, 2, 2, 1], [0, 0, 0, 0], [2, 0, 1, 2]], np.uint8)
    numbers = np.zeros((4, 4, 3), np.float32)
    numbers[codes == CODES[GaussianBlur]] = (0.8, 5, 5)
    plan = replace(plan, frames=FrameSteps(codes, numbers))
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1)
    # A level that a blur rounds otherwise is equalized to the next one that there is.
    assert (made != framed(plan, images)).float().mean() < 2e-3
    assert torch.equal(made[2], images[2])


def test_frames_are_made_in_parts_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape(3, 20, 24, 11)
    plan, images = plan_of(policy_of(CASES["frames, recoloured"], 3), shape), make_images(shape)
    wanted = run("cpu", plan, images)
    for size in (1, 3 * 20 * 24 * 3):
        monkeypatch.setattr(cpu_engine, "FRAME_BYTES", size)
        assert torch.equal(run("cpu", plan, images), wanted)
    monkeypatch.setattr(cpu_engine, "FRAME_BYTES", 1)
    halves = Output(torch.float16, channels_last=True)
    assert torch.equal(run("cpu", plan, images, output=halves), wanted.half())


def test_blurs_of_many_rows_are_launched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    if "cuda" not in ENGINES:
        pytest.skip("needs Triton")
    from augfeed.engines.cuda import scratch

    shape = Shape(3, 12, 16, 5)
    plan, images = plan_of(policy_of(CASES["equalize and blur"], 3), shape), make_images(shape)
    wanted = run("cuda", plan, images)
    monkeypatch.setattr(scratch, "KERNEL_BYTES", 2 * 4 * 3 * 12 * 16)
    assert torch.equal(run("cuda", plan, images), wanted)


def test_a_padded_crop_equalizes_its_padding_too(engine: str) -> None:
    """As torchvision does: the crop comes first."""
    shape = Shape(1, 20, 20, 3)
    crop = RandomCrop(20, padding=9, fill=1.0)
    plan, images = plan_of(Policy([crop, Equalize(1.0)]), shape), make_images(shape)
    offsets = np.full((3, 2), -9, np.int32)
    made = run(engine, plan, images, offsets=offsets, output=BYTES)
    for image, found in zip(images.numpy(), made, strict=True):
        padded = np.full((20, 20, 1), 255, np.uint8)
        padded[9:, 9:] = image[:11, :11]
        assert np.array_equal(found[0].numpy(), equalized(padded)[..., 0])
