"""Images of any number of channels: each is a gray image under one plan, with noise of its own."""

from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import Policy, parse_policy
from augfeed.engines import Output
from augfeed.engines.cpu import CpuEngine
from augfeed.errors import InputError
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Border, ColorJitter, GaussianNoise, Normalize, RandomErasing
from augfeed.policy.images import check_rgb
from tests.cases import (
    CASES,
    ENGINES,
    OPERATIONS,
    OUTPUTS,
    WINDOWS,
    Shape,
    assert_agree,
    make_images,
    offsets_of,
    plan_of,
    run,
    window_of,
)
from tests.sampling import each

MANY = Shape(5, 13, 19, 4)
RGB = ("gray(0.3)", "channel_shuffle(p=0.5)", "channel_drop(p=1.0)", "jitter(saturation=0.2)",
       "jitter(hue=0.1)", 'jitter(saturation=0.2, clamp="each")', "rand_augment", "auto_augment",
       "trivial_augment_wide", "three_augment", "one_of([hflip, gray(1.0)])",
       "kornia('RandomGrayscale', p=1.0)")  # fmt: skip

EACH_ALONE = ("gray(0.0)", "jitter(0.4, 0.4)", "jitter(0.4, 0.4, 0.4, p=0)", "posterize(4)",
              'trivial_augment_wide(without=["color"])', 'aug_mix(without=["color"])',
              "random_order([equalize, jpeg(50)])")  # fmt: skip


def for_channels(operations: Any, channels: int) -> Policy | None:
    """Return a policy without saturation and hue, and with a number for every channel; None where
    it is for RGB all the same."""
    made = []
    for item in operations:
        if isinstance(item, ColorJitter) and item.clamp == "end":
            item = replace(item, saturation=0.0, hue=0.0)
        if isinstance(item, Normalize) and isinstance(item.mean, tuple):
            item = replace(item, mean=cycled(item.mean, channels), std=cycled(item.std, channels))
        if isinstance(item, Border) and isinstance(item.fill, tuple):
            item = replace(item, fill=cycled(item.fill, channels))
        made.append(item)
    policy = Policy(made)
    try:
        check_rgb(policy, channels)
    except InputError:
        return None
    return policy


def cycled(numbers: Any, channels: int) -> tuple[float, ...]:
    """Return numbers again and again, one for each channel."""
    return tuple(islice(cycle(numbers), channels))


FITTING = {
    name: policy
    for name, operations in CASES.items()
    if (policy := for_channels(operations, MANY.channels)) and name != "three augment"
}


def of_channel(policy: Policy, c: int) -> Policy:
    """Return what a policy with a number for each channel does to one of them."""

    def one(value: Any) -> Any:
        return value[c] if isinstance(value, tuple) else value

    made: list[Any] = []
    for item in policy.operations:
        if isinstance(item, Normalize):
            item = replace(item, mean=one(item.mean), std=one(item.std))
        if isinstance(item, Border):
            item = replace(item, fill=one(item.fill))
        made.append(item)
    return Policy(made)


def draws_for_values(policy: Policy) -> bool:
    return any(isinstance(item, GaussianNoise) or (isinstance(item, RandomErasing)
               and item.fill == "noise") for item in policy.operations)  # fmt: skip


def images_for(plan: Plan, shape: Shape, *, floats: bool = False) -> torch.Tensor:
    images = make_images(shape)
    return images / 255 if floats else images


def test_most_cases_of_the_table_fit_images_of_five_channels() -> None:
    assert len(FITTING) > 0.6 * len(CASES)


@pytest.mark.parametrize("case", FITTING)
def test_engines_agree_on_images_of_five_channels(case: str) -> None:
    plan = plan_of(FITTING[case], MANY)

    def check(floats: bool) -> None:
        images = images_for(plan, MANY, floats=floats)
        first = run("cpu", plan, images)
        assert first.shape == (MANY.batch, *MANY[:3])
        assert_agree(first, run("portable", plan, images), plan)

    each([False, True], check)


@pytest.mark.parametrize(
    "case", [name for name, one in FITTING.items() if not draws_for_values(one)]
)
def test_a_channel_of_many_is_made_as_a_gray_image_is(case: str) -> None:
    policy = FITTING[case]
    images = make_images(MANY)
    made = run("cpu", plan_of(policy, MANY), images)
    for c in range(MANY.channels):
        plan = plan_of(of_channel(policy, c), MANY._replace(channels=1))
        assert torch.equal(made[:, c : c + 1], run("cpu", plan, images[..., c : c + 1])), c


