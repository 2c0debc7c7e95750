"""Chains of torchvision and Albumentations, image by image in a DataLoader's workers."""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from benchmarks import common, peer_torch
from benchmarks.chain import AREA, ASPECT, SIMCLR, Chain
from benchmarks.contest import Job, Passes
from benchmarks.data import Arrays, Photos

Transform = Callable[[Any], torch.Tensor]
Make = Callable[[Chain], Transform]
Read = Callable[[str], Any]
MIXED = "mixing for each sample, and soft labels, by PyTorch on the batch"
TORCHVISION = f"Cutout stays inside the image, and comes before mixing; {MIXED}"
ALBUMENTATIONS = f"resizes without antialiasing; noise by PyTorch; {TORCHVISION}"


def has(package: str) -> bool:
    """Return whether a peer is installed here."""
    return find_spec(package) is not None


def torchvision_chain(chain: Chain) -> Transform:
    """Return the part of the chain that is done to one image (PIL, or uint8 `[C, H, W]`)."""
    from torchvision.transforms import v2

    size = (chain.size, chain.size)
    parts: list[Any] = []
    if chain.padding is not None:
        parts.append(v2.RandomCrop(size, chain.padding if chain.crop else 0))
    elif chain.crop:
        parts.append(v2.RandomResizedCrop(size, AREA, ASPECT, antialias=True))
    else:
        parts.append(v2.Resize(size, antialias=True))
    parts += [v2.RandomHorizontalFlip(chain.flip)] if chain.flip else []
    parts += [v2.ColorJitter(*chain.jitter)] if any(chain.jitter) else []
    parts += _program(chain)
    parts += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    parts.append(v2.Normalize(list(chain.mean), list(chain.std)))
    if chain.cutout:
        area = (chain.cutout / chain.size) ** 2
        parts.append(v2.RandomErasing(1.0, (area, area), (1.0, 1.0), 0))
    if chain.erasing:
        parts.append(v2.RandomErasing(chain.erasing, (0.02, 0.33)))
    if chain.noise:
        parts.append(v2.GaussianNoise(0.0, chain.noise, clip=False))
    made: Transform = v2.Compose(parts)
    return made


def _program(chain: Chain) -> list[Any]:
    # What stands in augfeed's notation, in torchvision's classes, or timm's for timm's lines.
    from torchvision.transforms import v2

    line = chain.program
    if line == "trivial_augment_wide":
        return [v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)]
    if line.startswith("timm("):
        made: Any = import_module("timm.data.auto_augment").rand_augment_transform
        mean = tuple(round(255 * value) for value in chain.mean)
        bilinear = Image.Resampling.BILINEAR
        transform = made(line.split('"')[1], {"img_mean": mean, "interpolation": bilinear})
        keep_a_bit(transform)
        return [transform]
    if line == SIMCLR:
        jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8)
        blur = v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], 0.5)
        return [jitter, v2.RandomGrayscale(0.2), blur]
    if line:
        raise ValueError(f"{line!r} is not a program of torchvision's")
    return []


def keep_a_bit(transform: Any) -> None:
    """Let timm's RandAugment keep one bit at least, as augfeed does.

    At its highest level timm keeps none, which Pillow from 12 on refuses with an error.
    """
    for op in getattr(transform, "ops", ()):
        if op.name.startswith("Posterize"):
            op.aug_fn = _posterize


def _posterize(image: Any, bits: int, **_: Any) -> Any:
    return ImageOps.posterize(image, min(max(bits, 1), 8))


def albumentations_chain(chain: Chain) -> Transform:
    """Return the part of the chain that is done to one image, uint8 `[H, W, 3]`."""
    import albumentations as A

    size = (chain.size, chain.size)
    parts: list[Any] = [
        A.RandomResizedCrop(size, AREA, ASPECT) if chain.crop else A.Resize(*size),
        A.HorizontalFlip(p=chain.flip),
    ]
    if any(chain.jitter):
        low = [(1 - bound, 1 + bound) for bound in chain.jitter[:3]]
        parts.append(A.ColorJitter(*low, (-chain.jitter[3], chain.jitter[3]), p=1))
    parts.append(A.Normalize(chain.mean, chain.std))
    if chain.cutout:
        side = (chain.cutout, chain.cutout)
        parts.append(A.CoarseDropout((1, 1), side, side, fill=0, p=1))
    whole = A.Compose([*parts, A.ToTensorV2()], seed=None)

    def run(picture: Any) -> torch.Tensor:
        values: torch.Tensor = whole(image=picture)["image"]
        return values + chain.noise * torch.randn_like(values) if chain.noise else values

    return run


def with_pillow(path: str) -> Any:
    """Return an image as torchvision reads it."""
    with Image.open(path) as file:
        return file.convert("RGB")


def with_opencv(path: str) -> Any:
    """Return an image as Albumentations' documentation reads it."""
    import cv2

    return cv2.imread(path, cv2.IMREAD_COLOR_RGB)


class OneByOne(Dataset[Any]):
    """Files, or images in memory, after the part of a chain that is done to each."""

    def __init__(self, data: Any, chain: Chain, make: Make, read: Read) -> None:
        self.data, self.chain, self.make, self.read = data, chain, make, read
        self.transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        if self.transform is None:  # made in the worker: it may not travel
            self.transform = self.make(self.chain)
        if isinstance(self.data, Photos):
            return self.transform(self.read(self.data.paths[i])), self.data.labels[i]
        assert isinstance(self.data, Arrays)
        pixels, label = np.asarray(self.data.images[i]), int(self.data.labels[i])
        # What is faster for its transforms at this size: a tensor if gray, PIL in color.
        picture = torch.from_numpy(pixels)[None] if pixels.ndim == 2 else Image.fromarray(pixels)
        return self.transform(picture), label


def passes(job: Job[Any], make: Make, read: Read = with_pillow) -> Passes:
    """Return passes of a DataLoader whose workers do the chain but for mixing."""
    samples = OneByOne(job.data, job.chain, make, read)
    workers = common.workers_of(job)
    loader = DataLoader(samples, job.batch, shuffle=True, drop_last=True, **workers)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for images, labels in loader:
            softened = peer_torch.mix(images, labels, job.chain, job.classes)
            yield softened if job.chain.softens else (images, labels)

    return one_pass


def torchvision(job: Job[Any]) -> Passes:
    """Return the passes of torchvision's transforms v2."""
    return passes(job, torchvision_chain)


def albumentations(job: Job[Any]) -> Passes:
    """Return the passes of Albumentations on files."""
    return passes(job, albumentations_chain, with_opencv)
