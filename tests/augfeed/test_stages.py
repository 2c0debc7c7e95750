"""Stages of Kornia: keyed for every sample, refused where they would make labels wrong."""

import pickle
import random
import threading
from typing import Any

import kornia.augmentation as K
import numpy as np
import pytest
import torch

import augfeed
from augfeed import Kornia, Policy, format_policy, parse_policy
from augfeed.errors import InputError, InvarianceError, PolicyError
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import HorizontalFlip
from augfeed.show.explain import explain_sample
from augfeed.stages import TOGETHER, apply_together, drawn_by_stages, run_stages
from augfeed.stages import _draw as draw_parameters
from augfeed.stages import _module as module_of

SIZE = (16, 18)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3), np.uint8)
# Classes and what they need; sizes, ranges and mixing are augfeed's own.
STAGES: dict[str, dict[str, Any]] = {
    "ColorJiggle": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "ColorJitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    "RandomAffine": {"degrees": 20.0, "translate": [0.1, 0.1]},
    "RandomAutoContrast": {},
    "RandomBoxBlur": {"kernel_size": [3, 3]},
    "RandomBrightness": {"brightness": [0.7, 1.3]},
    "RandomChannelDropout": {},
    "RandomChannelShuffle": {},
    "RandomClahe": {"grid_size": [2, 2]},
    "RandomContrast": {"contrast": [0.7, 1.3]},
    "RandomElasticTransform": {"kernel_size": [5, 5], "sigma": [2.0, 2.0]},
    "RandomEqualize": {},
    "RandomErasing": {"scale": [0.1, 0.3]},
    "RandomFisheye": {"center_x": [-0.3, 0.3], "center_y": [-0.3, 0.3], "gamma": [0.9, 1.0]},
    "RandomGamma": {"gamma": [0.7, 1.3]},
    "RandomGaussianBlur": {"kernel_size": [3, 3], "sigma": [0.1, 2.0]},
    "RandomGaussianNoise": {"std": 0.1},
    "RandomGrayscale": {},
    "RandomHorizontalFlip": {},
    "RandomHue": {"hue": [-0.2, 0.2]},
    "RandomInvert": {},
    "RandomMedianBlur": {"kernel_size": [3, 3]},
    "RandomMotionBlur": {"kernel_size": 3, "angle": 35.0, "direction": 0.5},
    "RandomPerspective": {"distortion_scale": 0.3},
    "RandomPlanckianJitter": {},
    "RandomPlasmaBrightness": {},
    "RandomPosterize": {"bits": [3, 8]},
    "RandomRGBShift": {},
    "RandomRotation": {"degrees": 30.0},
    "RandomSaltAndPepperNoise": {},
    "RandomSaturation": {"saturation": [0.5, 1.5]},
    "RandomSharpness": {"sharpness": 0.5},
    "RandomShear": {"shear": 10.0},
    "RandomSolarize": {},
    "RandomThinPlateSpline": {},
    "RandomTranslate": {"translate_x": [-0.2, 0.2]},
    "RandomVerticalFlip": {},
}


def planned(policy: Policy, ids: Any, epoch: int = 0, seed: int = 0) -> Plan:
    rows = BatchRows.of(np.asarray(ids, np.int64))
    return draw_plan(policy, rows, seed=seed, epoch=epoch, size=SIZE)


def run(policy: Policy, ids: Any, **options: Any) -> torch.Tensor:
    frames = torch.from_numpy(IMAGES[np.asarray(ids)])
    return run_stages(planned(policy, ids, **options), frames)


@pytest.mark.parametrize("name", STAGES)
def test_a_sample_gets_the_same_pixels_in_any_batch(name: str) -> None:
    policy = Policy([Kornia(name, p=0.9, **STAGES[name])])
    whole = run(policy, range(8))
    assert whole.shape == (8, *SIZE, 3) and whole.dtype == torch.float32
    assert whole.min() >= 0 and whole.max() <= 1
    parts = torch.cat([run(policy, range(4)), run(policy, range(4, 8))])
    backwards = run(policy, range(7, -1, -1)).flip(0)
    assert torch.equal(whole, parts) and torch.equal(whole, backwards)
    assert not torch.equal(whole, torch.from_numpy(IMAGES) / 255)


@pytest.mark.parametrize("name", ["RandomGaussianBlur", "RandomAffine", "ColorJitter"])
def test_pixels_are_those_of_kornia_with_the_same_parameters(name: str) -> None:
    stage = Kornia(name, p=1.0, **STAGES[name])
    plan = planned(Policy([stage]), [5])
    ours = run_stages(plan, torch.from_numpy(IMAGES[5:6]))
    from augfeed.stages import _seeds

    ((seed,),) = _seeds(plan, None, 1)
    params, _ = draw_parameters(stage, module_of(stage), torch.Size((1, 3, *SIZE)), seed)
    module = getattr(K, name)(**{key: tuple(value) if isinstance(value, list) else value
                                 for key, value in STAGES[name].items()}, p=1.0)  # fmt: skip
    planes = torch.from_numpy(IMAGES[5:6]).permute(0, 3, 1, 2) / 255
    expected = module(planes, params=params).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", sorted(TOGETHER & STAGES.keys()))
