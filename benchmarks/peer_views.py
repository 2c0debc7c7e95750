"""Views of SimCLR and DINO by others: torchvision's transforms v2, and lightly's, in workers."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from augfeed.presets import IMAGENET_MEAN, IMAGENET_STD
from benchmarks.contest import Job
from benchmarks.data import Photos
from benchmarks.peer_transforms import with_pillow

# Of each tensor: views, and the side of images.
NUMBERS = {"dino": {"global": (2, 224), "local": (8, 96)}, "simclr": {"global": (2, 224)}}
TORCHVISION = "torchvision's transforms v2 in DataLoader workers, as DINO's own script has them"
LIGHTLY = "lightly's transforms in DataLoader workers"
Passes = Callable[[], Iterator[dict[str, torch.Tensor]]]
Transform = Callable[[Any], list[torch.Tensor]]
TAPS = 13  # of DINO's blur, which is Pillow's by radius


def torchvision(name: str, job: Job[Photos], workers: dict[str, Any]) -> Passes:
    """Return the passes of torchvision's classes."""
    return _passes(_OneByOne(job.data, _Torchvision(name)), name, job.batch, workers)


def lightly(name: str, job: Job[Photos], workers: dict[str, Any]) -> Passes:
    """Return the passes of lightly's own transform of a recipe."""
    return _passes(_OneByOne(job.data, _Lightly(name)), name, job.batch, workers)


class _Lightly:
    # Made in the worker that uses it.

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: Any = None

    def __call__(self, picture: Any) -> list[torch.Tensor]:
        if self.made is None:
            transforms = import_module("lightly.transforms")
            kinds = {
                "dino": lambda: transforms.DINOTransform(n_local_views=8),
                "simclr": lambda: transforms.SimCLRTransform(input_size=224),
            }
            self.made = kinds[self.name]()
        views: list[torch.Tensor] = self.made(picture)
        return views


class _Torchvision:
    def __init__(self, name: str) -> None:
        self.name, self.made = name, list[Any]()

    def __call__(self, picture: Any) -> list[torch.Tensor]:
        self.made = self.made or self._make()
        return [transform(picture) for transform in self.made]

    def _make(self) -> list[Any]:
        if self.name == "simclr":
            return [_transform(224, (0.08, 1.0), (0.8, 0.8, 0.8, 0.2), (23, 0.5))] * 2
        weak = (0.4, 0.4, 0.2, 0.1)
        return [
            _transform(224, (0.4, 1.0), weak, (TAPS, 1.0)),
            _transform(224, (0.4, 1.0), weak, (TAPS, 0.1), solarize=0.2),
            *[_transform(96, (0.05, 0.4), weak, (TAPS, 0.5))] * 8,
        ]


def _transform(
    size: int, scale: tuple[float, float], jitter: tuple[float, float, float, float],
    blur: tuple[int, float], *, solarize: float = 0.0,
) -> Any:  # fmt: skip
    from torchvision.transforms import v2

    cubic = v2.InterpolationMode.BICUBIC
    parts: list[Any] = [
        v2.RandomResizedCrop(size, scale=scale, interpolation=cubic), v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(*jitter)], p=0.8), v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(blur[0], (0.1, 2.0))], p=blur[1]),
    ]  # fmt: skip
    parts += [v2.RandomSolarize(128, p=solarize)] if solarize else []
    parts += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
              v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD))]  # fmt: skip
    return v2.Compose(parts)


class _OneByOne(Dataset[list[torch.Tensor]]):
    def __init__(self, photos: Photos, transform: Transform) -> None:
        self.photos, self.transform = photos, transform

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, k: int) -> list[torch.Tensor]:
        return self.transform(with_pillow(self.photos.paths[k]))


def _passes(samples: _OneByOne, name: str, batch: int, workers: dict[str, Any]) -> Passes:
    loader: DataLoader[Any] = DataLoader(samples, batch, shuffle=True, drop_last=True, **workers)

    def one_pass() -> Iterator[dict[str, torch.Tensor]]:
        for views in loader:
            made, first = {}, 0
            for tensor, (count, _) in NUMBERS[name].items():
                made[tensor] = torch.cat(views[first : first + count])
                first += count
            yield made

    return one_pass
