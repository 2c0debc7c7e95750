"""Frames that are made before the pass come the same in every lane, from every kind of source."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.engines import Place
from augfeed.errors import InputError
from augfeed.notation import parse_policy
from augfeed.pipeline import Pipeline
from augfeed.read.sources import ArraySource

COUNT, HEIGHT, WIDTH = 21, 24, 20
PIXELS = np.random.default_rng(7).integers(30, 190, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
LABELS = torch.arange(COUNT) % 3
FRAMES = "equalize(0.5) | gaussian_blur(5, p=0.5)"
CHAINS = {
    "whole": f"center_crop(({HEIGHT}, {WIDTH})) | {FRAMES}",
    "padded": f"random_crop(({HEIGHT}, {WIDTH}), padding=4) | {FRAMES} | hflip",
    "padded, filled with half a level": f"random_crop(16, padding=4, fill=0.3) | {FRAMES}",
    "reflected": f"random_crop(16, padding=9, mode='reflect') | {FRAMES} | jitter(0.4, 0.4)",
    "resized": f"random_resized_crop(16) | {FRAMES} | rotate(20)",
    "programs": f"random_crop(16, padding=4) | {FRAMES} | hflip | random_order([rotate(30), "
    "equalize(1.0), posterize(3)]) | mixup(0.4)",
    "a choice": "random_resized_crop(16) | hflip | one_of([rotate(30), gaussian_blur(3), "
    "gray(1.0)])",
    "mixed": f"random_crop(16) | {FRAMES} | jitter(0.4, 0.4, 0.4) | mixup(0.4)",
}  # fmt: skip


class Samples(Dataset[Any]):
    """The images as a dataset of one's own."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return PIXELS[i], int(LABELS[i])


def batches(data: Any, policy: str, **options: Any) -> list[torch.Tensor]:
    options = {"num_classes": 3, **options}
    loader = DataLoader(data, 8, shuffle=True, policy=policy, seed=3, **options)
    return [images for images, _ in loader]


def assert_same(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    assert len(found) == len(wanted)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for k, pixels in enumerate(PIXELS):
        (root / f"{int(LABELS[k])}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / f"{int(LABELS[k])}" / f"{k:03}.png")
    return root


@pytest.mark.parametrize("chain", CHAINS)
def test_lanes_give_the_same_frames(chain: str, folder: Path) -> None:
    policy = CHAINS[chain]
    native = batches((PIXELS, LABELS.numpy()), policy, num_workers=2)
    assert_same(batches((PIXELS, LABELS.numpy()), policy), native)
    if chain != "padded, filled with half a level":  # only an image in memory is padded unrounded
        assert_same(batches(Samples(), policy), native)
        files = sorted(folder.glob("*/*.png"), key=lambda path: path.stem)
        assert_same(batches([(str(path), int(path.parent.name)) for path in files], policy), native)


def test_resident_images_are_made_frames_of_by_other_engines_too() -> None:
    policy = parse_policy(CHAINS["mixed"])
    made = [
        Pipeline(ArraySource(PIXELS), policy, place=Place("cpu", engine)).batch(0, 0).images
        for engine in ("cpu", "portable")
    ]
    assert (made[0] - made[1]).abs().max() < 2e-2  # a level of a blurred byte


def test_stages_of_kornia_come_before_frames_are_made() -> None:
    pytest.importorskip("kornia")
    policy = 'kornia("RandomInvert", p=1.0) | equalize(1.0)'
    (made, *_) = DataLoader((PIXELS, LABELS.numpy()), COUNT, policy=policy, seed=0)
    for image, found in zip(PIXELS, made[0], strict=True):
        wanted = np.asarray(ImageOps.equalize(ImageOps.invert(Image.fromarray(image))))
        assert np.abs(found.permute(1, 2, 0).numpy() * 255 - wanted).max() < 1e-3


def test_a_kernel_that_does_not_fit_is_refused_when_a_loader_is_built() -> None:
    with pytest.raises(InputError, match=r"kernel_size=41\) does not fit into images of 24 x 20"):
        DataLoader((PIXELS, LABELS.numpy()), 4, policy="gaussian_blur(41)")
