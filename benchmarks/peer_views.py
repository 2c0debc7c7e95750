"""Views of photos by augfeed and by others: torchvision's transforms v2, and lightly's, in workers.

A pass yields `(images, which)`: a tensor float32 `[views * B, 3, side, side]` for each name of
`NUMBERS`, view after view, and the positions of the photos, int64 `[B]`.
"""

import random
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from PIL import ImageFilter
from torch.utils.data import DataLoader, Dataset

import augfeed as ours
from augfeed.presets import IMAGENET_MEAN, IMAGENET_STD
from augfeed.read import FolderSource
from benchmarks.bench_photos import decoding as decoded
from benchmarks.contest import Job
from benchmarks.data import Photos
from benchmarks.peer_transforms import with_pillow

# Of each tensor: views, and the side of images.
NUMBERS = {"dino": {"global": (2, 224), "local": (8, 96)}, "simclr": {"global": (2, 224)}}
Batch = tuple[dict[str, torch.Tensor], torch.Tensor]
Passes = Callable[[], Iterator[Batch]]
Transform = Callable[[Any], list[torch.Tensor]]
SIGMAS = (0.1, 2.0)


def augfeed(name: str, job: Job[Photos], workers: dict[str, Any]) -> Passes:
    """Return the passes of a loader with a preset of views."""
    places = [f"photo {k}" for k in range(len(job.data))]
    source = FolderSource.of(zip(job.data.paths, range(len(places)), strict=True), places)
    loader = ours.DataLoader(source, job.batch, True, drop_last=True, seed=0, views=name,
                             num_workers=job.threads)  # fmt: skip

    def one_pass() -> Iterator[Batch]:
        for images, which in loader:
            yield (images if isinstance(images, dict) else {"global": images}), which

    return one_pass


def decoding(name: str, job: Job[Photos], workers: dict[str, Any]) -> Passes:
    """Return passes that decode whole photos and make nothing of them."""
    one = decoded(job)
    return lambda: (({}, torch.empty(len(shapes))) for shapes, _ in one())


def torchvision(name: str, job: Job[Photos], workers: dict[str, Any]) -> Passes:
    """Return the passes of torchvision's classes."""
    return _passes(_OneByOne(job.data, _Torchvision(name)), name, job.batch, workers)


def lightly(name: str, job: Job[Photos], workers: dict[str, Any]) -> Passes:
    """Return the passes of lightly's own transform of a recipe.

    Batches are torch's, as in lightly's examples of either recipe.
    """
    return _passes(_OneByOne(job.data, _Lightly(name)), name, job.batch, workers)


class _Lightly:
    # Made in the worker that uses it.

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: Any = None

    def __call__(self, image: Any) -> list[torch.Tensor]:
        self.made = self.made or self._make()
        views: list[torch.Tensor] = self.made(image)
        return views

    def _make(self) -> Any:
        transforms = import_module("lightly.transforms")
        if self.name == "simclr":
            return transforms.SimCLRTransform(input_size=224)
        return transforms.DINOTransform(n_local_views=8)


class _Torchvision:
    def __init__(self, name: str) -> None:
        self.name, self.made = name, list[Any]()

    def __call__(self, image: Any) -> list[torch.Tensor]:
        self.made = self.made or self._make()
        return [transform(image) for transform in self.made]

    def _make(self) -> list[Any]:
        if self.name == "simclr":
            from torchvision.transforms import v2

            return [_transform(224, (0.08, 1.0), (0.8, 0.8, 0.8, 0.2), 0.5,
                               v2.GaussianBlur(23, SIGMAS))] * 2  # fmt: skip
        weak, blur = (0.4, 0.4, 0.2, 0.1), _PillowBlur()
        return [
            _transform(224, (0.4, 1.0), weak, 1.0, blur),
            _transform(224, (0.4, 1.0), weak, 0.1, blur, solarize=0.2),
            *[_transform(96, (0.05, 0.4), weak, 0.5, blur)] * 8,
        ]


class _PillowBlur(torch.nn.Module):
    # As DINO's own script has it: https://github.com/facebookresearch/dino/blob/main/utils.py

    def forward(self, image: Any) -> Any:
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*SIGMAS)))


def _transform(
    size: int, scale: tuple[float, float], jitter: tuple[float, float, float, float],
    blurred: float, blur: torch.nn.Module, *, solarize: float = 0.0,
) -> Any:  # fmt: skip
    from torchvision.transforms import v2

    cubic = v2.InterpolationMode.BICUBIC
    parts: list[Any] = [
        v2.RandomResizedCrop(size, scale=scale, interpolation=cubic), v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(*jitter)], p=0.8), v2.RandomGrayscale(0.2),
        v2.RandomApply([blur], p=blurred),
    ]  # fmt: skip
    parts += [v2.RandomSolarize(128, p=solarize)] if solarize else []
    parts += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
              v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD))]  # fmt: skip
    return v2.Compose(parts)


class _OneByOne(Dataset[tuple[list[torch.Tensor], int]]):
    def __init__(self, photos: Photos, transform: Transform) -> None:
        self.photos, self.transform = photos, transform

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, k: int) -> tuple[list[torch.Tensor], int]:
        return self.transform(with_pillow(self.photos.paths[k])), k


def _passes(samples: _OneByOne, name: str, batch: int, workers: dict[str, Any]) -> Passes:
    loader: DataLoader[Any] = DataLoader(samples, batch, shuffle=True, drop_last=True, **workers)

    def one_pass() -> Iterator[Batch]:
        for views, which in loader:
            made, first = {}, 0
            for tensor, (count, _) in NUMBERS[name].items():
                made[tensor] = torch.cat(views[first : first + count])
                first += count
            yield made, which

    return one_pass
