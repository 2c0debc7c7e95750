"""16 bits: white follows from the type alone, in every lane, and nothing is black in silence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, TensorDataset, default_collate

from augfeed import Augment, DataLoader, Views
from augfeed.errors import InputError
from augfeed.read.sixteen_bits import WhiteCheck

COUNT, HEIGHT, WIDTH = 4, 9, 11
POLICY = "vflip(p=1.0)"
Wide = NDArray[np.uint16]


def values(below: int) -> Wide:
    """Return images `[N, H, W, 3]` of whole numbers, the largest among them."""
    images = np.random.default_rng(below).integers(0, below, (COUNT, HEIGHT, WIDTH, 3))
    images[-1, 2, 3] = below - 1
    return images.astype(np.uint16)


class Samples(Dataset[Any]):
    """Samples of a dataset that nobody knows; `give` makes them of images."""

    def __init__(self, images: Wide, give: Callable[[Any], Any] = lambda image: image) -> None:
        self.images, self.give = images, give

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, k: Any) -> Any:
        return self.give(self.images[k]), k


class Batches(Samples):
    """A dataset that gives whole batches."""

    def __getitem__(self, k: list[int]) -> Any:
        return torch.from_numpy(np.moveaxis(self.images[k], -1, 1).copy()), torch.tensor(k)


def planes(images: Wide) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(images, -1, -3).copy())


def first(data: Any, size: int | None = COUNT, **options: Any) -> torch.Tensor:
    """Return the images of the first batch as they were before the flip."""
    given = {"policy": POLICY} | options
    images = next(iter(DataLoader(data, size, **given)))[0]
    made: torch.Tensor = images["a"] if isinstance(images, dict) else images
    return made.flip(2)


def saved(images: Wide, folder: Path) -> torch.Tensor:
    np.savez(folder / "data.npz", images=images, labels=np.arange(COUNT))
    return first(str(folder / "data.npz"))


def in_views(data: Any) -> torch.Tensor:
    return first(data, policy=None, views=Views({"a": POLICY, "b": "hflip"}))


def further(images: Wide) -> torch.Tensor:
    """Return the second images of samples, which follow the plan of the first."""
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    data = Samples(images, lambda image: {"one": black, "two": image})
    keys = [(0, "one"), (0, "two")]
    parts = next(iter(DataLoader(data, COUNT, policy=POLICY, image_key=keys)))[0]
    two: torch.Tensor = parts["two"]
    return two.flip(2)


def whole_batches(images: Wide) -> torch.Tensor:
    return first(Batches(images), None, sampler=[list(range(COUNT))])


LABELS = np.arange(COUNT)
LANES: dict[str, Callable[[Wide, Path], torch.Tensor]] = {
    "arrays": lambda images, _: first((images, LABELS)),
    "arrays of big endian": lambda images, _: first((images.astype(">u2"), LABELS)),
    "tensors": lambda images, _: first(TensorDataset(planes(images), torch.from_numpy(LABELS))),
    "a file of arrays": saved,
    "samples": lambda images, _: first(Samples(images)),
    "samples of big endian": lambda images, _: first(Samples(images.astype(">u2"))),
    "samples of tensors": lambda images, _: first(Samples(images, planes)),
    "workers": lambda images, _: first(Samples(images), num_workers=1),
    "collate_fn": lambda images, _: first(
        Samples(images), collate_fn=lambda samples: default_collate(samples)
    ),
    "whole batches": lambda images, _: whole_batches(images),
    "a further image": lambda images, _: further(images),
    "views of arrays": lambda images, _: in_views((images, LABELS)),
    "views of samples": lambda images, _: in_views(Samples(images)),
    "Augment": lambda images, _: Augment(POLICY)(planes(images)).flip(2),
    "Augment, channels last": lambda images, _: Augment(POLICY)(
        torch.from_numpy(images).permute(0, 3, 1, 2)
    ).flip(2),
    "Augment by another engine": lambda images, _: Augment(POLICY, engine="portable")(
        planes(images)
    ).flip(2),
}  # fmt: skip
# The most that images have, and whether that is taken as it is: 8 bits in uint16 are not.
CASES = {"16 bits": (65536, True), "12 bits": (4096, True), "9 bits": (257, True),
         "8 bits": (256, False), "2 bits": (4, False), "flags": (2, True),
         "black": (1, True)}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lane", LANES)
def test_the_scale_is_that_of_the_type_in_every_lane(lane: str, case: str, tmp_path: Path) -> None:
    below, taken = CASES[case]
    images = values(below)
    if not taken:
        message = f"uint16 have no value above {below - 1}, and their white is 65535: convert them"
        with pytest.raises(InputError, match=f"{message} to uint8.*images / 65535"):
            LANES[lane](images, tmp_path)
        return
    made = LANES[lane](images, tmp_path)
    assert made.shape == (COUNT, 3, HEIGHT, WIDTH)
    expected = np.moveaxis(images, -1, 1).astype(np.float64) / 65535
    np.testing.assert_allclose(made.numpy(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_one_bright_value_says_that_later_dark_images_are_meant(order: str) -> None:
    dark, bright = values(256).astype(order), values(65536).astype(order)
    white = WhiteCheck()
    white.check([values(2), dark.astype(np.uint8), dark / 65535.0, torch.zeros(2)])
    with pytest.raises(InputError, match="no value above 255"):
        white.check([dark])
    white.check([dark, bright])
    white.check([dark])
    augment = Augment(POLICY)
    augment(planes(values(65536)))
    assert float(augment(planes(values(256))).max()) == pytest.approx(255 / 65535)


@pytest.mark.parametrize("workers", [0, 1])
def test_dark_samples_are_taken_after_a_bright_batch(workers: int) -> None:
    images = np.concatenate([values(65536), values(256)])
    data = Samples(images)
    loader = DataLoader(data, 4, policy=POLICY, num_workers=workers)
    expected = np.moveaxis(images, -1, 1).astype(np.float64) / 65535
    made = torch.cat([batch for batch, _ in loader])
    np.testing.assert_allclose(made.flip(2).numpy(), expected, rtol=0, atol=1e-7)
    data.images = images[::-1].copy()  # the next pass begins with the dark ones
    made = torch.cat([batch for batch, _ in loader])
    np.testing.assert_allclose(made.flip(2).numpy(), expected[::-1], rtol=0, atol=1e-7)
