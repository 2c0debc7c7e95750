"""Datasets that the library reads itself, whose images show several samples: without workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.datasets import CocoDetection, MaskFolder, YOLODetection
from augfeed.errors import InputError, PolicyError, ReadError
from augfeed.fields import Boxes, MixedMask
from augfeed.read.image_frame import Encoded
from tests.augfeed.datasets import small
from tests.augfeed.wire.test_fields import check_same

COUNT = 22
STILL = 'letterbox(40, fill=0.0) | resize(96, interpolation="nearest") | '
SCENES = ["mosaic", "mosaic(0.7, zoom=(0.5, 1.5), shift=0.1)", "copy_paste(1.0, 0.7)",
          "mosaic(0.5) | copy_paste(0.7)"]  # fmt: skip
MOVES = ["", " | hflip(p=1.0)", ' | rotate(30, p=1.0, interpolation="nearest")',
         ' | scale((0.6, 1.5), p=1.0, interpolation="nearest") | border("reflect")']  # fmt: skip
FILL = round(114 / 255 * 255)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "COUNT", COUNT)
        folder = tmp_path_factory.mktemp("coco")
        return CocoDetection(*small.coco(folder), masks=True)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> MaskFolder:
    """Return images of sizes of their own, each pixel a number of its own place, as its mask."""
    folder = tmp_path_factory.mktemp("places")
    for i in range(COUNT):
        high, wide = 20 + 5 * i % 23, 44 - 7 * i % 19
        y, x = np.mgrid[:high, :wide]
        numbers = ((y * 37 + x * 11 + i * 5) % 110).astype(np.uint8)
        small.save(np.repeat(numbers[..., None], 3, axis=2), folder / "images" / f"{i:02}.png")
        small.save(numbers, folder / "masks" / f"{i:02}.png")
    return MaskFolder(folder)


def rows(loader: Any) -> list[tuple[torch.Tensor, Any]]:
    """Return the samples of an epoch one by one."""

    def row(part: Any, k: int) -> Any:
        if isinstance(part, dict):
            return {name: row(value, k) for name, value in part.items()}
        if isinstance(part, MixedMask):
            return tuple(value[k] for value in part)
        return part[k]

    return [(images[k], row(target, k)) for images, target in loader for k in range(len(images))]


def loaded(data: Any, policy: str, batch_size: int = 16, **options: Any) -> Any:
    loader = DataLoader(data, batch_size, policy=policy, seed=3, dtype=torch.uint8, **options)
    assert loader.lane == "native"
    return loader


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("scene", SCENES)
def test_masks_and_boxes_show_what_the_pixels_show(coco: Any, scene: str, move: str) -> None:
    fields = {"boxes": Boxes(min_side=0, from_masks=True)}
    seen = 0
    for image, target in rows(loaded(coco, STILL + scene + move, fields=fields)):
        shown = image[0].numpy()
        covered = np.zeros_like(shown, dtype=bool)
        for box, mask, label in zip(*map(target.get, ("boxes", "masks", "labels")), strict=True):
            mask = mask.numpy() > 0
            assert (shown[mask] == small.LEVEL * int(label)).all() and mask.any()
            ys, xs = np.where(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            covered |= mask
            seen += 1
        assert (covered == ~np.isin(shown, (0, FILL))).all(), "every object that is seen has a mask"
    assert seen > COUNT / 2


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("scene", ["mosaic", "mosaic(0.7, zoom=(0.5, 1.5), shift=0.1)",
                                   "mosaic(0.5) | cutmix(1.0, p=0.6)"])  # fmt: skip
def test_a_mask_agrees_with_its_image_at_every_pixel(
    places: MaskFolder, scene: str, move: str
) -> None:
    for image, mask in rows(loaded(places, STILL + scene + move)):
        inside = mask != 255
        assert torch.equal(image[0][inside].long(), mask[inside]) and inside.any()
        assert set(image[0][~inside].tolist()) <= {0, FILL}


POLICIES = ["letterbox(32) | mosaic(0.7, zoom=(0.5, 1.5)) | copy_paste(0.7) | hflip | "
            "mixup(1.0, p=0.5)", "letterbox(32) | copy_paste(0.8) | cutmix(1.0, p=0.5)",
            "random_iou_crop(32) | mosaic(0.5)",
            "letterbox(32) | mosaic(zoom=(0.05, 0.1), shift=1.0)"]  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
def test_scenes_do_not_depend_on_how_batches_are_made(coco: Any, policy: str) -> None:
    wanted = rows(loaded(coco, policy, 32))
    assert len(wanted) == COUNT
    for options in ({"batch_size": 5, "num_workers": 3}, {"batch_size": 8}, {"engine": "portable"}):
        found = rows(loaded(coco, policy, **options))
        assert len(found) == COUNT
        for (image, target), (other, given) in zip(wanted, found, strict=True):
            if "engine" in options:
                assert (image.int() - other.int()).abs().max() <= 1
            else:
                assert torch.equal(image, other)
            check_same(target, given)
    general = DataLoader(coco, 6, policy=policy, seed=3, dtype=torch.uint8, passive=["image_id"])
    assert general.lane == "general"
    for one, whole in zip(wanted, rows(general), strict=True):
        check_same(one, whole)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_batches_of_one(coco: Any, world: int) -> None:
    policy = POLICIES[0]
    wanted = rows(loaded(coco, policy, 6))
    found: list[Any] = [None] * COUNT
    for rank in range(world):
        given = rows(loaded(coco, policy, 6 // world, shard=(rank, world), drop_last=True))
        for k, one in enumerate(given):
            step, place = divmod(k, 6 // world)
            found[step * 6 + rank * (6 // world) + place] = one
    for one, other in zip(wanted, found, strict=True):
        if other is not None:
            check_same(one, other)


def test_every_image_is_decoded_once(
    coco: Any, places: MaskFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    plain = Encoded.decoded

    def whole(self: Encoded) -> Any:
        decoded.append(self.name)
        return plain(self)

    monkeypatch.setattr(Encoded, "decoded", whole)
    for data, policy in ((coco, "mosaic | copy_paste(1.0)"), (places, "mosaic(0.5)")):
        decoded.clear()
        list(loaded(data, f"letterbox(32) | {policy}", 24))
        assert sorted(decoded) == sorted(data.path(i) for i in range(COUNT))


@pytest.mark.parametrize("name", ["mosaic(until=2)", "copy_paste(1.0, 1.0, until=2)"])
def test_until_ends_with_its_epoch(coco: Any, name: str) -> None:
    plain, loader = loaded(coco, "letterbox(32)"), loaded(coco, f"letterbox(32) | {name}")
    for epoch, ended in ((1, False), (2, True), (3, True)):
        plain.set_epoch(epoch)
        loader.set_epoch(epoch)
        same = [torch.equal(one[0], other[0]) for one, other in zip(plain, loader, strict=True)]
        assert all(same) == ended


def photos(root: Path) -> YOLODetection:
    """Return JPEGs of several times the size of a frame, in files and in boxes of YOLO."""
    rng = np.random.default_rng(0)
    (root / "labels" / "train").mkdir(parents=True)
    for i in range(10):
        pixels = rng.integers(0, 255, (12, 15, 3)).astype(np.uint8)
        image = Image.fromarray(pixels).resize((300 + 40 * i, 260), Image.Resampling.BICUBIC)
        path = root / "images" / "train" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)
        (root / "labels" / "train" / f"{i}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    return YOLODetection(root, classes=["a"])


def test_photos_of_several_times_the_size_come_alike_in_every_batch(tmp_path: Path) -> None:
    data = photos(tmp_path)
    policy = "letterbox(64) | mosaic(0.7, zoom=(0.4, 1.5))"
    wanted = rows(loaded(data, policy, 10))
    for size in (1, 3, 8):
        for alone, other in zip(wanted, rows(loaded(data, policy, size)), strict=True):
            check_same(alone, other)
    general = DataLoader(data, 5, policy=policy, seed=3, dtype=torch.uint8, passive=["image_id"])
    for (image, target), (whole, given) in zip(wanted, rows(general), strict=True):
        check_same(target, given)
        assert (image.float() - whole.float()).abs().mean() < 5  # decoded at a half, or less


def test_what_cannot_be_read_is_replaced_in_every_frame_that_shows_it(tmp_path: Path) -> None:
    data = photos(tmp_path)
    (tmp_path / "images" / "train" / "3.jpg").write_bytes(b"\xff\xd8 not an image")
    cut = (tmp_path / "images" / "train" / "5.jpg").read_bytes()
    (tmp_path / "images" / "train" / "5.jpg").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "labels" / "train" / "6.txt").write_text("0 7 0.5 0.4 0.4\n")
    policy = "letterbox(64) | mosaic"
    with pytest.raises(ReadError, match=r"3\.jpg"):
        list(loaded(data, policy, 10))
    loaders = [loaded(data, policy, size, on_error="replace") for size in (10, 3)]
    for one, other in zip(*map(rows, loaders), strict=True):
        check_same(one, other)
    assert [item.sample for item in loaders[0].unread] == [3, 5, 6]
    left = rows(loaded(data, policy, 10, on_error="skip"))
    assert [int(target["image_id"]) for _, target in left] == [0, 1, 2, 4, 7, 8, 9]


def test_a_cache_is_shared_by_all_frames(tmp_path: Path) -> None:
    data = photos(tmp_path)
    loader = loaded(data, "letterbox(64) | mosaic(0.5)", cache="ram", shuffle=True)
    for _ in range(2):
        for images, target in loader:
            assert len(images) == len(target["boxes"])


def test_a_path_is_enough(tmp_path: Path) -> None:
    photos(tmp_path)
    images, target = next(iter(DataLoader(str(tmp_path), 4, policy="letterbox(32) | mosaic")))
    assert images.shape == (4, 3, 32, 32) and len(target["boxes"]) == 4


def test_what_a_sample_lacks_is_named_when_the_loader_is_built(places: MaskFolder) -> None:
    with pytest.raises(InputError, match="in one image, and a sample has no boxes"):
        DataLoader(places, 4, policy="letterbox(32) | copy_paste")
    with pytest.raises(InputError, match="'random_iou_crop' is drawn by the boxes"):
        DataLoader(places, 4, policy="random_iou_crop(32)")
    with pytest.raises(PolicyError, match="'mosaic' needs the boxes or masks"):
        DataLoader([places.path(0)], 4, policy="letterbox(32) | mosaic")


def test_copy_paste_without_masks_of_objects_is_refused_when_the_loader_is_built(
    tmp_path: Path,
) -> None:
    data = photos(tmp_path)
    with pytest.raises(InputError, match="without a mask of each"):
        DataLoader(data, 4, policy="letterbox(32) | copy_paste")
