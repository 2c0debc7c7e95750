"""Loaders in plain PyTorch for small images on the device: flip, padded crop, Cutout, normalized.

Every parameter is drawn again for each image in each epoch; the images are normalized once,
when a loader is made, as far as they stay on the device.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

PADDING = 4  # mirrored without the border pixel, as `reflect` does everywhere
HOLE = 8  # side of Cutout's square
Pair = tuple[torch.Tensor, torch.Tensor]
# Called for each epoch; yields images `[B, 3, S, S]` and labels `[B]` on the device.
Epoch = Callable[[], Iterator[Pair]]


@dataclass(frozen=True)
class Job:
    """The data in CPU memory and what is asked for.

    `images` uint8 `[N, C, S, S]`, `labels` int64 `[N]`. `workers` are augfeed's threads,
    `processes` the workers of torch's DataLoader.
    """

    images: torch.Tensor
    labels: torch.Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch: int
    device: torch.device
    dtype: torch.dtype
    workers: int
    processes: int
    engine: str = "auto"  # of augfeed

    @property
    def side(self) -> int:
        """The side of the images."""
        return self.images.shape[-1]

    @property
    def steps(self) -> int:
        """The number of batches of an epoch: whole ones."""
        return len(self.images) // self.batch


class Masked:
    """The loader of airbench (Keller Jordan), written again from its description.

    The dataset lies on the device as normalized values, padded once. At the start of an epoch
    all of it is shifted, mirrored and cut out with operations on the whole; batches are then
    taken by a permutation drawn on the device. As published, but for two things: the flip is
    drawn for each image in each epoch (there: also by turns), and Cutout's center is anywhere
    (there: the square stays inside).
    """

    def __init__(self, job: Job) -> None:
        self.padded = normalised(reflected(job.images.to(job.device)), job)
        self.labels, self.job = job.labels.to(job.device), job

    def __call__(self) -> Iterator[Pair]:
        images = self._augmented()
        order = torch.randperm(len(images), device=self.job.device)
        for which in order[: self.job.steps * self.job.batch].view(-1, self.job.batch):
            yield images[which], self.labels[which]

    def _augmented(self) -> torch.Tensor:
        count, device = len(self.padded), self.job.device
        images = _shifted(self.padded, self.job.side)
        mirrored = torch.rand(count, device=device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return images.masked_fill(holes(count, self.job.side, device), 0)


def _shifted(padded: torch.Tensor, side: int) -> torch.Tensor:
    # One stage for the rows, one for the columns, and in each of them a copy for every shift.
    # Indexing with a mask must know how many images it finds, so the host waits for the device
    # each time; the published loader does the same.
    count, channels = padded.shape[:2]
    shifts = torch.randint(0, 2 * PADDING + 1, (2, count), device=padded.device)
    across = padded.new_empty(count, channels, side, padded.shape[3])
    images = padded.new_empty(count, channels, side, side)
    for shift in range(2 * PADDING + 1):
        which = shifts[0] == shift
        across[which] = padded[which, :, shift : shift + side]
    for shift in range(2 * PADDING + 1):
        which = shifts[1] == shift
        images[which] = across[which, :, :, shift : shift + side]
    return images


class Gathered:
    """What batched operations can do without ever waiting for the device.

    All windows of the padded images, mirrored or not, are a view with strides of their own; one
    gather from it does the permutation, the flip and the crop. Its three indices have one number
    an image each, so that no index is written out for every pixel. `whole`: the gather makes a
    whole epoch at once, and batches are slices of it, at the price of memory for all of them.
    """

    def __init__(self, job: Job, *, whole: bool) -> None:
        padded = normalised(reflected(job.images.to(job.device)), job)
        both = torch.cat([padded, padded.flip(3)])
        windows = both.unfold(2, job.side, 1).unfold(3, job.side, 1)
        self.windows = windows.permute(0, 2, 3, 1, 4, 5)  # [2N, shifts, shifts, C, S, S]
        self.labels, self.job, self.whole = job.labels.to(job.device), job, whole

    def __call__(self) -> Iterator[Pair]:
        job, device, total = self.job, self.job.device, len(self.labels)
        count = job.steps * job.batch
        order = torch.randperm(total, device=device)[:count]
        labels = self.labels[order]
        rows = order + total * torch.randint(0, 2, (count,), device=device)
        shifts = torch.randint(0, 2 * PADDING + 1, (2, count), device=device)
        hidden = holes(count, job.side, device)
        chunk = count if self.whole else job.batch
        for first in range(0, count, chunk):
            part = slice(first, first + chunk)
            images = self.windows[rows[part], shifts[0, part], shifts[1, part]]
            images.masked_fill_(hidden[part], 0)
            yield from zip(
                *(torch.split(item, job.batch) for item in (images, labels[part])), strict=True
            )


def holes(count: int, side: int, device: torch.device) -> torch.Tensor:
    """Return where Cutout hides, bool `[N, 1, S, S]`: center anywhere, cut off at the border."""
    first = torch.randint(0, side, (2, count, 1), device=device) - HOLE // 2
    along = torch.arange(side, device=device)
    inside = (along >= first) & (along < first + HOLE)
    return (inside[0, :, :, None] & inside[1, :, None, :])[:, None]


def reflected(images: torch.Tensor) -> torch.Tensor:
    """Return images padded by mirroring, of any element type."""
    side = images.shape[-1]
    along = torch.arange(-PADDING, side + PADDING, device=images.device).abs()
    along = torch.where(along < side, along, 2 * (side - 1) - along)
    return images[:, :, along][:, :, :, along]


def normalised(images: torch.Tensor, job: Job) -> torch.Tensor:
    """Return uint8 images `[N, C, H, W]` as normalized values of the asked type."""
    # In parts, as float32 is twice or four times the size of what stays.
    parts = [_normalised(part, job) for part in torch.split(images, 4096)]
    return torch.cat(parts)


def _normalised(images: torch.Tensor, job: Job) -> torch.Tensor:
    mean, std = (_column(values, images.device) for values in (job.mean, job.std))
    return images.float().div_(255).sub_(mean).div_(std).to(job.dtype)


def _column(values: tuple[float, ...], device: torch.device | str) -> torch.Tensor:
    return torch.tensor(values, device=device)[:, None, None]


class Pictures(Dataset[Any]):
    """Images in CPU memory with the transforms of each sample, as torch's loader wants them."""

    def __init__(self, job: Job) -> None:
        # Copies: on the way to workers torch moves a tensor's memory, and arrays that shared it
        # are left with memory that is free.
        self.images, self.labels, self.dtype = job.images.clone(), job.labels.clone(), job.dtype
        self.mean, self.std = (_column(values, "cpu") for values in (job.mean, job.std))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.images[i].float().div_(255).sub_(self.mean).div_(self.std)
        side = image.shape[-1]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        top, left = torch.randint(0, 2 * PADDING + 1, (2,)).tolist()
        image = F.pad(image, (PADDING,) * 4, mode="reflect")
        image = image[:, top : top + side, left : left + side].to(self.dtype, copy=True)
        y, x = (torch.randint(0, side, (2,)) - HOLE // 2).tolist()
        image[:, max(y, 0) : y + HOLE, max(x, 0) : x + HOLE] = 0
        return image.contiguous(), self.labels[i]


def workers(job: Job) -> Epoch:
    """Return epochs of torch's DataLoader, whose workers live for all of them."""
    pictures = Pictures(job)
    on_gpu = job.device.type == "cuda"
    several: dict[str, Any] = {}
    if job.processes:
        # Not "fork": threads of this process are running, and CUDA is in use.
        several = {"persistent_workers": True, "multiprocessing_context": "forkserver"}
    loader = DataLoader(
        pictures, job.batch, shuffle=True,
        num_workers=job.processes, pin_memory=on_gpu, drop_last=True, **several,
    )  # fmt: skip

    def epoch() -> Iterator[Pair]:
        for images, labels in loader:
            yield (
                images.to(job.device, non_blocking=True),
                labels.to(job.device, non_blocking=True),
            )

    return epoch
