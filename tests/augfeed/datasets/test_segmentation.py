"""Datasets of masks: what they give, in both lanes, and what they refuse."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.datasets import Cityscapes, MaskFolder, VOCDetection, VOCSegmentation
from augfeed.errors import InputError, ReadError, StateError
from augfeed.fields import Boxes, Mask, MixedMask
from tests.augfeed.datasets import small

Make = Callable[[Path], Any]
SETS: dict[str, Make] = {
    "folder": lambda root: MaskFolder(small.masks(root), num_classes=small.CLASSES),
    "voc": lambda root: VOCSegmentation(small.voc(root)),
    "cityscapes": lambda root: Cityscapes(small.cityscapes(root)),
}
TRAIN_IDS = torch.tensor([255, 0, 1, 2, 18])  # of the classes of `small`, as Cityscapes has them


@pytest.fixture(params=SETS)
def data(request: Any, tmp_path: Path) -> Any:
    return SETS[request.param](tmp_path)


def numbers(data: Any, images: torch.Tensor) -> torch.Tensor:
    # The mask that an image of one color a class says.
    classes = torch.round(images[:, 0] * 255 / small.LEVEL).long()
    return TRAIN_IDS[classes] if isinstance(data, Cityscapes) else classes


def test_a_sample_is_an_image_and_its_mask(data: Any) -> None:
    image, mask = data[3]
    assert image.dtype == torch.uint8 and image.shape == (3, *small.size(3))
    assert mask.dtype == torch.int64 and torch.equal(mask, numbers(data, image[None] / 255)[0])
    assert len(data) == small.COUNT and torch.equal(data[-1][1], data[small.COUNT - 1][1])


@pytest.mark.parametrize(
    "policy", ["random_crop(24) | hflip", "random_crop(24) | hflip | vflip | cutmix(1.0)"]
)
def test_masks_follow_their_images_in_the_threads_of_the_loader(data: Any, policy: str) -> None:
    # A crop alone makes no new values: the image says what the mask must be.
    loader = DataLoader(data, 3, policy=policy, seed=1, num_workers=2, shuffle=True)
    assert loader.lane == "native"
    for images, masks in loader:
        assert masks.dtype == torch.int64 and masks.shape == (3, 24, 24)
        assert torch.equal(masks, numbers(data, images))


@pytest.mark.parametrize(
    "policy", ["random_crop(32)", "random_resized_crop(24) | hflip | rotate(30) | cutmix(1.0)",
               "random_crop(32) | rand_augment(2, 9)",
               "random_crop(32) | hflip | elastic(40, 3, p=1.0) | rotate(20)"],
)  # fmt: skip
def test_both_lanes_give_the_same_masks(data: Any, policy: str) -> None:
    native = DataLoader(data, 2, policy=policy, seed=3, num_workers=2)
    general = DataLoader(data, 2, policy=policy, seed=3, passive=[0])
    assert (native.lane, general.lane) == ("native", "general")
    for (_, masks), (_, others) in zip(native, general, strict=True):
        assert torch.equal(masks, others)


def test_mixup_gives_both_masks_and_the_share(data: Any) -> None:
    loader = DataLoader(data, 2, policy="random_crop(24) | mixup(0.4, p=1.0)", seed=1)
    _, mixed = next(iter(loader))
    assert isinstance(mixed, MixedMask) and mixed.own.shape == mixed.partner.shape == (2, 24, 24)
    assert mixed.own.dtype == torch.int64 and mixed.share.shape == (2,)


def test_a_cache_keeps_smaller_images_and_their_masks_fit(tmp_path: Path) -> None:
    data = MaskFolder(small.masks(tmp_path), num_classes=small.CLASSES)
    loader = DataLoader(data, 3, policy="resize(20) | center_crop(20)", seed=0, cache="ram")
    for images, masks in [*loader, *loader]:
        inner = torch.round(images[:, 0] * 255) % small.LEVEL == 0  # not beside a border
        assert inner.float().mean() > 0.6
        assert torch.equal(masks[inner], numbers(data, images)[inner])


def test_a_path_is_enough_and_splits_are_chosen(tmp_path: Path) -> None:
    small.masks(tmp_path, split="train")
    small.masks(tmp_path, split="val")
    (tmp_path / "images" / "val" / "0.png").unlink()
    (tmp_path / "masks" / "val" / "0.png").unlink()
    loader = DataLoader(str(tmp_path), 2, policy="random_crop(24) | hflip")
    assert [masks.dtype for _, masks in loader] == [torch.int64] * 3
    with pytest.raises(InputError, match=r"has the folders \['train', 'val'\]"):
        MaskFolder(tmp_path)
    assert len(MaskFolder(tmp_path, split="val")) == small.COUNT - 1
    with pytest.raises(InputError, match="split='test' is not a folder"):
        MaskFolder(tmp_path, split="test")


def test_fields_say_what_lies_outside(tmp_path: Path) -> None:
    data = MaskFolder(small.masks(tmp_path), num_classes=small.CLASSES)
    given: Any = {"mask": Mask(ignore_index=7)}
    loader = DataLoader(data, 2, policy="random_crop(24) | rotate(45, p=1.0)", fields=given)
    assert (next(iter(loader))[1] == 7).any()
    with pytest.raises(InputError, match=r"'masks': .* is not in MaskFolder"):
        DataLoader(data, policy="hflip", fields={"masks": "mask"})
    with pytest.raises(InputError, match="is not of the kind of 'mask'"):
        DataLoader(data, policy="hflip", fields={"mask": Boxes()})
    negative = MaskFolder(tmp_path, num_classes=small.CLASSES, ignore_index=-100)
    loader = DataLoader(negative, 2, policy="random_crop(24) | rotate(45, p=1.0)")
    assert (next(iter(loader))[1] == -100).any()


# Files that are not as they should be

FAULTS: dict[str, tuple[Any, str]] = {
    "size": (np.zeros((3, 4), np.uint8), "is of 4 x 3 pixels, and .*0.png is of 56 x 40 pixels"),
    "number": (np.full(small.size(0), 9, np.uint8), r"has the number 9 at x=0, y=0.*\[0, 5\)"),
    "16 bits": (np.full(small.size(0), 3000, np.uint16), "has the number 3000"),
    "colors": (np.dstack([np.full(small.size(0), k, np.uint8) for k in (9, 1, 1)]), "mode 'RGB'"),
    "alpha": (np.zeros((*small.size(0), 4), np.uint8), "mode 'RGBA'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mask_that_is_wrong_is_an_error_that_names_it(tmp_path: Path, fault: str) -> None:
    small.masks(tmp_path)
    array, message = FAULTS[fault]
    small.save(array, tmp_path / "masks" / "0.png")
    data = MaskFolder(tmp_path, num_classes=small.CLASSES)
    path = str(tmp_path / "masks" / "0.png")
    with pytest.raises(ReadError, match=message) as told:
        data[0]
    assert str(told.value).startswith(path)
    loader = DataLoader(data, 2, policy="random_crop(24)", num_workers=2)
    with pytest.raises(ReadError, match=message):
        list(loader)
    replaced = DataLoader(
        data, 2, policy="random_crop(24)", on_error="replace", num_workers=2, seed=0
    )
    assert sum(len(masks) for _, masks in replaced) == small.COUNT
    for images, masks in replaced:
        assert torch.equal(masks, numbers(data, images))
    assert [item.sample for item in replaced.unread] == [0]
    skipped = DataLoader(data, 2, policy="random_crop(24)", on_error="skip", seed=0)
    assert sum(len(masks) for _, masks in skipped) == small.COUNT - 1


def test_a_jpeg_is_not_a_mask(tmp_path: Path) -> None:
    small.masks(tmp_path)
    Image.fromarray(small.mask(0)).save(tmp_path / "masks" / "0.png", "JPEG")
    with pytest.raises(ReadError, match="is a JPEG"):
        MaskFolder(tmp_path, num_classes=small.CLASSES)[0]


def test_a_mask_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    small.masks(tmp_path)
    (tmp_path / "masks" / "2.png").unlink()
    with pytest.raises(InputError, match=r"images/2.png' has no mask.* for 1 of 6 images"):
        MaskFolder(tmp_path)
    small.masks(tmp_path)
    (tmp_path / "images" / "2.png").unlink()
    assert MaskFolder(tmp_path).skipped == {"masks without an image": 1}
    small.save(small.pixels(1), tmp_path / "images" / "1.bmp")
    with pytest.raises(InputError, match="are images of one name"):
        MaskFolder(tmp_path)


def test_a_mask_that_vanishes_later_is_named_by_both_files(tmp_path: Path) -> None:
    data = MaskFolder(small.masks(tmp_path), num_classes=small.CLASSES)
    (tmp_path / "masks" / "2.png").unlink()
    with pytest.raises(ReadError, match=r"masks/2.png: does not exist.*images/2.png"):
        data[2]


def test_masks_of_0_and_255_are_not_taken_for_ignored(tmp_path: Path) -> None:
    small.masks(tmp_path)
    for i in range(small.COUNT):
        small.save((small.mask(i) > 0).astype(np.uint8) * 255, tmp_path / "masks" / f"{i}.png")
    with pytest.raises(InputError, match=r"holds only 0 and 255.*values=\{255: 1\}"):
        MaskFolder(tmp_path)
    mask = MaskFolder(tmp_path, values={255: 1}, num_classes=2)[0][1]
    assert torch.equal(mask, torch.from_numpy(small.mask(0) > 0).long())


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_numbers_are_those_that_are_stored_whatever_the_bits(
    tmp_path: Path, mode: str, bits: int
) -> None:
    small.masks(tmp_path)
    want = np.minimum(small.mask(0), 2**bits - 1)
    path = tmp_path / "masks" / "0.png"
    if mode == "P":
        image = Image.fromarray(want).convert("P")
        image.putdata(want.ravel().tolist())
        image.putpalette([k * 7 % 256 for k in range(3 * 2**bits)])
        image.save(path, bits=bits)
    else:
        path.write_bytes(gray_png(want, bits))
    data = MaskFolder(tmp_path, num_classes=small.CLASSES)
    assert torch.equal(data[0][1], torch.from_numpy(want).long())


def gray_png(levels: np.ndarray[Any, Any], bits: int) -> bytes:
    # Pillow writes gray of 1 or 8 bits alone.
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    rows = b""
    for row in levels:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_colors_stand_for_numbers_if_it_is_said(tmp_path: Path) -> None:
    small.masks(tmp_path)
    table = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0), (9, 9, 9), (1, 2, 3)], np.uint8)
    for i in range(small.COUNT):
        small.save(table[small.mask(i)], tmp_path / "masks" / f"{i}.png")
    colors = {(r, g, b): k for k, (r, g, b) in enumerate(table.tolist())}
    data = MaskFolder(tmp_path, colors=colors, num_classes=small.CLASSES)
    assert torch.equal(data[1][1], torch.from_numpy(small.mask(1)).long())
    del colors[(128, 0, 0)]
    with pytest.raises(ReadError, match=r"the color \(128, 0, 0\)"):
        MaskFolder(tmp_path, colors=colors, num_classes=small.CLASSES)[0]


@pytest.mark.parametrize("orientation", [3, 6])
def test_an_image_that_exif_turns_beside_an_unturned_mask_is_an_error(
    tmp_path: Path, orientation: int
) -> None:
    small.masks(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    small.save(small.pixels(0), tmp_path / "images" / "0.png", exif=exif)
    data = MaskFolder(tmp_path, num_classes=small.CLASSES)
    with pytest.raises(ReadError, match=f"EXIF orientation {orientation}"):
        data[0]
    if orientation == 6:  # the sizes say that it was turned along
        small.save(np.rot90(small.mask(0), -1), tmp_path / "masks" / "0.png")
        image, mask = data[0]
        assert torch.equal(mask, numbers(data, image[None] / 255)[0])


def test_what_cannot_follow_or_has_no_meaning_is_refused(data: Any) -> None:
    for policy, message in (
        ("random_crop(24) | aug_mix", "aug_mix"),
        ("random_crop(24) | label_smoothing(0.1)", "label_smoothing is for classes of images"),
    ):
        with pytest.raises(InputError, match=message):
            DataLoader(data, 2, policy=policy)
    with pytest.raises(InputError, match="targets='dense' is for classes of images"):
        DataLoader(data, 2, policy="random_crop(24)", targets="dense")


def test_the_fingerprint_covers_how_annotations_are_read(tmp_path: Path) -> None:
    small.masks(tmp_path / "masks")
    small.voc(tmp_path / "voc")
    given: list[dict[str, Any]] = [{}, {"values": {1: 2}}, {"values": {2: 1}},
                                   {"colors": {(0, 0, 0): 0}}]  # fmt: skip
    prints = {MaskFolder(tmp_path / "masks", **options).fingerprint() for options in given}
    voc = [VOCDetection(tmp_path / "voc", difficult=keep) for keep in (True, False)]
    prints |= {data.fingerprint() for data in voc}
    assert len(prints) == len(given) + 2


def test_the_fingerprint_covers_masks_and_how_they_follow(tmp_path: Path) -> None:
    def print_of(**given: Any) -> str:
        data = MaskFolder(tmp_path, num_classes=small.CLASSES)
        return data.with_fields(given).fingerprint()

    small.masks(tmp_path)
    first = print_of()
    assert print_of() == first != print_of(mask=Mask(ignore_index=0))
    small.save(np.zeros(small.size(0), np.uint8), tmp_path / "masks" / "0.png", compress_level=0)
    assert print_of() != first


@pytest.mark.parametrize("lane", ["native", "general"])
def test_a_state_of_other_fields_is_refused(tmp_path: Path, lane: str) -> None:
    data = MaskFolder(small.masks(tmp_path), num_classes=small.CLASSES)
    more: dict[str, Any] = {} if lane == "native" else {"passive": [0]}

    def made(field: Mask) -> DataLoader[Any]:
        return DataLoader(data, 2, policy="random_crop(24)", seed=1, fields={"mask": field}, **more)

    loader = made(Mask(255))
    assert loader.lane == lane
    next(iter(loader))
    made(Mask(255)).load_state_dict(loader.state_dict())
    with pytest.raises(StateError, match="data="):
        made(Mask(0)).load_state_dict(loader.state_dict())
