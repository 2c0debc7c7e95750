"""Data of the benchmark of targets, whose truth is known, and its gate: targets fit pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data import jpeg, make_photos
from benchmarks.gate import GateError

FITS = 0.9  # of the pixels, at least: borders are blended, and JPEG smears colors
IGNORED = 255
GREEN = np.array([50, 220, 60], np.uint8)


@dataclass(frozen=True)
class Scenes:
    """Photographs without green, on which green rectangles are painted: `images/`, `masks/` and
    `labels/` (YOLO's) in a folder, and boxes xyxy `[N, 4]` of each."""

    folder: Path
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    boxes: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        return len(self.images)


def make_scenes(folder: Path, count: int, objects: int = 6) -> Scenes:
    """Write photographs with objects, always the same ones."""
    photos = folder / "photos"
    given = {name: folder / name for name in ("images", "masks", "labels")}
    for one in (photos, *given.values()):
        one.mkdir()
    random, made = np.random.default_rng(20), []
    for i, path in enumerate(make_photos(photos, count, 1).paths):
        with Image.open(path) as file:
            pixels = np.array(file.convert("RGB"))
        pixels[..., 1] = (pixels[..., 0] * 0.8).astype(np.uint8)
        high, wide = pixels.shape[:2]
        mask, boxes = np.zeros((high, wide), np.uint8), []
        for _ in range(objects):
            h, w = (int(side) for side in random.integers(30, 120, 2))
            y, x = int(random.integers(high - h)), int(random.integers(wide - w))
            pixels[y : y + h, x : x + w] = GREEN
            mask[y : y + h, x : x + w] = 1
            boxes.append([x, y, x + w, y + h])
        image, target = given["images"] / f"{i:05}.jpg", given["masks"] / f"{i:05}.png"
        image.write_bytes(jpeg(pixels))
        Image.fromarray(mask).save(target)
        lines = [f"0 {(x0 + x1) / 2 / wide} {(y0 + y1) / 2 / high} {(x1 - x0) / wide} "
                 f"{(y1 - y0) / high}\n" for x0, y0, x1, y1 in boxes]  # fmt: skip
        (given["labels"] / f"{i:05}.txt").write_text("".join(lines))
        made.append((image, target, np.array(boxes, np.float32)))
    images, masks, boxed = zip(*made, strict=True)
    return Scenes(folder, images, masks, boxed)


def check_masks(name: str, batches: Iterator[Any], size: int) -> None:
    """Raise `GateError` unless masks are of the size of images, and fit their pixels."""
    fits, samples, shares = [], 0, []
    for images, masks in batches:
        _check_images(name, images, size)
        if tuple(masks.shape) != (len(images), size, size) or masks.is_floating_point():
            raise GateError([f"{name}: masks are {masks.dtype} {list(masks.shape)}"])
        seen, samples = masks != IGNORED, samples + len(images)
        fits.append(float(((masks == 1) == _green(images))[seen].float().mean()))
        shares += (masks == 1).flatten(1).float().mean(1).tolist()
    if min(fits) < FITS or len({round(share, 4) for share in shares}) < samples / 2:
        raise GateError([f"{name}: masks fit {min(fits):.1%} of the pixels, or do not vary"])


def check_boxes(name: str, batches: Iterator[Any], size: int) -> None:
    """Raise `GateError` unless boxes hold what is painted, and all of it."""
    inside, missed, counts = [], [], []
    for images, boxes in batches:
        _check_images(name, images, size)
        for image, rows in zip(_green(images), boxes, strict=True):
            held = torch.zeros_like(image)
            counts.append(len(rows))
            for x0, y0, x1, y1 in torch.as_tensor(rows).round().int().tolist():
                held[y0:y1, x0:x1] = True
            inside.append(float(image[held].float().mean()) if held.any() else 1.0)
            missed.append(float((image & ~held).float().sum() / image.sum().clamp(min=1)))
    found, lost, most = np.mean(inside), np.mean(missed), max(counts)
    if found < FITS or lost > 1 - FITS or most < 8:
        raise GateError([f"{name}: boxes hold {found:.1%} of objects, miss {lost:.1%} of them, "
                         f"{most} at most in an image"])  # fmt: skip


def _check_images(name: str, images: torch.Tensor, size: int) -> None:
    wanted = (len(images), 3, size, size)
    if tuple(images.shape) != wanted or images.dtype != torch.float32 or images.max() > 1:
        raise GateError([f"{name}: images are {images.dtype} {list(images.shape)}"])


def _green(images: torch.Tensor) -> torch.Tensor:
    # Jitter of brightness, contrast and saturation leaves the order of channels.
    return images[:, 1] > images[:, 0] + 0.02
