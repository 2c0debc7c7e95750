"""The loader on images of any number of channels, and of 16 bits, in both lanes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset, default_collate

from augfeed import Augment, DataLoader
from augfeed.errors import InputError
from augfeed.read.arrays import ArraySource

POLICIES = ("random_crop(10, 2, fill=[0.2, 0.4, 0.6, 0.8]) | hflip | rotate(20) | cutmix(1.0)",
            "random_resized_crop(9) | jitter(0.3, 0.3) | normalize([0.1, 0.2, 0.3, 0.4], 0.5)",
            'random_erasing(p=1.0, fill="noise") | gaussian_noise(0.1)')  # fmt: skip
COUNT, CHANNELS = 24, 4


def levels(*shape: int, most: int = 256) -> Any:
    """Return whole numbers below `most`, the same every time."""
    values = np.random.default_rng(sum(shape)).integers(0, most, shape)
    return values.astype(np.uint16 if most > 256 else np.uint8)


class Samples(Dataset[Any]):
    """Samples made of an array of images by a function of image and number."""

    def __init__(self, images: Any, sample: Any = lambda image, k: (image, k % 3)) -> None:
        self.images, self.sample = images, sample

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, k: int) -> Any:
        return self.sample(self.images[k], k)


def loaded(data: Any, policy: str = "hflip | rotate(20)", **options: Any) -> tuple[str, list[Any]]:
    """Return the lane, and all batches."""
    loader = DataLoader(data, batch_size=8, policy=policy, seed=5, num_classes=3, **options)
    return loader.lane, list(loader)


@pytest.mark.parametrize("policy", POLICIES)
def test_both_lanes_and_augment_give_the_same_batches_of_four_channels(policy: str) -> None:
    images, labels = levels(COUNT, 12, 14, CHANNELS), np.arange(COUNT) % 3
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    native, known = loaded((images, labels), policy)
    assert native == "native" and known[0][0].shape[:2] == (8, CHANNELS)
    others = [
        loaded(TensorDataset(planes, torch.from_numpy(labels)), policy),
        loaded(Samples(images), policy),
        loaded(Samples(planes), policy),
        loaded(Samples(images), policy, num_workers=1),
        loaded(Samples(images), policy, collate_fn=lambda some: default_collate(some)),
        loaded(Samples(planes), policy, collate_fn=lambda some: default_collate(some)),
    ]
    assert [lane for lane, _ in others] == ["native", *["general"] * 5]
    for _, batches in others:
        for (made, targets), (images_known, targets_known) in zip(batches, known, strict=True):
            torch.testing.assert_close(made, images_known, atol=0, rtol=0)
            torch.testing.assert_close(targets, targets_known, atol=0, rtol=0)
    augment = Augment(policy, seed=5, num_classes=3)
    for k, (made, _) in enumerate(known):
        part = slice(8 * k, 8 * k + 8)
        found, _ = augment(planes[part], torch.from_numpy(labels[part]))
        torch.testing.assert_close(made, found, atol=0, rtol=0)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_uint16_comes_as_floats_of_65536_levels_in_both_lanes(channels: int) -> None:
    images = levels(COUNT, 12, 14, channels, most=65536)
    floats = images.astype(np.float32) / np.float32(65535)
    policy = "random_resized_crop(9) | jitter(0.3, 0.3) | gaussian_blur(3)"
    _, known = loaded((floats, np.arange(COUNT) % 3), policy)
    planes = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
    for data in ((images, np.arange(COUNT) % 3), Samples(images), Samples(planes)):
        for (made, _), (other, _) in zip(loaded(data, policy)[1], known, strict=True):
            assert torch.equal(made, other)


@pytest.mark.parametrize("text", ["equalize", "trivial_augment_wide", "hflip | jpeg(50)"])
def test_uint16_that_would_be_rounded_is_refused_in_both_lanes(text: str) -> None:
    images = levels(8, 12, 14, 3, most=65536)
    for data in ((images, np.arange(8) % 3), Samples(images),
                 TensorDataset(torch.from_numpy(np.moveaxis(images, -1, 1).copy()),
                               torch.arange(8) % 3)):  # fmt: skip
        with pytest.raises(InputError, match="rounds images to 256 levels, and these are uint16"):
            loaded(data, text)


@pytest.mark.parametrize("text", ["gray(0.5)", "jitter(hue=0.1)", "rand_augment"])
def test_what_needs_rgb_is_refused_in_both_lanes(text: str) -> None:
    images = levels(8, 12, 14, CHANNELS)
    for data in ((images, np.arange(8) % 3), Samples(images)):
        with pytest.raises(InputError, match=r"needs red, green and blue.*have 4 channels"):
            loaded(data, text)


@pytest.mark.parametrize(("image", "cure"), [
    (np.zeros((5, 12, 14), np.uint8), r"would have 14 channels.*np\.moveaxis\(image, 0, -1\)"),
    (torch.zeros(12, 14, 5), r"would have 12 channels.*image\.permute\(2, 0, 1\)"),
    (torch.zeros(0, 14, 15), "is not an image with pixels"),
])  # fmt: skip
def test_an_image_whose_channels_would_be_taken_for_a_side_is_refused(
    image: Any, cure: str
) -> None:
    with pytest.raises(InputError, match=cure):
        loaded(Samples([image] * 8))


@pytest.mark.parametrize("shape", [(7, 7, 7), (5, 9, 8), (200, 9, 9)])
def test_a_tensor_has_its_channels_first_and_an_array_last(shape: tuple[int, ...]) -> None:
    planes = levels(8, *shape)
    _, first = loaded(Samples(torch.from_numpy(planes)))
    _, last = loaded(Samples(np.moveaxis(planes, 1, -1).copy()))
    _, collated = loaded(Samples(np.moveaxis(planes, 1, -1).copy()),
                         collate_fn=lambda some: default_collate(some))  # fmt: skip
    assert first[0][0].shape == (8, *shape)
    assert torch.equal(first[0][0], last[0][0]) and torch.equal(first[0][0], collated[0][0])


@pytest.mark.parametrize("named", [True, False])
def test_masks_and_boxes_follow_images_of_many_channels(named: bool) -> None:
    images = levels(8, 16, 16, CHANNELS)
    mask = (images[..., 0] > 127).astype(np.int64)

    def sample(image: Any, k: int) -> Any:
        if named:
            return {"image": image, "mask": mask[k]}
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask[k])

    loader = DataLoader(Samples(images, sample), batch_size=8, policy="hflip | vflip", seed=5)
    batch: Any = next(iter(loader))
    made, masks = (batch["image"], batch["mask"]) if named else batch
    assert torch.equal((made[:, 0] > 0.5).long(), torch.as_tensor(masks).long())


def test_an_image_of_three_channels_is_the_image_beside_a_stack_of_masks() -> None:
    image, masks = np.zeros((3, 16, 18), np.uint8), np.zeros((5, 16, 18), np.uint8)
    data = Samples([image] * 8, lambda one, k: {"image": torch.from_numpy(one), "other": masks})
    loader = DataLoader(data, batch_size=8, policy="invert(1.0)", seed=5)
    batch: Any = next(iter(loader))
    assert batch["image"].shape == (8, 3, 16, 18) and bool((batch["image"] == 1).all())
    assert batch["other"].shape == (8, 5, 16, 18) and not batch["other"].any()


def test_one_plane_beside_an_image_of_many_channels_is_not_taken_for_the_image() -> None:
    def sample(image: Any, k: int) -> Any:
        return torch.from_numpy(image), torch.zeros(1, 16, 18, dtype=torch.uint8)

    with pytest.raises(InputError, match=r"2 images.*image_key="):
        loaded(Samples(levels(8, 5, 16, 18), sample), "invert(1.0)")


def test_a_dataset_that_gives_whole_batches_may_give_many_channels() -> None:
    class Whole(Samples):
        def __getitem__(self, index: Any) -> Any:
            return torch.from_numpy(self.images[index]), torch.as_tensor(index) % 3

    images = levels(16, 5, 12, 14)
    loader = DataLoader(Whole(images), batch_size=None, policy="hflip", seed=5,
                        sampler=[list(range(8)), list(range(8, 16))])  # fmt: skip
    made = [batch for batch, _ in loader]
    known = loaded(Samples(torch.from_numpy(images)), "hflip")[1]
    assert all(torch.equal(one, other) for one, (other, _) in zip(made, known, strict=True))


def test_images_of_other_numbers_of_channels_in_a_batch_are_refused() -> None:
    images = [np.zeros((12, 14, 4 + k % 2), np.uint8) for k in range(8)]
    with pytest.raises(InputError, match="has 5 channels and the image of sample 0 4"):
        loaded(Samples(images))


def test_normalize_for_other_channels_says_how_many_there_are() -> None:
    with pytest.raises(InputError, match="is for 3 channels and the images have 4"):
        DataLoader(ArraySource(levels(8, 12, 14, 4)), batch_size=4,
                   policy="normalize([0.1, 0.2, 0.3], 0.5)")  # fmt: skip
