"""Decisions as they were published: what a seed means must never change.

Only what no mathematical library has a part in: numbers of Philox, and products, sums, quotients
and square roots of them, which every machine rounds alike.
"""

import hashlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from augfeed.notation import parse_policy
from augfeed.plan import BatchRows, draw_plan
from augfeed.read.order import epoch_order

SIZE = (32, 30)
POLICIES = {
    "crop": "random_crop((32, 30), padding=4, p=0.9) | hflip | cutout((8, 5), p=0.7)",
    "resize": "resize((41, 40)) | random_crop((32, 30)) | hflip | vflip | cutout(6, inside=True)",
    "cutmix": "one_of([cutmix(1.0), cutmix(1.0, p=0.5, correct_lambda=False)], weights=[1, 3])",
    "cutmix, batch": "cutmix(1.0, p=0.8, per='batch')",
    "mixup": "vflip | mixup(1.0, p=0.6)",
    "color": "color_jitter(0.4, 0.3, 0.2, 0.1, p=0.8) | grayscale(0.3) | invert(0.3) | "
    "posterize(3) | solarize(0.4)",
    "noise": "random_erasing(0.9, aspect_law='uniform') | gaussian_noise((0.1, 0.3), p=0.5) | "
    "salt_and_pepper((0.1, 0.3), salt=0.4, p=0.5)",
}
COLORS = (
    "brightness", "contrast", "saturation", "hue", "gray", "inverted", "bits", "threshold",
)  # fmt: skip
KEYS = ((0, 0), (5, 3), (2**64 - 3, 2**32 - 1))
# Fewer rows than are drawn without holding other threads up, and more.
COUNTS = (1, 7, 64, 8192)
LATER = {
    "gamma((0.5, 2.0), (0.8, 1.25), p=0.6)": "4d128845d5a051425aa9e633e8b3838c",
    "solarize_add((-0.2, 0.4), 0.5)": "0d12ba2bcad3982c0dd67ada92385ea6",
    "autocontrast(0.4)": "c6267262ea0bc06bcd4c59b09a2c8e20",
    "channel_shuffle(0.7)": "b8a132c4a7b61161fbc00a9ec4830806",
    "channel_drop(1, p=0.7)": "434bbde97c4491f1e6709fde3a4e1788",
    "elastic((10, 50), (1, 5), 0.25, p=0.7)": "63b94b967f57df38e69443e946a1a614",
    "jpeg((1, 100))": "3cf54e1abe48918482ba1f75bd55eea0",
    "random_erasing(0.8, aspect_law='uniform', count=(1, 4))": "a5799c35053c92f458994e926bcf9468",
    "sharpness((0.0, 2.0))": "4f5c77865402df95c3b03f12bafad567",
    "channel_drop(2, p=0.7)": "e2a360d547b811936de309fffe12290c",
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_seed_means_what_it_meant(name: str) -> None:
    assert digest_of_plans(POLICIES[name]) == PUBLISHED[name]


def test_a_seed_means_the_steps_on_frames_that_it_meant() -> None:
    policy = parse_policy("equalize(0.3) | gaussian_blur((5, 3), (0.25, 2.0), p=0.6)")
    columns: list[NDArray[Any]] = []
    for seed, epoch in KEYS:
        rows = BatchRows.of(np.arange(1000))
        frames = draw_plan(policy, rows, seed=seed, epoch=epoch, size=SIZE).frames
        columns += [frames.codes, frames.numbers]
    assert digest(columns) == FRAMES


@pytest.mark.parametrize("policy", LATER)
def test_a_seed_means_what_it_meant_to_operations_that_came_later(policy: str) -> None:
    """Each by its own columns, as the others have none of them."""
    assert digest_of_columns(policy) == LATER[policy]


@pytest.mark.parametrize("length", [1, 7, 1000, 50_000])
def test_an_epoch_has_the_order_it_had(length: int) -> None:
    orders = [epoch_order(length, seed=seed, epoch=epoch, shuffle=True) for seed, epoch in KEYS]
    assert digest(orders) == ORDERS[length]


def digest_of_plans(policy: str) -> str:
    columns: list[NDArray[Any]] = []
    for count in COUNTS:
        ids = np.arange(count) * 0x5DEECE66D % 2**48
        ids[-1] = 2**48 - 1
        for seed, epoch in KEYS:
            plan = draw_plan(
                parse_policy(policy), BatchRows.of(ids), seed=seed, epoch=epoch, size=SIZE
            )
            columns += [plan.flip_x, plan.flip_y, plan.inverse, plan.cutout, plan.erased]
            columns += [plan.sigma, plan.salt, plan.pepper]
            columns += [getattr(plan.columns, name) for name in COLORS]
            columns += [getattr(plan.mixes, name) for name in plan.mixes.__slots__]
            heights, widths = 32 + np.arange(count) % 40, 30 + np.arange(count) % 23
            for windows in (plan.window.at(*SIZE), plan.window.at(heights, widths)):
                columns += [windows.box, windows.resized, windows.offset]
    return digest(columns)


def digest_of_columns(line: str) -> str:
    policy = parse_policy(line)
    rows, columns = BatchRows.of(np.arange(1000)), []
    for seed, epoch in KEYS:
        plan = draw_plan(policy, rows, seed=seed, epoch=epoch, size=SIZE)
        columns += [getattr(plan.columns, column.name)
                    for item in policy.operations for column in item.columns]  # fmt: skip
    return digest(columns)


def digest(columns: list[NDArray[Any]]) -> str:
    kept = hashlib.sha256()
    for column in columns:
        kept.update(f"{column.dtype}{column.shape}".encode())
        kept.update(np.ascontiguousarray(column).tobytes())
    return kept.hexdigest()[:32]


PUBLISHED = {
    "crop": "5212aadf0abd61e6a63ae1d384fb3dd3",
    "resize": "8c4604ae554386820a01aa3c076c0390",
    "cutmix": "83f3d2e6c952c250cfa5b3cc78296b8b",
    "cutmix, batch": "e3adf0b03fc395e37407cc0c1e7d7707",
    "mixup": "2ef72d8e8fde6d9dce3dec950fcad434",
    "color": "4043c1bb8f55fdd7372c4d77528bea61",
    "noise": "e3d9fae87f56fbf366bef7e2dc675987",
}
FRAMES = "979614cae1c2a1310945afc34bef48f0"
ORDERS = {
    1: "679c984c363a811cf370586c06163dfb",
    7: "2b01fa9a5de4df0061c0a2330b710bbc",
    1000: "14bdc71cb225757f7f156b5557c42005",
    50_000: "e14c25edddb2c993b699fb82ee0b1f8a",
}
