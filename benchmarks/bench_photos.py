"""JPEG photographs from files to 224 x 224: `python -m benchmarks.bench_photos`."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from torch.utils.data import DataLoader

from augfeed.read.cache import Cache
from benchmarks import common, outputs, peer_loaders, peer_torch, peer_transforms
from benchmarks.chain import Augfeed, Chain
from benchmarks.contest import Contestant, Job, Passes, Suite
from benchmarks.data import (
    LARGE,
    PHOTO_SIZE,
    CutPhotos,
    Photos,
    enlarged,
    jpeg,
    make_photos,
    read_photos,
)
from benchmarks.peer_dali import DIFFERS as DALI_DIFFERS
from benchmarks.peer_dali import dali_basic
from benchmarks.peer_kornia import DIFFERS, Kornia

SAMPLES, QUICK_SAMPLES = 1024, 256
CHUNK = 16  # files that a thread decodes at a time
CHAIN = Chain(
    size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), padding=None,
    jitter=(0.4, 0.4, 0.4, 0.1), cutout=56,
)  # fmt: skip
Finish = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def augfeed(job: Job[Photos]) -> Passes:
    return Augfeed(job.data.source(), job.chain, batch=job.batch, threads=job.threads)


def augfeed_dali(job: Job[Photos]) -> Passes:
    source = job.data.source()
    return Augfeed(source, job.chain, batch=job.batch, threads=job.threads, reader="dali")


def augfeed_ram(job: Job[Photos]) -> Passes:
    return _cached(job, "ram")


def augfeed_disk(job: Job[Photos]) -> Passes:
    return _cached(job, "disk")


def _cached(job: Job[Photos], kind: Any) -> Passes:
    folder = tempfile.mkdtemp() if kind == "disk" else None
    cache = Cache(kind, folder=folder)
    passes = Augfeed(
        job.data.source(), job.chain, batch=job.batch, threads=job.threads, cache=cache
    )
    if folder is not None:
        weakref.finalize(passes, shutil.rmtree, folder, ignore_errors=True)
    return passes


def augfeed_basic(job: Job[Photos]) -> Passes:
    return augfeed(replace(job, chain=job.chain.only("crop", "flip")))


def decoding(job: Job[Photos]) -> Passes:
    chunks = [job.data.paths[k : k + CHUNK] for k in range(0, len(job.data), CHUNK)]

    def one_pass() -> Iterator[tuple[Any, Any]]:
        with ThreadPoolExecutor(job.threads) as pool:
            for shapes in pool.map(_decode, chunks):
                yield shapes, None

    return one_pass


def _decode(paths: Sequence[str]) -> list[tuple[int, ...]]:
    shapes = []
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            shapes.append(simplejpeg.decode_jpeg(file.readall(), "RGB").shape)
    return shapes


def torch_after_workers(job: Job[Photos]) -> Passes:
    finish = partial(peer_torch.finish, chain=job.chain, classes=job.classes)
    return _after_workers(job, finish)


def kornia_after_workers(job: Job[Photos]) -> Passes:
    return _after_workers(job, Kornia(job.chain, job.classes).finish)


def _after_workers(job: Job[Photos], finish: Finish) -> Passes:
    samples = CutPhotos(job.data, job.chain)
    workers = common.workers_of(job)
    loader = DataLoader(samples, job.batch, shuffle=True, drop_last=True, **workers)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for images, labels in loader:
            yield finish(images, labels)

    return one_pass


class Probes:
    """Files that show one part of the chain at a time."""

    def __init__(self, folder: Path) -> None:
        width, height = PHOTO_SIZE
        across = np.linspace(40, 215, width).round().astype(np.uint8)
        gradient = np.broadcast_to(across[None, :, None], (height, width, 3))
        flat = np.zeros((height, width, 3), np.uint8)
        self.paths = {}
        for name, pixels in (("alike", gradient), ("black", flat), ("white", flat + 255)):
            path = folder / f"probe-{name}.jpg"
            path.write_bytes(jpeg(np.ascontiguousarray(pixels)))
            self.paths[name] = str(path)

    def alike(self, count: int) -> Photos:
        labels = tuple(k % 2 for k in range(count))
        return Photos("probe", (self.paths["alike"],) * count, labels, 2)

    def extremes(self, count: int) -> Photos:
        labels = tuple(k % 2 for k in range(count))
        paths = tuple(self.paths["white" if label else "black"] for label in labels)
        return Photos("probe", paths, labels, 2)


PILLOW = "decodes whole images with Pillow; crop and flip one by one"
CACHED = "crops come from images of 256 pixels' short side, decoded in the pass before"
NOTHING = "whole images, thrown away"
IN_TORCH = "DataLoader workers, then PyTorch on the batch"
IN_KORNIA = "DataLoader workers, then Kornia's classes on the batch"
CONTESTANTS: tuple[Contestant[Photos], ...] = (
    Contestant("augfeed", "augfeed", augfeed),
    Contestant("augfeed_basic", "augfeed, less", augfeed_basic, outputs.LESS, "basic"),
    Contestant("augfeed_dali", "augfeed, DALI as its reader", augfeed_dali),
    Contestant("augfeed_ram", "augfeed, from its warm cache in memory", augfeed_ram, CACHED),
    Contestant("augfeed_disk", "augfeed, from its warm cache on disk", augfeed_disk, CACHED),
    Contestant("dali", "DALI's own pipeline", dali_basic, DALI_DIFFERS, "basic"),
    Contestant("decoding", "simplejpeg in threads", decoding, NOTHING, "decode"),
    Contestant("torch", IN_TORCH, torch_after_workers, PILLOW),
    Contestant("kornia", IN_KORNIA, kornia_after_workers, f"{PILLOW}; {DIFFERS}; hue in HSV"),
)
if peer_transforms.has("torchvision"):
    name, note = "torchvision's transforms v2 in DataLoader workers", peer_transforms.TORCHVISION
    CONTESTANTS += (Contestant("torchvision", name, peer_transforms.torchvision, note),)
if peer_transforms.has("albumentations"):
    name, note = "AlbumentationsX in DataLoader workers", peer_transforms.ALBUMENTATIONS
    CONTESTANTS += (Contestant("albumentations", name, peer_transforms.albumentations, note),)
if peer_transforms.has("timm"):
    CONTESTANTS += (Contestant("timm", "timm's loader", peer_loaders.timm, peer_loaders.TIMM),)
if peer_loaders.has_spdl():
    name = "SPDL's pipeline of threads"
    one = Contestant("spdl", name, peer_loaders.spdl_basic, peer_loaders.SPDL, "basic")
    CONTESTANTS += (one,)
CONTESTANTS += outputs.contestants(Photos.source, "decoding")


def main(arguments: Sequence[str] | None = None) -> int:
    data = "folder with a folder of JPEG files for every class; default: made of two photographs"
    parser = common.parser("photos", data, batch=64)
    parser.add_argument("--large", action="store_true", help="enlarged to 2,000 pixels a side")
    options = parser.parse_args(arguments)
    wanted = options.samples or (QUICK_SAMPLES if options.quick else SAMPLES)
    if options.large:
        wanted = options.samples or wanted // 4
    with tempfile.TemporaryDirectory() as name:
        made, probes = Path(name, "made"), Path(name, "probes")
        made.mkdir()
        probes.mkdir()
        photos = (
            read_photos(options.data, wanted, options.batch)
            if options.data
            else make_photos(made, wanted, options.batch)
        )
        if options.large:
            photos = enlarged(photos, Path(name))
        job = Job(photos, CHAIN, photos.classes, options.batch, options.threads, options.threads)
        title = "JPEG photographs from files to 224 x 224"
        kind = "photos"
        if options.large:
            title, kind = (
                f"JPEG photographs of {LARGE:,} pixels, from files to 224 x 224",
                "photos-large",
            )
        suite = Suite(kind, title, photos.name, job, CONTESTANTS, Probes(probes))
        return common.main(suite, options)


if __name__ == "__main__":
    raise SystemExit(main())