def test_many_rows_at_once_are_the_rows_one_by_one(name: str) -> None:
    stage = Kornia(name, p=1.0, **STAGES[name])
    policy = Policy([stage])
    if name in ("RandomGaussianNoise", "RandomSaltAndPepperNoise") or "Plasma" in name:
        pytest.skip("draws its numbers while it is applied, so it goes row by row")
    from augfeed.stages import _seeds

    seeds = _seeds(planned(policy, range(8)), None, 1)[0]
    shape = torch.Size((1, 3, *SIZE))
    drawn = [draw_parameters(stage, module_of(stage), shape, seed)[0] for seed in seeds]
    planes = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous() / 255
    apply_together(stage, planes, range(8), drawn)
    expected = run(policy, range(8))
    torch.testing.assert_close(planes.permute(0, 2, 3, 1), expected, atol=1e-5, rtol=0)


ROUNDING = {"RandomClahe", "RandomEqualize"}  # RandomPosterize is asked to


@pytest.mark.parametrize("name", sorted({*STAGES} - {"RandomPosterize"}))
def test_classes_that_know_256_levels_refuse_uint16_and_no_others_do(name: str) -> None:
    stage = Kornia(name, **{**STAGES[name], "p": 1.0})
    rng, augment = np.random.default_rng(2), augfeed.Augment(Policy([stage]))
    upper = rng.integers(0, 255, (2, 3, 24, 24))
    # Two images that differ within the levels alone, and what the class makes of them.
    made = [
        augment(
            torch.from_numpy((upper + rng.random(upper.shape) * 0.99) / 255).float(), ids=[0, 1]
        )
        for _ in range(2)
    ]
    assert torch.equal(*made) == (name in ROUNDING)
    wide = torch.from_numpy((upper * 257).astype(np.uint16))
    if name not in ROUNDING:
        assert augment(wide).shape == upper.shape
        return
    with pytest.raises(InputError, match=f"{name}.* rounds images to 256 levels, and these are "
                       f"uint16: leave {name} out, or, if 256 levels"):  # fmt: skip
        augment(wide)
    views = augfeed.Views({"a": Policy([stage]), "b": "hflip"})
    for data in ((wide.numpy(), [0, 1]), [(image, 0) for image in wide]):
        with pytest.raises(InputError, match=f"leave {name} out"):
            list(augfeed.DataLoader(data, 2, policy=Policy([stage])))
        with pytest.raises(InputError, match=f"leave {name} out"):
            list(augfeed.DataLoader(data, 2, views=views))
    never = Policy([Kornia(name, **{**STAGES[name], "p": 0.0})])
    assert augfeed.Augment(never)(wide).shape == upper.shape


def test_draws_depend_on_seed_epoch_sample_and_stage() -> None:
    blur = Kornia("RandomGamma", gamma=[0.5, 2.0], p=1.0)
    policy = Policy([blur, blur])

    def gammas(**options: Any) -> list[float]:
        plan = planned(policy, range(4), **options)
        return [item.values["gamma_factor"] for row in range(4)
                for item in drawn_by_stages(plan, row, 3)]  # fmt: skip

    first = gammas()
    assert gammas() == first and len(set(first)) == 8
    assert not set(first) & {*gammas(epoch=1), *gammas(seed=1)}
    assert all(0.5 <= value <= 2.0 for value in first)


def test_a_stage_is_applied_as_often_as_p_says() -> None:
    policy = Policy([Kornia("RandomInvert", p=0.5)])
    plan = planned(policy, range(400))
    applied = np.mean([drawn_by_stages(plan, row, 3)[0].applied for row in range(400)])
    assert abs(applied - 0.5) < 0.1


def test_no_global_generator_is_read_or_written() -> None:
    policy = Policy([Kornia(name, **STAGES[name]) for name in STAGES])
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    first = run(policy, range(2))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    torch.manual_seed(99)
    assert torch.equal(run(policy, range(2)), first)


def test_threads_do_not_disturb_each_other() -> None:
    names = ("RandomGaussianBlur", "RandomGaussianNoise")
    policy = Policy([Kornia(name, p=0.7, **STAGES[name]) for name in names])
    expected = run(policy, range(8))
    same: list[bool] = []

    def work() -> None:
        for _ in range(5):
            same.append(torch.equal(run(policy, range(8)), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 20


LINE = (
    'random_crop(12) | kornia("RandomJPEG", jpeg_quality=[30, 90], p=0.5) | '
    'kornia("RandomGaussianBlur", kernel_size=[3, 3], sigma=[0.1, 2.0]) | horizontal_flip'
)


def test_a_stage_goes_to_text_and_json_and_back() -> None:
    policy = parse_policy(LINE)
    assert format_policy(policy) == LINE
    assert Policy.from_json(policy.to_json()) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    first, second = policy.stages
    assert (first.name, second.arguments["sigma"]) == ("RandomJPEG", (0.1, 2.0))
    other = parse_policy(LINE.replace("2.0", "2.5"))
    assert other.digest != policy.digest


def test_a_module_is_taken_for_its_name_and_arguments() -> None:
    module = K.RandomGaussianBlur((3, 5), (0.1, 1.5), p=0.25)
    policy = Policy([HorizontalFlip(), module])
    (stage,) = policy.stages
    assert stage.name == "RandomGaussianBlur" and stage.arguments["p"] == 0.25
    assert stage.arguments["kernel_size"] == (3, 5)
    assert stage.arguments["sigma"] == pytest.approx((0.1, 1.5))
    assert parse_policy(format_policy(policy)) == policy


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Kornia("RandomGausianBlur"), "RandomGaussianBlur"),
        (lambda: Kornia("os.system"), "not a class of kornia.augmentation"),
        (lambda: Kornia("RandomCrop", size=[8, 8]), "use random_crop"),
        (lambda: Kornia("Normalize", mean=0.5, std=0.5), "use normalize"),
        (lambda: Kornia("RandomMixUpV2"), "use mixup or cutmix"),
        (lambda: Kornia("RandomGamma", gama=[1, 2]), "no parameter 'gama'"),
        (lambda: Kornia("RandomGamma", p=1.5), "not a probability"),
        (lambda: Kornia("RandomGamma", same_on_batch=True), "depend on its batch"),
        (lambda: Kornia("RandomGamma", gamma=[1, float("nan")]), "finite number"),
        (lambda: Kornia("RandomGaussianBlur"), "cannot build RandomGaussianBlur"),
        (lambda: Kornia(K.RandomGamma(same_on_batch=True)), "depend on its batch"),
        (lambda: parse_policy("kornia(RandomGamma)"), "this is not a value"),
    ],
)
def test_what_cannot_be_a_stage_says_why(make: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make()


@pytest.mark.parametrize(
    ("stage", "refused"),
    [
        (Kornia("RandomGaussianBlur", kernel_size=[3, 3], sigma=[0.1, 2.0]), False),
        (Kornia("RandomHorizontalFlip"), True),
        (Kornia("RandomVerticalFlip"), True),
        (Kornia("RandomRotation", degrees=180.0), True),
        (Kornia("RandomRotation", degrees=5.0), False),
        (Kornia("RandomThinPlateSpline"), True),
        (Kornia("RandomHorizontalFlip", p=0.0), False),
    ],
)
def test_a_stage_that_makes_labels_wrong_is_refused(stage: Kornia, refused: bool) -> None:
    images = np.zeros((4, 28, 28, 1), np.uint8)
    options: dict[str, Any] = {"policy": Policy([stage]), "invariances": "digits"}
    if refused:
        with pytest.raises(InvarianceError, match=stage.name):
            augfeed.DataLoader((images, [0, 1, 2, 3]), 2, **options)
    else:
        augfeed.DataLoader((images, [0, 1, 2, 3]), 2, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_both_lanes_give_the_same_batches(workers: int) -> None:
    policy = f"{LINE} | mixup(1.0) | normalize(0.5, 0.5)"
    labels = [k % 3 for k in range(8)]
    options: dict[str, Any] = {"policy": policy, "seed": 4, "num_classes": 3}
    native = augfeed.DataLoader((IMAGES, labels), 8, num_workers=workers, **options)
    data = [(image, label) for image, label in zip(IMAGES, labels, strict=True)]
    general = augfeed.DataLoader(data, 8, **options)
    assert (native.lane, general.lane) == ("native", "general")
    (ours,), (theirs,) = list(native), list(general)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    small = augfeed.DataLoader((IMAGES, labels), 3, **options)
    assert torch.equal(torch.cat([images for images, _ in small]), ours[0])


def test_explain_says_what_a_stage_drew() -> None:
    policy = parse_policy('kornia("RandomGamma", gamma=[0.5, 2.0], p=1.0)')
    loader = augfeed.DataLoader((IMAGES, [0] * 8), 8, policy=policy, seed=0)
    explained = explain_sample(loader.pipeline, 2, 0)
    (step,) = [step for step in explained.steps if step.operation == "kornia"]
    assert step.stage == "Kornia" and "RandomGamma: gamma_factor" in step.text
