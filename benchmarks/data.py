"""Data of the benchmarks: arrays and photographs, given or made, and torch datasets of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from augfeed.read import ArraySource, FolderSource, open_source
from benchmarks.chain import AREA, ASPECT, Chain

CLASSES = 10  # of the arrays that are made
SMALL_SIDE = 32  # of the images that stay on a device
PHOTO_SIZE = (500, 375)  # width, height
LARGE = 2000  # pixels of the longer side of photographs that are enlarged
QUALITY = 90
FILES = 256


@dataclass(frozen=True)
class Arrays:
    """Images uint8 `[N, H, W]`, or `[N, H, W, 3]`, in memory, with class numbers int64 `[N]`."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: int

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Photos:
    """Files, with their class numbers."""

    name: str
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: int

    def __len__(self) -> int:
        return len(self.paths)

    def source(self) -> FolderSource:
        """Return the same files as augfeed reads them."""
        names = [f"class {k}" for k in range(self.classes)]
        return FolderSource.of(zip(self.paths, self.labels, strict=True), names)


def spread(total: int, wanted: int, batch: int) -> NDArray[np.int64]:
    """Return indices of whole batches, `wanted` at most: evenly spread over `total`, or repeated.

    Repeated, so that few files still make a pass of many batches.
    """
    count = wanted // batch * batch
    if not count:
        raise SystemExit(
            f"{wanted} samples are not a batch of {batch}: give more, or a smaller one"
        )
    every = np.arange(count, dtype=np.int64)
    return every % total if count > total else every * total // count


def read_arrays(folder: Path, wanted: int, batch: int) -> Arrays:
    """Return the training images of a folder of idx files."""
    source = open_source(folder)
    if not isinstance(source, ArraySource) or source.labels is None or source.channels != 1:
        raise SystemExit(f"{folder.name} is not a folder of idx files with labels")
    which = spread(len(source), min(wanted, len(source)), batch)
    labels = source.labels.astype(np.int64)[which]
    return Arrays(folder.name, source.images[which, ..., 0], labels, int(source.labels.max()) + 1)


def make_arrays(wanted: int, batch: int, side: int = 28, channels: int = 1) -> Arrays:
    """Return smooth random images, always the same."""
    count = len(spread(wanted, wanted, batch))
    random = torch.Generator().manual_seed(20)
    coarse = torch.rand(count, channels, 5, 5, generator=random)
    smooth = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    planes = smooth.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    images = planes[:, 0] if channels == 1 else planes.permute(0, 2, 3, 1).contiguous()
    labels = torch.randint(CLASSES, (count,), generator=random).numpy()
    name = f"smooth random images, {side} x {side}" + (" x 3" if channels == 3 else "")
    return Arrays(name, images.numpy(), labels, CLASSES)


def make_pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return smooth random images uint8 `[N, 3, 32, 32]` and labels, always the same."""
    random = torch.Generator().manual_seed(20)
    coarse = torch.rand(count, 3, 6, 6, generator=random)
    parts = [
        F.interpolate(part, (SMALL_SIDE, SMALL_SIDE), mode="bilinear")
        .mul_(255)
        .round_()
        .to(torch.uint8)
        for part in torch.split(coarse, 4096)
    ]
    return torch.cat(parts), torch.randint(CLASSES, (count,), generator=random)


def read_pictures(path: Path, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first images of an .npz file, or a folder of idx files, that augfeed reads."""
    source = open_source(path)
    if not isinstance(source, ArraySource) or source.labels is None:
        raise SystemExit(f"{path.name} holds no array of images with labels")
    images, labels = source.images[:count], source.labels[:count]
    if images.dtype != np.uint8 or images.shape[1] != images.shape[2] or labels.ndim != 1:
        raise SystemExit(f"{path.name}: uint8 images as high as wide, and class numbers, please")
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return tensor, torch.from_numpy(labels.astype(np.int64))


