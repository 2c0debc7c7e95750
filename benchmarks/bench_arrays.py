"""Small images in memory, the whole chain: `python -m benchmarks.bench_arrays`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from benchmarks import common, peer_torch, peer_transforms
from benchmarks.chain import Augfeed, Chain
from benchmarks.contest import Contestant, Job, Passes, Suite
from benchmarks.data import ArrayBatches, Arrays, make_arrays, read_arrays
from benchmarks.outputs import array_contestants
from benchmarks.peer_kornia import DIFFERS, Kornia

SAMPLES, QUICK_SAMPLES = 60_000, 12_800
CHAIN = Chain(
    size=28, mean=(0.2860,), std=(0.3530,), padding=2, jitter=(0.2, 0.2, 0.0, 0.0), cutout=8
)
COLOR_CHAIN = Chain(
    size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), padding=4,
    jitter=(0.4, 0.4, 0.4, 0.1), cutout=16,
)  # fmt: skip
Augment = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def augfeed(job: Job[Arrays]) -> Passes:
    data = job.data.images, job.data.labels
    return Augfeed(data, job.chain, batch=job.batch, threads=job.threads)


def torch_on_batches(job: Job[Arrays]) -> Passes:
    return in_process(job, _torch(job))


def kornia_on_batches(job: Job[Arrays]) -> Passes:
    return in_process(job, _kornia(job))


def torch_in_workers(job: Job[Arrays]) -> Passes:
    return _in_workers(job, _torch(job))


def kornia_in_workers(job: Job[Arrays]) -> Passes:
    return _in_workers(job, _kornia(job))


def _torch(job: Job[Arrays]) -> Augment:
    return partial(peer_torch.augment, chain=job.chain, classes=job.classes)


def _kornia(job: Job[Arrays]) -> Augment:
    return Kornia(job.chain, job.classes).augment


def in_process(job: Job[Arrays], augment: Augment) -> Passes:
    batches = ArrayBatches(job.data, augment)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for which in torch.randperm(len(batches)).view(-1, job.batch):
            yield batches[which]

    return one_pass


def _in_workers(job: Job[Arrays], augment: Augment) -> Passes:
    batches = ArrayBatches(job.data, augment)
    sampler = BatchSampler(RandomSampler(batches), job.batch, drop_last=True)
    loader = DataLoader(batches, batch_size=None, sampler=sampler, **common.workers_of(job))
    return loader.__iter__


class Probes:
    """Batches that show one part of the chain at a time."""

    def __init__(self, chain: Chain) -> None:
        self.shape = (chain.size, chain.size, *([3] if len(chain.mean) == 3 else []))

    def alike(self, count: int) -> Arrays:
        side = self.shape[0]
        gradient = np.linspace(40, 215, side * side).round().reshape(side, side)
        if len(self.shape) == 3:
            gradient = np.stack([gradient] * 3, axis=2)
        return _arrays(np.stack([gradient] * count))

    def extremes(self, count: int) -> Arrays:
        values = (np.arange(count) % 2 * 255).reshape(-1, *[1] * len(self.shape))
        return _arrays(np.broadcast_to(values, (count, *self.shape)))


def _arrays(images: Any) -> Arrays:
    labels = np.arange(len(images)) % 2
    return Arrays("probe", np.ascontiguousarray(images, np.uint8), labels, 2)


CONTESTANTS: tuple[Contestant[Arrays], ...] = (
    Contestant("augfeed", "augfeed", augfeed),
    Contestant("torch", "PyTorch operations on the batch", torch_on_batches),
    Contestant("torch_workers", "the same, in DataLoader workers", torch_in_workers),
    Contestant("kornia", "Kornia's classes on the batch", kornia_on_batches, DIFFERS),
    Contestant("kornia_workers", "the same, in DataLoader workers", kornia_in_workers, DIFFERS),
)
if peer_transforms.has("torchvision"):
    name, note = "torchvision's transforms v2 in DataLoader workers", peer_transforms.TORCHVISION
    CONTESTANTS += (Contestant("torchvision", name, peer_transforms.torchvision, note),)
CONTESTANTS += array_contestants()


def main(arguments: Sequence[str] | None = None) -> int:
    data = "folder of idx files, as Fashion-MNIST comes in; default: images made here"
    parser = common.parser("arrays", data, batch=256)
    parser.add_argument("--color", action="store_true", help="32 x 32 in color, made here")
    options = parser.parse_args(arguments)
    wanted = options.samples or (QUICK_SAMPLES if options.quick else SAMPLES)
    if options.color and options.data:
        parser.error("--color makes its own images: leave --data out")
    if options.color:
        arrays, chain = make_arrays(wanted, options.batch, 32, 3), COLOR_CHAIN
        name, title = "arrays-color", "Images of 32 x 32 x 3 in memory, whole chain"
    else:
        arrays = (
            read_arrays(options.data, wanted, options.batch)
            if options.data
            else make_arrays(wanted, options.batch)
        )
        chain, name, title = CHAIN, "arrays", "Images of 28 x 28 in memory, whole chain"
    job = Job(arrays, chain, arrays.classes, options.batch, options.threads, options.threads)
    suite = Suite(name, title, arrays.name, job, CONTESTANTS, Probes(chain))
    return common.main(suite, options)


if __name__ == "__main__":
    raise SystemExit(main())
