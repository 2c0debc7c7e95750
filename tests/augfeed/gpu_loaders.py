"""What loaders do on an NVIDIA GPU, as plain functions: memory, streams, the service as source."""

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.engines import engine_for
from tests.cases import CASES, USUAL, Shape, assert_agree, make_images, plan_of, policy_of

DEVICE = os.environ.get("AUGFEED_CHECKS_ON", "cuda")
REAL = DEVICE == "cuda"
# Rehearsed with the engine that takes the same way: through the driver for devices.
ENGINE: dict[str, Any] = {"device": DEVICE, "engine": "cuda" if REAL else "portable"}
BUSY = 2048 if REAL else 32  # rows of the matrices of a training step
COUNT = 2000 if REAL else 200
EPOCHS = 50 if REAL else 3
GROWTH = 1 << 20  # bytes that may be held more after all those epochs
POLICY = (
    "random_crop(32, padding=4, mode='reflect') | hflip | color_jitter(0.4, contrast=0.4) "
    "| one_of([mixup(0.2), cutmix(1.0)]) | cutout(8) | normalize(0.5, 0.25) | gaussian_noise(0.05)"
)
SERVED = "hflip | one_of([mixup(1.0), cutmix]) | label_smoothing(0.1)"


class Samples(Dataset[Any]):
    """Images as tensors, made again: a dataset of the general lane."""

    def __len__(self) -> int:
        return COUNT // 4

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(i)
        return torch.randint(0, 256, (3, 32, 32), generator=generator).byte(), i % 10


def loaders() -> Iterator[tuple[str, DataLoader[Any]]]:
    """Yield a loader for each way to a GPU."""
    images = make_images(Shape(3, 32, 32, COUNT)).numpy()
    arrays = images, np.arange(len(images)) % 10
    options: dict[str, Any] = {
        "policy": POLICY, "seed": 1, "dtype": torch.bfloat16, "num_classes": 10, **ENGINE,
    }  # fmt: skip
    for workers in (0, 2):
        for resident in (True, False):
            name = f"{'resident' if resident else 'frames'}, {workers} threads"
            yield name, DataLoader(arrays, 96, True, num_workers=workers, resident=resident,
                                   **options)  # fmt: skip
    yield "sparse", DataLoader(arrays, 96, True, targets="sparse", **options)
    yield "general", DataLoader(Samples(), 64, True, num_workers=2, pin_memory=REAL,
                                multiprocessing_context="forkserver", persistent_workers=True,
                                **options)  # fmt: skip


