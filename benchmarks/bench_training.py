"""The time of an epoch by who feeds the network: `python -m benchmarks.bench_training`."""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track

from augfeed.bench.machine import commit_here, device_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.doctor.environment import cores
from augfeed_trainer.models import Shape, build_model
from benchmarks import bench_arrays, bench_photos, peer_transforms
from benchmarks.chain import Augfeed
from benchmarks.common import RESULTS
from benchmarks.contest import Job, Passes
from benchmarks.data import make_arrays, make_photos, read_arrays, read_photos
from benchmarks.result import Ratio, slug
from benchmarks.result_training import PACKAGES, Row, TrainingResult, render

ROUNDS = 7
SIDE = 128  # of photographs: a batch of 224 takes a CPU many seconds
READY = "nothing: one batch, ready before"


@dataclass(frozen=True)
class Task:
    """A network and its data."""

    title: str
    job: Job[Any]
    model: str
    norm: Any


class Run:
    """Epochs of one network fed in one way."""

    def __init__(self, task: Task, passes: Passes, device: torch.device) -> None:
        chain, job = task.job.chain, task.job
        shape = Shape(len(chain.mean), chain.size, chain.size, job.classes)
        self.network = build_model(task.model, shape, norm=task.norm).to(device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.05, momentum=0.9)
        self.passes, self.device, self.samples = passes, device, len(job.data)

    def epoch(self) -> float:
        """Train for an epoch; return its seconds, or raise `SystemExit` if it was none."""
        gc.collect()
        count, total = 0, torch.zeros((), device=self.device)
        begin = time.perf_counter()
        for images, targets in self.passes():
            images = images.to(self.device, non_blocking=True)
            targets = targets.to(self.device, non_blocking=True)
            loss = F.cross_entropy(self.network(images), targets)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            count, total = count + len(images), total + loss.detach()
        value = float(total)  # waits for the device
        taken = time.perf_counter() - begin
        if count != self.samples or value != value:
            raise SystemExit(f"{count} samples, loss {value}: no epoch of {self.samples}")
        return taken


def tasks(options: argparse.Namespace, folder: Path) -> Iterator[Task]:
    """Yield what is trained."""
    quick, threads = options.quick, options.threads
    count = 2560 if quick else 12_800
    arrays = read_arrays(options.arrays, count, 256) if options.arrays else make_arrays(count, 256)
    job = Job(arrays, bench_arrays.CHAIN, arrays.classes, 256, threads, threads)
    yield Task(f"small CNN, {len(arrays):,} of 28 x 28 ({arrays.name})", job, "cnn", "batch")
    count = 64 if quick else 256
    photos = (
        read_photos(options.photos, count, 32) if options.photos
        else make_photos(folder, count, 32)
    )  # fmt: skip
    chain = replace(bench_photos.CHAIN, size=SIDE, cutout=SIDE // 4)
    large = Job(photos, chain, photos.classes, 32, threads, threads)
    title = f"ResNet-18, {len(photos):,} photos to {SIDE} ({photos.name})"
    yield Task(title, large, "resnet18", "batch")


def feeds(job: Job[Any], device: torch.device) -> Iterator[tuple[str, str, Passes]]:
    """Yield name, title and passes of each way to feed a network, the limit first."""
    yield "ready", READY, _ready(job, device)
    given = job.data
    source = given.source() if hasattr(given, "source") else (given.images, given.labels)
    options: dict[str, Any] = {} if device.type == "cpu" else {"device": device}
    ours = Augfeed(source, job.chain, batch=job.batch, threads=job.threads, **options)
    yield "augfeed", "augfeed", ours
    if peer_transforms.has("torchvision"):
        title = "DataLoader workers, torchvision's transforms v2"
        yield "torchvision", title, peer_transforms.torchvision(job)
    elif hasattr(given, "source"):
        yield "torch", bench_photos.IN_TORCH, bench_photos.torch_after_workers(job)
    else:
        title = "PyTorch operations on the batch, in DataLoader workers"
        yield "torch", title, bench_arrays.torch_in_workers(job)


def _ready(job: Job[Any], device: torch.device) -> Passes:
    shape = (job.batch, len(job.chain.mean), job.chain.size, job.chain.size)
    images = torch.randn(shape, device=device)
    targets = torch.full((job.batch, job.classes), 1 / job.classes, device=device)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for _ in range(len(job.data) // job.batch):
            yield images, targets

    return one_pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_training")
    parser.add_argument("--arrays", type=Path, help="folder of idx files; default: made here")
    parser.add_argument("--photos", type=Path, help="folder with a folder of JPEG files a class")
    parser.add_argument("--num-workers", dest="threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="2 rounds, few samples, no file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    rounds = 2 if options.quick else options.rounds
    torch.set_num_threads(options.threads)
    machine, device = machine_here(options.threads), torch.device(options.device)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks(options, Path(folder)):
            rows += _measured(task, device, rounds)
    words = [f"--{name} {getattr(options, name).name}" for name in ("arrays", "photos")
             if getattr(options, name)]  # fmt: skip
    words += [f"--num-workers {options.threads}", f"--device {device.type}"]
    result = TrainingResult(
        title="Training", date=now(), commit=commit_here(), machine=machine,
        device=device_here(device), versions=versions_of(PACKAGES), rounds=rounds,
        command=" ".join(["python -m benchmarks.bench_training", *words, f"--rounds {rounds}"]),
        data="Batches of 256 and of 32", rows=tuple(rows),
    )  # fmt: skip
    sys.stdout.write(render(result))
    name = f"training--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out = options.out or (None if options.quick else RESULTS / name)
    if out is not None:
        out.write_text(result.model_dump_json(indent=1) + "\n")
    return 0


def _measured(task: Task, device: torch.device, rounds: int) -> list[Row]:
    runs = {
        name: (title, Run(task, passes, device)) for name, title, passes in feeds(task.job, device)
    }
    for name in track(runs, description="warming up"):
        runs[name][1].epoch()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    turns: list[tuple[str, Callable[[], float]]] = [
        (name, run.epoch) for _ in range(rounds) for name, (_, run) in runs.items()
    ]
    for name, epoch in track(turns, description=task.title):
        seconds[name].append(epoch())
    return [
        Row(
            task=task.title, name=name, title=runs[name][0], seconds=tuple(taken),
            rate=Spread.of([len(task.job.data) / took for took in taken]),
            slower=Ratio.of(taken, seconds["augfeed"]), over=Ratio.of(taken, seconds["ready"]),
        )
        for name, taken in seconds.items()
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
