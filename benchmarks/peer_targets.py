"""Targets as others move them, in DataLoader workers: torchvision, AlbumentationsX, OpenCV."""

import random
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from benchmarks.targets_data import Scenes

JITTER = 0.4
GRAY = 114


def has(name: str) -> bool:
    """Return whether a package is installed."""
    return find_spec(name) is not None


class TorchvisionMasks(Dataset[Any]):
    """Pillow and transforms v2 with tv_tensors, as torchvision's reference of segmentation."""

    def __init__(self, scenes: Scenes, size: int) -> None:
        from torchvision import tv_tensors
        from torchvision.transforms import v2

        self.scenes = scenes
        self.transform = v2.Compose([
            v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip(),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> Any:
        from torchvision import tv_tensors

        with Image.open(self.scenes.images[i]) as image, Image.open(self.scenes.masks[i]) as mask:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
            classes = torch.from_numpy(np.array(mask))
        moved, target = self.transform(tv_tensors.Image(pixels), tv_tensors.Mask(classes))
        return moved.as_subclass(torch.Tensor), target.as_subclass(torch.Tensor).long()


class AlbumentationsMasks(Dataset[Any]):
    """OpenCV and AlbumentationsX."""

    def __init__(self, scenes: Scenes, size: int) -> None:
        import albumentations as a

        self.scenes = scenes
        self.transform = a.Compose([
            a.RandomResizedCrop((size, size)), a.HorizontalFlip(),
            a.ColorJitter((1 - JITTER, 1 + JITTER), (1 - JITTER, 1 + JITTER),
                          (1 - JITTER, 1 + JITTER), (0.0, 0.0), p=1.0),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> Any:
        import cv2

        cv2.setNumThreads(1)
        image = cv2.imread(str(self.scenes.images[i]))[..., ::-1]
        mask = cv2.imread(str(self.scenes.masks[i]), cv2.IMREAD_GRAYSCALE)
        made = self.transform(image=np.ascontiguousarray(image), mask=mask)
        planes = torch.from_numpy(np.ascontiguousarray(made["image"].transpose(2, 0, 1)))
        return planes.float() / 255, torch.from_numpy(np.ascontiguousarray(made["mask"])).long()


class OpencvMosaics(Dataset[Any]):
    """A mosaic of four, scale and shift, flip: NumPy and OpenCV, as detection trainers have it."""

    def __init__(self, scenes: Scenes, size: int) -> None:
        self.scenes, self.size = scenes, size

    def __len__(self) -> int:
        return len(self.scenes)

    def _one(self, i: int) -> tuple[Any, Any]:
        import cv2

        image = cv2.imread(str(self.scenes.images[i]))[..., ::-1]
        share = min(self.size / image.shape[0], self.size / image.shape[1])
        size = int(image.shape[1] * share), int(image.shape[0] * share)
        return cv2.resize(image, size), self.scenes.boxes[i] * share

    def __getitem__(self, i: int) -> Any:
        import cv2

        cv2.setNumThreads(1)
        size = self.size
        canvas = np.full((2 * size, 2 * size, 3), GRAY, np.uint8)
        yc, xc = (int(random.uniform(0.5 * size, 1.5 * size)) for _ in range(2))
        found = []
        for k, j in enumerate((i, *(random.randrange(len(self)) for _ in range(3)))):
            image, boxes = self._one(j)
            high, wide = image.shape[:2]
            top, left = yc - high * (k < 2), xc - wide * (k % 2 == 0)
            y0, x0 = max(top, 0), max(left, 0)
            y1, x1 = min(top + high, 2 * size), min(left + wide, 2 * size)
            canvas[y0:y1, x0:x1] = image[y0 - top : y1 - top, x0 - left : x1 - left]
            found.append((boxes + np.array([left, top] * 2)).clip([x0, y0] * 2, [x1, y1] * 2))
        zoom = random.uniform(0.5, 1.5)
        shift = [(0.5 - zoom + random.uniform(-0.1, 0.1)) * size for _ in range(2)]
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        made = cv2.warpAffine(canvas, matrix, (size, size), borderValue=(GRAY,) * 3)
        moved = (np.concatenate(found) * zoom + np.array(shift * 2)).clip(0, size)
        moved = moved[((moved[:, 2:] - moved[:, :2]) > 1).all(axis=1)]
        if random.random() < 0.5:
            made, moved[:, [0, 2]] = made[:, ::-1], size - moved[:, [2, 0]]
        planes = torch.from_numpy(np.ascontiguousarray(made.transpose(2, 0, 1)))
        return planes.float() / 255, torch.from_numpy(moved)