def read_photos(folder: Path, wanted: int, batch: int) -> Photos:
    """Return the files of an image folder."""
    source = open_source(folder)
    if not isinstance(source, FolderSource) or source.labels is None:
        raise SystemExit(f"{folder.name} is not a folder with a folder of images for every class")
    which = spread(len(source), wanted, batch).tolist()
    paths = tuple(source.path(i) for i in which)
    labels = tuple(int(source.labels[i]) for i in which)
    name = f"{folder.name}, {len(source)} files"
    return Photos(name, paths, labels, int(source.labels.max()) + 1)


def make_photos(folder: Path, wanted: int, batch: int) -> Photos:
    """Write crops of scikit-learn's two sample images as JPEG files, always the same ones."""
    from sklearn.datasets import load_sample_images

    pictures = load_sample_images().images
    random = np.random.default_rng(20)
    width, height = PHOTO_SIZE
    for i in range(FILES):
        picture = pictures[i % len(pictures)]
        top = random.integers(picture.shape[0] - height + 1)
        left = random.integers(picture.shape[1] - width + 1)
        path = folder / str(i % len(pictures)) / f"{i:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(picture[top : top + height, left : left + width]))
    made = read_photos(folder, wanted, batch)
    name = f"{FILES} crops of two photographs, {width} x {height}, JPEG quality {QUALITY}"
    return replace(made, name=name)


def enlarged(photos: Photos, folder: Path) -> Photos:
    """Write the photographs again, their longer side `LARGE` pixels, and return those."""
    made: dict[str, str] = {}
    for path in dict.fromkeys(photos.paths):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        share = LARGE / max(picture.size)
        size = (round(picture.width * share), round(picture.height * share))
        made[path] = str(folder / f"large-{len(made):05}.jpg")
        large = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
        Path(made[path]).write_bytes(jpeg(large))
    paths = tuple(made[path] for path in photos.paths)
    return replace(photos, name=f"{photos.name}, enlarged to {LARGE:,} pixels", paths=paths)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image `[h, w, 3]` as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


class ArrayBatches(torch.utils.data.Dataset[Any]):
    """A dataset whose items are whole batches of arrays, made by `augment`."""

    def __init__(self, data: Arrays, augment: Any) -> None:
        images = torch.from_numpy(data.images)
        # Planes, before the clock starts: what peers work on.
        self.images = images[:, None] if images.ndim == 3 else images.movedim(3, 1).contiguous()
        self.labels = torch.from_numpy(data.labels)
        self.augment = augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Sequence[int]) -> Any:
        places = torch.as_tensor(which)
        return self.augment(self.images[places], self.labels[places])


class CutPhotos(torch.utils.data.Dataset[Any]):
    """Files decoded, cut, resized and flipped one by one with Pillow: uint8 `[3, S, S]`, label."""

    def __init__(self, data: Photos, chain: Chain) -> None:
        self.data, self.chain = data, chain

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        size = self.chain.size
        with Image.open(self.data.paths[i]) as file:
            picture = file.convert("RGB")
        box = resized_crop(*picture.size) if self.chain.crop else None
        picture = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
        if torch.rand(()) < self.chain.flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return pixels, self.data.labels[i]


def resized_crop(width: int, height: int) -> tuple[int, int, int, int]:
    """Return a random window (left, top, right, bottom) of an image."""
    # As torchvision: ten tries, then the largest window in the middle.
    low, high = ASPECT
    for _ in range(10):
        area = width * height * float(torch.empty(()).uniform_(*AREA))
        ratio = float(torch.empty(()).uniform_(np.log(low), np.log(high)).exp())
        wide, tall = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < wide <= width and 0 < tall <= height:
            left = int(torch.randint(width - wide + 1, ()))
            top = int(torch.randint(height - tall + 1, ()))
            return left, top, left + wide, top + tall
    wide = min(width, round(height * high))
    tall = min(height, round(width / low))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall
