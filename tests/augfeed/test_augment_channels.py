"""`Augment` on batches of any number of channels, and of 16 bits."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed import Augment
from augfeed.errors import InputError

POLICY = ("random_resized_crop(20) | hflip | rotate(20) | jitter(0.4, 0.4) | cutmix(1.0) | "
          'random_erasing(p=1.0, fill="noise") | normalize([0.5, 0.4, 0.3, 0.2], 0.25) | '
          "gaussian_noise(0.1)")  # fmt: skip

MANY_LEVELS = ("random_order([hflip, rotate(20)])", "equalize(0.0)", "gamma(0.5)",
               "sharpness(2.0)", "gaussian_blur(3)", "elastic(4.0, 3.0)")  # fmt: skip


def levels(*shape: int, most: int = 256) -> torch.Tensor:
    """Return whole numbers below `most`, the same every time."""
    values = np.random.default_rng(sum(shape)).integers(0, most, shape)
    return torch.from_numpy(values.astype(np.uint16 if most > 256 else np.uint8))


@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_four_channels_come_out_alike_by_any_engine_and_memory_layout(engine: str) -> None:
    images, labels = levels(16, 4, 26, 30), torch.arange(16) % 3
    made, targets = Augment(POLICY, num_classes=3, seed=7)(images, labels)
    assert made.shape == (16, 4, 20, 20) and targets.shape == (16, 3)
    last = images.contiguous(memory_format=torch.channels_last)
    other, same = Augment(POLICY, num_classes=3, seed=7, engine=engine)(last, labels)
    assert torch.equal(targets, same)
    torch.testing.assert_close(made, other, atol=2e-4, rtol=0)


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_geometry_is_that_of_the_first_three_channels_alone(channels: int) -> None:
    policy = "random_crop(16, padding=3) | hflip | rotate(30) | mixup(0.4) | cutout(5)"
    images = levels(8, 6, 16, 16)[:, :channels]
    three = torch.cat([images, images], dim=1)[:, :3].contiguous()
    made, known = (Augment(policy, seed=2)(given) for given in (images, three))
    assert torch.equal(made[:, :3], known[:, : min(channels, 3)])


def test_masks_and_boxes_of_many_channels_are_those_of_rgb() -> None:
    masks, boxes = levels(4, 16, 16).long(), torch.tensor([[[2.0, 3.0, 9.0, 11.0]]]).repeat(4, 1, 1)
    found = [Augment("hflip | rotate(30)", seed=1)(levels(4, channels, 16, 16), masks=masks,
             boxes=boxes) for channels in (3, 7)]  # fmt: skip
    assert torch.equal(found[0][1], found[1][1])
    assert all(torch.equal(*pair) for pair in zip(found[0][2], found[1][2], strict=True))


def test_an_empty_batch_of_many_channels_gives_an_empty_batch() -> None:
    made = Augment("rotate(20) | equalize")(torch.zeros(0, 5, 12, 12, dtype=torch.uint8))
    assert made.shape == (0, 5, 12, 12)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_uint16_is_taken_as_floats_whose_white_is_65535(channels: int, engine: str) -> None:
    images = levels(4, channels, 14, 14, most=65536)
    policy = "random_crop(12) | rotate(20) | jitter(0.3, 0.3) | gaussian_blur(3) | invert(0.5)"
    made = Augment(policy, seed=3, engine=engine)(images)
    floats = Augment(policy, seed=3, engine=engine)(images.float() / 65535)
    assert torch.equal(made, floats)


def test_uint16_keeps_its_levels() -> None:
    images = torch.arange(65536).to(torch.uint16).view(1, 1, 256, 256)
    made = Augment("hflip(p=1.0)")(images)
    assert torch.equal((made.double() * 65535).round().flip(3).long(), images.long())


@pytest.mark.parametrize("text", ["equalize", "autocontrast(1.0)", "jpeg(50)", "rand_augment",
                                  "random_order([hflip, equalize])"])  # fmt: skip
def test_what_rounds_to_256_levels_refuses_uint16(text: str) -> None:
    augment: Any = Augment(text)
    with pytest.raises(InputError, match="rounds images to 256 levels, and these are uint16"):
        augment(levels(2, 3, 12, 12, most=65536))
    augment(levels(2, 3, 12, 12, most=65536).float() / 65535)


@pytest.mark.parametrize("text", MANY_LEVELS)
def test_what_keeps_more_than_256_levels_takes_uint16(text: str) -> None:
    made = Augment(text)(levels(2, 1, 40, 40, most=65536))
    assert len(made.unique()) > 1000


def test_what_needs_rgb_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"for 'hue', and the images have 4 channels: give hue=0"):
        Augment("jitter(0.4, hue=0.1)")(levels(2, 4, 12, 12))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_batch_whose_channels_come_last_is_refused_with_the_way_to_turn_it(channels: int) -> None:
    images = levels(2, 12, 16, channels)
    for given in (images, images / 255, images[:1]):
        with pytest.raises(InputError, match=r"look like \[B, H, W, C\].*give images\.movedim\(-1, "
                           r"1\).*Augment\(\.\.\., channels=12\)"):  # fmt: skip
            Augment("hflip")(given)
    assert Augment("hflip")(images.movedim(-1, 1)).shape == (2, channels, 12, 16)


# No image has these sides, or its channels are a usual number.
@pytest.mark.parametrize("shape", [
    (12, 3, 5), (12, 16, 5), (64, 3, 3), (64, 4, 4), (512, 1, 1), (12, 1, 16), (4, 64, 3),
    (4, 16, 1), (2, 16, 3), (1, 16, 3), (3, 16, 1), (3, 16, 3),
])  # fmt: skip
def test_any_other_order_of_sides_is_meant(shape: tuple[int, int, int]) -> None:
    images = levels(2, *shape)
    made = Augment("vflip(p=1.0)", dtype=torch.uint8)(images)
    assert torch.equal(made, images.flip(2))


@pytest.mark.parametrize("policy", ["vflip(p=1.0)", f"vflip(p=1.0) | normalize({[0.0] * 12}, 1.0)"])
@pytest.mark.parametrize("width", [1, 3, 4])
def test_narrow_images_are_taken_once_their_channels_are_known(policy: str, width: int) -> None:
    images = levels(2, 12, 16, width)
    made = Augment(policy, channels=None if "normalize" in policy else 12)(images)
    torch.testing.assert_close(made, images.flip(2) / 255)


def test_channels_are_those_of_every_batch() -> None:
    augment = Augment("hflip", channels=3)
    assert augment(levels(2, 3, 12, 16)).shape == (2, 3, 12, 16)
    with pytest.raises(InputError, match=r"have 12 channels.*and channels=3: give images\.movedim"):
        augment(levels(2, 12, 16, 3))
    with pytest.raises(InputError, match=r"have 4 channels.*and channels=3: give images alike"):
        augment(levels(2, 4, 12, 16))
    assert augment.count == 2  # what is refused is not counted
    with pytest.raises(InputError, match="channels=0"):
        Augment("hflip", channels=0)
