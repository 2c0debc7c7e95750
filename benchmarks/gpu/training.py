"""An epoch of ResNet-18 on a GPU by who feeds it, and how much of it is loading that shows.

`python -m benchmarks.gpu.training --task arrays|photos --out FILE`: bfloat16 under autocast,
channels last, fused SGD. Loading shows as the time of an epoch beyond that of the same epoch on
one batch that is ready.
"""

import argparse
import gc
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from augfeed.bench.machine import commit_here, device_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.doctor.environment import cores
from augfeed.read.cache import Cache
from augfeed_trainer.models import Shape
from augfeed_trainer.models.networks import ResNet
from benchmarks import bench_arrays, bench_photos, peer_transforms
from benchmarks.chain import Augfeed
from benchmarks.common import PRELOADED, workers_of
from benchmarks.contest import Job, Passes
from benchmarks.data import Arrays, make_arrays, make_photos, read_photos
from benchmarks.result import Ratio
from benchmarks.result_training import PACKAGES, Row, TrainingResult

ROUNDS = 3
FIRST = 2  # epochs before any is timed: kernels are compiled, and chosen
THREADS = 16
BLOCKS, WIDTH = (2, 2, 2, 2), 64  # of ResNet-18
NAME = "benchmarks.gpu.training"
BASES = ("augfeed", "ready")  # what all are compared with
WORKERS = "torchvision"  # feeds from processes of its own
READY = "nothing: one batch, ready before"
PEER = "torch's DataLoader, torchvision v2 in workers, MixUp or CutMix on the batch on the GPU"


@dataclass(frozen=True)
class Options:
    """Where it runs, and how much of it."""

    device: torch.device
    quick: bool
    photos: Path | None
    threads: int

    @property
    def dtype(self) -> torch.dtype:
        """The element type of batches."""
        return torch.bfloat16