COLORLESS = [
    "hflip | rotate(20) | mixup(0.4)", "cutmix(1.0) | cutout(6)",
    'random_erasing(1.0, fill="noise") | normalize(0.5, 0.25)', 'random_erasing(1.0, fill="noise")',
    "gaussian_noise(0.2) | normalize(0.5, 0.25)", "salt_and_pepper(0.2) | gaussian_noise(0.1)",
    "equalize | gaussian_blur(3) | hflip", "invert(0.5) | gamma(0.4)",
]  # fmt: skip


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("text", COLORLESS)
@pytest.mark.parametrize("channels", [2, 4])
def test_the_first_channels_of_many_are_those_of_rgb(text: str, channels: int, name: str) -> None:
    # Numbers for values, too: those of a plane are its own, and the same in an image of fewer.
    shape, fewer = MANY._replace(channels=channels, batch=2), min(channels, 3)
    plan, images = plan_of(parse_policy(text), shape), make_images(shape)
    rgb = torch.cat([images, images], dim=3)[..., :3].contiguous()
    made, known = run(name, plan, images), run("cpu", plan, rgb)
    assert_agree(made[:, :fewer], known[:, :fewer], plan)
    if name == "cpu":
        assert torch.equal(made[:, :fewer], known[:, :fewer])


@pytest.mark.skipif("cuda" not in ENGINES, reason="Triton is not installed")
@pytest.mark.parametrize(
    "case",
    ["normalize", "geometry, fill", "cutmix", "equalize and blur", "jitter of turned images"],
)
def test_the_kernel_makes_a_few_channels_at_a_time(case: str) -> None:
    shape = MANY._replace(channels=4, batch=2)
    policy = for_channels(CASES[case], 4)
    assert policy is not None
    plan, images = plan_of(policy, shape), make_images(shape)
    output, places = Output(channels_last=True), np.array([1, 0])
    first, second = (run(name, plan, images, places=places, output=output)
                     for name in ("cpu", "cuda"))  # fmt: skip
    assert_agree(first, second, plan)
    assert second.is_contiguous(memory_format=torch.channels_last)


def test_noise_differs_between_all_channels() -> None:
    plan = plan_of(parse_policy("gaussian_noise(0.2)"), MANY)
    made = run("cpu", plan, torch.zeros((MANY.batch, 13, 19, 5)))
    noise = {made[0, c].numpy().tobytes() for c in range(5)}
    assert len(noise) == 5


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("operations", OPERATIONS)
def test_engines_agree_on_windows_of_many_channels(window: str, operations: str) -> None:
    crop, images = window_of(window, MANY)
    crop = replace(crop, fill=cycled(crop.fill, 5)) if isinstance(crop.fill, tuple) else crop
    policy = for_channels((crop, *OPERATIONS[operations]), 5)
    assert policy is not None
    plan = plan_of(policy, MANY)
    offsets = offsets_of(plan, images)
    first, second = (run(name, plan, images, offsets=offsets) for name in ("cpu", "portable"))
    assert_agree(first, second, plan)


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
def test_outputs_of_many_channels_hold_what_float32_holds(output: Output) -> None:
    plan = plan_of(parse_policy("hflip | rotate(30) | mixup(0.4)"), MANY)
    images = make_images(MANY)
    whole, made = run("cpu", plan, images), run("cpu", plan, images, output=output)
    assert made.dtype == output.dtype
    layout = torch.channels_last if output.channels_last else torch.contiguous_format
    assert made.is_contiguous(memory_format=layout)
    if output.dtype == torch.uint8:
        whole = (whole * 255 + 0.5).floor()
    assert torch.equal(made, whole.to(output.dtype))


def test_places_say_which_image_a_row_of_many_channels_is_made_of() -> None:
    policy = parse_policy("random_order([equalize, rotate(20)]) | mixup(0.4) | gaussian_noise(0.1)")
    plan, images = plan_of(policy, MANY._replace(batch=8)), make_images(MANY._replace(batch=8))
    places = np.arange(8)[::-1].copy()
    whole = CpuEngine().apply(plan, images, places=places)
    again = CpuEngine().apply(plan, torch.flip(images, (0,)).contiguous())
    assert torch.equal(whole, again)


@pytest.mark.parametrize("text", RGB)
@pytest.mark.parametrize("channels", [2, 4, 12])
def test_what_needs_rgb_is_refused_for_other_channels_with_value_and_cure(
    text: str, channels: int
) -> None:
    policy = parse_policy(text)
    with pytest.raises(InputError, match=rf"needs red, green and blue.*{channels} channels: ") as e:
        PolicyConstants.of(policy, channels)
    assert repr(policy.operations[0]) in str(e.value)
    for fine in (1, 3):
        PolicyConstants.of(policy, fine)


@pytest.mark.parametrize("text", EACH_ALONE)
def test_what_is_for_each_channel_alone_is_taken(text: str) -> None:
    PolicyConstants.of(parse_policy(text), 4)