@contextmanager
def syncs_are_errors() -> Iterator[None]:
    """Raise where torch makes the host wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def no_synchronisation() -> None:
    """An epoch after the first makes the host wait for nothing, and asks for no memory."""
    for name, loader in loaders():
        for _ in range(2):
            for images, _ in loader:
                images.sum()
        torch.cuda.synchronize()
        before, total = allocations(), 0
        with syncs_are_errors():
            for images, _ in loader:
                images.sum()
                total += len(images)
        torch.cuda.synchronize()
        whole: Any = loader.dataset
        assert total == (len(whole) if name == "general" else len(whole[0])), name
        # An allocator may grow once more when timing moves what is alive at once.
        assert allocations() - before <= 2, f"{name}: {allocations() - before} more segments"


def allocations() -> int:
    """Return how often memory was asked of the driver so far."""
    return int(torch.cuda.memory_stats()["num_device_alloc"])


def kept_tensors_stay() -> None:
    """Batches that the caller keeps are theirs, while the device is busy and others are made."""
    for name, loader in loaders():
        loader.set_epoch(5)
        wanted = [(images.cpu(), targets) for images, targets in loader]
        loader.set_epoch(5)
        kept, busy = [], torch.randn(BUSY, BUSY, device=DEVICE)
        for images, _ in loader:
            busy = (busy @ busy).tanh()  # the step that the next batches are made beside
            images.mul_(1.0)
            kept.append(images)
            del images
        assert len(kept) == len(wanted), name
        for images, (other, _) in zip(kept, wanted, strict=True):
            assert torch.equal(images.cpu(), other), name


def dropped_tensors_are_not_overwritten_early() -> None:
    """What reads a batch late on its stream reads that batch, though the caller let go of it."""
    for name, loader in loaders():
        loader.set_epoch(3)
        wanted = torch.stack([images.float().sum() for images, _ in loader]).cpu()
        loader.set_epoch(3)
        sums, busy = [], torch.randn(2 * BUSY, 2 * BUSY, device=DEVICE)
        for images, _ in loader:
            busy = (busy @ busy).tanh()
            sums.append(images.float().sum())  # runs after the products above
            del images
        assert torch.equal(torch.stack(sums).cpu(), wanted), name


def memory_is_flat() -> None:
    """Many epochs hold no more memory of the device than a few."""
    for name, loader in loaders():
        if name == "general":
            continue  # its workers make images with torch, which takes long
        held = []
        for epoch in range(EPOCHS):
            for images, _ in loader:
                images.sum()
            del images
            torch.cuda.synchronize()
            if epoch in (2, EPOCHS - 1):
                gc.collect()
                held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
        grown = [last - first for first, last in zip(held[0], held[-1], strict=True)]
        assert max(grown) <= GROWTH, f"{name}: {grown} bytes more, allocated and reserved"


def host_copies_are_pinned() -> None:
    """Frames and targets that go to the device come from page-locked memory."""
    if not REAL:
        raise LookupError("there is no GPU")
    images = make_images(Shape(3, 32, 32, COUNT)).numpy()
    loader: DataLoader[Any] = DataLoader(
        (images, np.arange(COUNT) % 10), 96, resident=False, policy=POLICY, num_classes=10, **ENGINE
    )
    seen: list[bool] = []
    moved = torch.Tensor.to

    def to(self: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        made: torch.Tensor = moved(self, *arguments, **options)
        if made.is_cuda and not self.is_cuda:
            seen.append(self.is_pinned())
        return made

    torch.Tensor.to = to  # type: ignore[assignment, method-assign]
    try:
        for _ in loader:
            pass
    finally:
        torch.Tensor.to = moved  # type: ignore[method-assign]
    assert seen and all(seen), f"{seen.count(False)} of {len(seen)} copies are of pageable memory"


def remote_batches_arrive() -> None:
    """`RemoteLoader` gives on the device what the service made, bit for bit."""
    try:
        from augfeed_client import RemoteLoader
        from tests.service.servers import digits, serving
    except ModuleNotFoundError as missing:
        raise LookupError(f"{missing.name} is not installed") from missing

    with (
        tempfile.TemporaryDirectory() as name,
        serving(datasets={"digits": digits(Path(name))}) as running,
    ):
        given: dict[str, Any] = {"policy": SERVED, "batch_size": 16, "shuffle": True, "seed": 4}
        url = f"http://127.0.0.1:{running.port}"
        here = RemoteLoader(url, dataset="digits", **given)
        there = RemoteLoader(url, dataset="digits", device=DEVICE, **given)
        count = 0
        for (images, targets), (far, shares) in zip(here, there, strict=True):
            assert far.device.type == DEVICE, far.device
            assert torch.equal(images, far.cpu()) and torch.equal(targets, shares.cpu())
            count += len(images)
        assert count == 120, count


def portable_agrees() -> None:
    """The portable engine makes on the device what the engine for CPUs makes."""
    known, there = engine_for("cpu", "cpu"), engine_for(DEVICE, "portable")
    for name, operations in CASES.items():
        plan = plan_of(policy_of(operations, 3), USUAL)
        images = make_images(USUAL)
        wanted = known.apply(plan, images)
        made = there.apply(plan, images.to(DEVICE)).cpu()
        try:
            assert_agree(wanted, made, plan)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


LOADING = {
    check.__name__: check
    for check in (
        no_synchronisation, kept_tensors_stay, dropped_tensors_are_not_overwritten_early,
        memory_is_flat, host_copies_are_pinned, remote_batches_arrive, portable_agrees,
    )
}  # fmt: skip