class Training:
    """Epochs of one network fed in one way."""

    def __init__(self, job: Job[Any], stem: str, passes: Passes, options: Options) -> None:
        chain = job.chain
        shape = Shape(len(chain.mean), chain.size, chain.size, job.classes)
        width = 4 if options.quick else WIDTH
        network = ResNet(shape, "batch", blocks=BLOCKS, width=width, stem=stem)
        moved: Any = network.to(options.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = moved
        fused = options.device.type == "cuda"
        self.optimizer = torch.optim.SGD(moved.parameters(), 0.05, momentum=0.9, fused=fused)
        self.passes, self.device, self.samples = passes, options.device, len(job.data)

    def epoch(self) -> float:
        """Train for an epoch; return its seconds, or raise `RuntimeError` if it was none."""
        gc.collect()
        count, total = 0, torch.zeros((), device=self.device)
        _wait(self.device)
        begin = time.perf_counter()
        for images, targets in self.passes():
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = F.cross_entropy(self.network(images), targets)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            count, total = count + len(images), total + loss.detach()
        value = float(total)  # waits for the device
        taken = time.perf_counter() - begin
        if count != self.samples or value != value:
            raise RuntimeError(f"{count} samples, loss {value}: no epoch of {self.samples}")
        return taken


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ready(job: Job[Any], options: Options) -> Passes:
    """Return passes over one batch that lies on the device."""
    shape = (job.batch, len(job.chain.mean), job.chain.size, job.chain.size)
    images = torch.randn(shape, device=options.device, dtype=options.dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.full((job.batch, job.classes), 1 / job.classes, device=options.device)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for _ in range(len(job.data) // job.batch):
            yield images, targets

    return one_pass


def augfeed(job: Job[Any], options: Options, **more: Any) -> Passes:
    """Return the passes of augfeed's loader to the device."""
    given = job.data
    source = given.source() if hasattr(given, "source") else (given.images, given.labels)
    device: dict[str, Any] = {"device": options.device}
    if options.device.type == "cpu":
        device["engine"] = "portable"
    return Augfeed(source, job.chain, batch=job.batch, threads=job.threads, dtype=options.dtype,
                   channels_last=True, **device, **more)  # fmt: skip


def shared(data: Any) -> Any:
    """Return arrays in memory that processes share: else each worker's start sends all of them."""
    if not isinstance(data, Arrays):
        return data
    images: Any = torch.from_numpy(data.images).clone()
    return replace(data, images=images.share_memory_())


def torchvision(job: Job[Any], options: Options) -> Passes:
    """Return passes of torch's loader: the chain in workers, mixing on the batch on the device."""
    from torchvision.transforms import v2

    samples = peer_transforms.OneByOne(
        shared(job.data), job.chain, peer_transforms.torchvision_chain, peer_transforms.with_pillow
    )
    cuda = options.device.type == "cuda"
    loader = torch.utils.data.DataLoader(
        samples, job.batch, shuffle=True, drop_last=True, pin_memory=cuda, prefetch_factor=4,
        **workers_of(job),
    )  # fmt: skip
    made = (v2.MixUp(alpha=1.0, num_classes=job.classes),
            v2.CutMix(alpha=1.0, num_classes=job.classes))  # fmt: skip
    mix = v2.RandomChoice(list(made))

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for images, labels in loader:
            images = images.to(options.device, non_blocking=True).to(
                options.dtype, memory_format=torch.channels_last
            )
            images, targets = mix(images, labels.to(options.device, non_blocking=True))
            if job.chain.smoothing:
                targets = targets.mul(1 - job.chain.smoothing).add(
                    job.chain.smoothing / job.classes
                )
            yield images, targets

    return one_pass


@dataclass(frozen=True)
class Task:
    """A network and its data; `feeds` are names and titles of who feeds it."""

    title: str
    job: Job[Any]
    stem: str
    feeds: dict[str, tuple[str, Callable[[], Passes]]]


def task_of(name: str, options: Options, folder: Path) -> Task:
    """Return what is trained."""
    if name == "arrays":
        count, batch = (128, 64) if options.quick else (50_176, 512)
        arrays = make_arrays(count, batch, 32, 3)
        job = Job[Any](arrays, bench_arrays.COLOR_CHAIN, arrays.classes, batch, 4, options.threads)
        title = f"ResNet-18, {len(arrays):,} of 32 x 32 x 3 on the device"
        more: dict[str, Any] = {}
    else:
        count, batch = (32, 16) if options.quick else (8_192, 256)
        photos = (
            read_photos(options.photos, count, batch) if options.photos
            else make_photos(folder, count, batch)
        )  # fmt: skip
        size = 32 if options.quick else bench_photos.CHAIN.size
        chain = replace(bench_photos.CHAIN, size=size, cutout=size // 4)
        job = Job[Any](photos, chain, photos.classes, batch, options.threads, options.threads)
        title, more = (
            f"ResNet-18, {len(photos):,} photos to {size} ({photos.name})",
            {"reader": "cpu"},
        )
    feeds: dict[str, tuple[str, Callable[[], Passes]]] = {
        "ready": (READY, lambda: ready(job, options)),
        "augfeed": ("augfeed", lambda: augfeed(job, options, **more)),
    }
    if name == "photos":
        kind: Any = "gpu" if options.device.type == "cuda" else "ram"
        feeds["augfeed_cache"] = (
            "augfeed, decoded images kept in the GPU's memory",
            lambda: augfeed(job, options, cache=Cache(kind), **more),
        )
    if peer_transforms.has("torchvision"):
        feeds[WORKERS] = (PEER, lambda: torchvision(job, options))
    stem = "large" if name == "photos" and not options.quick else "small"
    return Task(title, job, stem, feeds)


def run(task: Task, options: Options, rounds: int, keep: Callable[[list[Row]], None]) -> None:
    """Measure interleaved rounds; `keep` is given the rows after each epoch.

    Torch's loader starts processes, and takes longest: it comes in for as many rounds more, after
    the others have theirs, so that a run which is ended early has those.
    """
    runs: dict[str, Training] = {}
    taken: list[dict[str, float]] = []
    for names in ([name for name in task.feeds if name != WORKERS], [WORKERS]):
        began = [name for name in names if name in task.feeds and _begin(name, task, options, runs)]
        for _ in range(rounds if began else 0):
            taken.append({})
            for name in [*runs]:
                try:
                    taken[-1][name] = runs[name].epoch()
                except Exception as error:  # whatever a library raises: the others are measured
                    del runs[name]
                    _left_out(task.feeds[name][0], error)
                if rows := _rows(task, taken):
                    keep(rows)


def _begin(name: str, task: Task, options: Options, runs: dict[str, Training]) -> bool:
    # The first epochs of one way to feed, which nobody times.
    title, make = task.feeds[name]
    try:
        training = Training(task.job, task.stem, make(), options)
        first = [training.epoch() for _ in range(1 if name == WORKERS else FIRST)]
    except Exception as error:  # whatever a library raises: the others are measured
        _left_out(title, error)
        return False
    runs[name] = training
    print(f"{title}: first epochs {', '.join(f'{each:.2f}' for each in first)} s", flush=True)
    return True


def _left_out(title: str, error: Exception) -> None:
    print(f"left out: {title}: {type(error).__name__}: {error}", flush=True)


def _rows(task: Task, taken: list[dict[str, float]]) -> list[Row]:
    compared = [name for name in task.feeds if all(_pairs(taken, name, other) for other in BASES)]
    return [_row(task, name, taken) for name in compared]


def _row(task: Task, name: str, taken: list[dict[str, float]]) -> Row:
    own = [each[name] for each in taken if name in each]
    slower, over = (Ratio.of(*zip(*_pairs(taken, name, other), strict=True)) for other in BASES)
    ready = statistics.median(each["ready"] for each in taken if "ready" in each)
    return Row(
        task=task.title, name=name, title=task.feeds[name][0], seconds=tuple(own),
        rate=Spread.of([len(task.job.data) / took for took in own]),
        slower=slower, over=over, exposed=statistics.median(own) - ready,
    )  # fmt: skip


def _pairs(taken: list[dict[str, float]], one: str, other: str) -> list[tuple[float, float]]:
    return [(each[one], each[other]) for each in taken if one in each and other in each]


def prepare_workers() -> None:
    """Start the process that workers are forked from, which imports what they need meanwhile."""
    multiprocessing.set_forkserver_preload([*PRELOADED, "torchvision.transforms.v2", NAME])
    forkserver.ensure_running()


def main() -> int:
    """Measure, print lines, and write the result after each round; return the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}")
    parser.add_argument("--task", choices=("arrays", "photos"), required=True)
    parser.add_argument("--photos", type=Path, help="folder with a folder of JPEG files a class")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--num-workers", dest="threads", type=int, default=min(THREADS, cores()))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--commit", help="of the code, where it is not a repository")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    options = Options(torch.device(given.device), given.quick, given.photos, given.threads)
    torch.backends.cudnn.benchmark = True
    prepare_workers()
    machine = machine_here(given.threads)
    rounds = 2 if given.quick else given.rounds
    with tempfile.TemporaryDirectory() as folder:
        task = task_of(given.task, options, Path(folder))

        def keep(rows: list[Row]) -> None:
            result = TrainingResult(
                title="Training on a GPU", date=now(), commit=given.commit or commit_here(),
                machine=machine, device=device_here(options.device),
                versions=versions_of(PACKAGES), rounds=len(rows[0].seconds),
                command=f"python -m {NAME} --task {given.task}",
                data=f"Batches of {task.job.batch}, bfloat16, channels last", rows=tuple(rows),
            )  # fmt: skip
            given.out.write_text(result.model_dump_json(indent=1) + "\n")
            for row in rows:
                print(f"{row.name}: {row.rate.median:,.0f} images/s, {row.over.of_medians:.3f} x "
                      f"ready, {row.exposed:.3f} s of loading show", flush=True)  # fmt: skip

        run(task, options, rounds, keep)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
