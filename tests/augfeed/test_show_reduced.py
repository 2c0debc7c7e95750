"""Previews of policies that make large images: made small, with the labels of the large ones."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from augfeed import Pipeline, parse_policy
from augfeed.errors import InputError
from augfeed.show import preview
from augfeed.show.downsized import LONGEST, MOST_PIXELS, reduced
from augfeed.show.grid import Tile
from augfeed.show.labels import batch_shares, share_parts

IMAGES = np.random.default_rng(3).integers(0, 256, (12, 60, 80, 3), dtype=np.uint8)
SMOOTH = np.linspace(0, 255, 12 * 60 * 80 * 3).reshape(12, 60, 80, 3).astype(np.uint8)
LABELS = np.arange(12) % 4
HUGE = [
    "random_resized_crop(16000) | mixup(1.0) | normalize(0.5, 0.5)",
    "resize(16000) | center_crop([12000, 15001])", "resize([9000, 16000]) | rotate(20) | cutmix",
    "resize(12000) | random_crop(16000, padding=4096)", "resize([12001, 3])",
]  # fmt: skip


def made(policy: str, images: Any = IMAGES) -> Pipeline:
    return Pipeline((images, LABELS), parse_policy(policy))


@pytest.mark.parametrize("policy", HUGE)
def test_a_preview_takes_little_memory_however_large_the_images(policy: str) -> None:
    small = reduced(made(policy))
    assert max(small.size) <= LONGEST
    preview(made(policy), indices=[0], epochs=[0])  # all is compiled
    tracemalloc.start()
    try:
        preview(made(policy), indices=[0, 1, 2], epochs=range(3))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20, peak


@pytest.mark.parametrize("policy", [
    "random_resized_crop(900) | hflip | rotate(30)", "resize(700) | center_crop(600)",
    "resize([600, 900]) | cutout(300)", "random_resized_crop([500, 1000]) | vflip(1.0)",
])  # fmt: skip
def test_smaller_images_show_what_the_large_ones_do(policy: str) -> None:
    whole = made(policy, SMOOTH)
    small = reduced(whole)
    assert small is not whole
    for index in range(6):
        large = whole.sample(index, 1).images.float()
        fine = small.sample(index, 1).images.float()
        shrunk = _averaged(large, fine.shape[-2:])
        assert (shrunk - fine).abs().mean() < 8, index


def _averaged(images: Any, size: Any) -> Any:
    import torch

    return torch.nn.functional.interpolate(images, size=tuple(size), mode="area")


@pytest.mark.parametrize("policy", [
    "random_resized_crop([700, 613]) | cutmix | label_smoothing(0.1)",
    "random_resized_crop(1999) | one_of([mixup(1.0), cutmix])",
])  # fmt: skip
def test_labels_of_a_preview_are_those_of_the_large_images(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from augfeed.show import grid

    pipeline, shown = made(policy), []

    def kept(image: Any, parts: Any, joint: str = " + ") -> Tile:
        shown.append(list(parts))
        return Tile(image, parts, joint)

    monkeypatch.setattr(grid, "Tile", kept)
    preview(pipeline, indices=range(6), epochs=[2])
    wanted = [share_parts(batch_shares(pipeline.sample(k, 2), 0, None)) for k in range(6)]
    assert shown[6:] == wanted


def test_images_that_are_small_enough_are_made_as_they_are() -> None:
    pipeline = made("random_resized_crop(448) | hflip")
    assert reduced(pipeline) is pipeline


class Unsized:
    """Images of no common size, of which none is read."""

    channels, labels, num_classes, classes, name, sizes = 3, None, None, None, None, None

    def __len__(self) -> int:
        return 5

    def method(self, *given: Any) -> Any:
        raise AssertionError(f"asked for {given}")

    fingerprint = identity = image = read = path = method


def test_what_cannot_be_made_smaller_has_a_bound_before_anything_is_read() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    pipeline = Pipeline(Unsized(), parse_policy(f"center_crop({side})"))
    with pytest.raises(InputError, match="resize before the crop"):
        preview(pipeline, indices=[0], epochs=[0])


def test_a_preview_ends_before_the_next_image() -> None:
    calls = 0

    def third() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        preview(made("hflip"), indices=[0, 1], epochs=range(4), before=third)
    assert calls == 3
