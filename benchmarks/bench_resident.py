"""A small dataset kept on the device, epochs/s: `python -m benchmarks.bench_resident`."""

import argparse
import gc
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from augfeed import DataLoader, Policy, format_policy
from augfeed.bench.machine import commit_here, cores, device_here, machine_here, now, versions_of
from augfeed.bench.report import progress
from augfeed.bench.result import Machine, Spread
from augfeed.plan import BatchRows, draw_plan
from augfeed.policy import Cutout, HorizontalFlip, Normalize, RandomCrop
from augfeed.presets import CIFAR10_MEAN, CIFAR10_STD
from benchmarks.common import QUICK_ROUNDS, RESULTS, ROUNDS, Tick, option_of
from benchmarks.data import SMALL_SIDE as SIDE
from benchmarks.data import make_pictures, read_pictures
from benchmarks.gate import BASE, GateError, Statistics, compare
from benchmarks.gate_resident import probe, watch
from benchmarks.peer_resident import HOLE, PADDING, Epoch, Gathered, Job, Masked, workers
from benchmarks.result import Ratio, slug
from benchmarks.result_resident import PACKAGES, ResidentResult, Row, render

CLASSES = 10
GRAY_MEAN, GRAY_STD = (0.2860,), (0.3530,)  # of Fashion-MNIST
SAMPLES, QUICK_SAMPLES = 50_000, 2_048
BATCHES = (512, 1024)
SHORTEST, QUICK_SHORTEST = 0.5, 0.05  # seconds that a round of a loader should take at least
MOST_EPOCHS = 500
TITLE = "Images of 32 x 32 that stay on the device: crop, flip, Cutout, normalized"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Loader:
    """One way to do the work."""

    name: str
    title: str
    make: Callable[[Job], Epoch]
    differs: str = ""
    gpu_only: bool = False


@dataclass(frozen=True)
class Entry:
    """A loader that is ready, and how many epochs it runs in a round."""

    loader: Loader
    job: Job
    epoch: Epoch
    memory: int | None = None
    epochs: int = 1


def policy_of(job: Job) -> Policy:
    """Return the policy for the work."""
    return Policy(
        [
            RandomCrop(job.side, PADDING, mode="reflect"),
            HorizontalFlip(),
            Cutout(HOLE),
            Normalize(job.mean, job.std),
        ]
    )


def loader_of(job: Job) -> DataLoader:
    """Return augfeed's loader for the work."""
    return DataLoader(
        (job.images, job.labels), job.batch, shuffle=True, drop_last=True, policy=policy_of(job),
        device=job.device, dtype=job.dtype, resident=True, seed=0, num_workers=job.workers,
        engine=job.engine,
    )  # fmt: skip


def augfeed(job: Job) -> Epoch:
    """Return epochs of augfeed's loader."""
    return loader_of(job).__iter__


LOADERS = (
    Loader(BASE, "augfeed", augfeed),
    Loader("airbench", "airbench's way: PyTorch operations on the whole set", Masked,
           "keeps floats on the device; waits for it at every shift; no seed, no resuming"),
    Loader("gather", "one gather for the whole epoch", partial(Gathered, whole=True),
           "keeps floats on the device, twice, and an epoch of output; no seed, no resuming"),
    Loader("gather_batch", "one gather a batch", partial(Gathered, whole=False),
           "keeps floats on the device, twice; no seed, no resuming"),
    Loader("workers", "torch's DataLoader, operations on each image in workers", workers,
           "images cross the bus", gpu_only=True),
)  # fmt: skip


# Measuring


def measure(
    job: Job, loaders: Sequence[Loader], rounds: int, shortest: float, tick: Tick
) -> tuple[Row, ...]:
    """Return the rows of one size of batch."""
    entries = warm_up(job, loaders, shortest, tick)
    seconds: dict[str, list[float]] = {entry.loader.name: [] for entry in entries}
    for _ in range(rounds):
        for entry in entries:
            tick(entry.loader.name)
            seconds[entry.loader.name].append(timed(entry))
    return tuple(_row(entry, seconds) for entry in entries)


def check(job: Job, loaders: Sequence[Loader], tick: Tick) -> None:
    """Raise `GateError` if a loader does something else on data made for that."""
    problems = []
    for loader in loaders:
        tick(f"{loader.name} (gate)")
        problems += [f"{loader.name}: {text}" for text in probe(loader.make, job)]
    if problems:
        raise GateError(problems)


def warm_up(job: Job, loaders: Sequence[Loader], shortest: float, tick: Tick) -> list[Entry]:
    """Return the loaders, each after an epoch that the gate looks at and two against the clock."""
    entries: list[Entry] = []
    statistics: dict[str, Statistics] = {}
    problems: list[str] = []
    for loader in loaders:
        tick(f"{loader.name} (warm-up)")
        before = _held(job.device)
        entry = Entry(loader, job, loader.make(job))
        found, seen = watch(entry.epoch(), job, CLASSES)
        problems += [f"{loader.name}: {text}" for text in found]
        if seen is None:
            continue
        statistics[loader.name] = seen
        _forget_peak(job.device)
        once = min(timed(entry), timed(entry))
        memory = _held(job.device, most=True) - before if job.device.type == "cuda" else None
        epochs = min(MOST_EPOCHS, math.ceil(shortest / once))
        entries.append(replace(entry, memory=memory, epochs=epochs))
    problems += compare(statistics)
    if problems:
        raise GateError(problems)
    return entries


def timed(entry: Entry) -> float:
    """Return the seconds of a whole epoch, in the mean over `entry.epochs`."""
    gc.collect()
    job, count, kept = entry.job, 0, None
    _wait(job.device)
    start = time.perf_counter()
    for _ in range(entry.epochs):
        for images, _ in entry.epoch():
            count += len(images)
            kept = images[:, 0, 0, 0].sum()
        _wait(job.device)
    taken = time.perf_counter() - start
    if count != job.steps * job.batch * entry.epochs or kept is None:
        raise GateError([f"{entry.loader.name}: {count} images came in {entry.epochs} epochs"])
    return taken / entry.epochs


def plans(job: Job, epochs: int = 2) -> float:
    """Return the milliseconds that one thread takes to draw the plans of an epoch, at best.

    As many batches at once as augfeed's loader makes at once.
    """
    policy, best = policy_of(job), math.inf
    several = job.batch * loader_of(job).pipeline.together(job.batch)
    ids = np.random.default_rng(0).permutation(len(job.images))[: job.steps * job.batch]
    for epoch in range(epochs):
        start = time.perf_counter()
        for first in range(0, len(ids), several):
            rows = BatchRows.of(ids[first : first + several])
            plan = draw_plan(policy, rows, seed=0, epoch=epoch, size=(job.side, job.side))
            plan.window.at(job.side, job.side)
        best = min(best, time.perf_counter() - start)
    return 1000 * best


def _row(entry: Entry, seconds: dict[str, list[float]]) -> Row:
    loader, job, own = entry.loader, entry.job, seconds[entry.loader.name]
    return Row(
        name=loader.name,
        title=loader.title,
        differs=loader.differs,
        batch=job.batch,
        epochs=entry.epochs,
        seconds=tuple(own),
        rate=Spread.of([1 / taken for taken in own]),
        slower=Ratio.of(own, seconds[BASE]),
        memory=entry.memory,
        plans=plans(job) if loader.name == BASE else None,
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _held(device: torch.device, *, most: bool = False) -> int:
    # Bytes that are held on a GPU, or the most since `_forget_peak`.
    if device.type != "cuda":
        return 0
    gc.collect()
    memory = torch.cuda.max_memory_allocated if most else torch.cuda.memory_allocated
    return memory(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


# The command line


def parser() -> argparse.ArgumentParser:
    """Return the arguments."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.bench_resident")
    made.add_argument(
        "--data", type=Path, help=".npz file, or folder of idx files; default: made here"
    )
    made.add_argument("--samples", type=int, help="images of the dataset, at most")
    made.add_argument(
        "--batch-size", dest="batch", type=int, nargs="+", default=BATCHES, help="sizes of batches"
    )
    made.add_argument("--device", default="auto", help="auto: the GPU if there is one")
    made.add_argument("--engine", default="auto", help="of augfeed, default the device's own")
    made.add_argument("--dtype", choices=DTYPES, help="default float16 on a GPU, else float32")
    made.add_argument("--num-workers", dest="threads", type=int, default=min(2, cores()),
                      help="augfeed's threads")  # fmt: skip
    made.add_argument("--processes", type=int, default=cores(), help="torch's DataLoader's workers")
    made.add_argument("--rounds", type=int, help=f"default {ROUNDS}; at least 7 to be published")
    made.add_argument("--only", help="names of loaders, with commas; augfeed always runs")
    made.add_argument("--quick", action="store_true", help="few rounds, little data, no file")
    made.add_argument("--machine", help="name of this machine in the file's name")
    made.add_argument("--out", type=Path, help="file of the result")
    return made


def command_of(options: argparse.Namespace) -> str:
    """Return the command that was given, with the name of a file in place of its path."""
    words = ["python -m benchmarks.bench_resident"]
    for name, value in vars(options).items():
        if name in ("machine", "out") or value in (None, False, "auto"):
            continue
        match value:
            case True:
                words.append(option_of(name))
            case Path():
                words.append(f"{option_of(name)} {value.name}")
            case list() | tuple():
                words.append(f"{option_of(name)} {' '.join(map(str, value))}")
            case _:
                words.append(f"{option_of(name)} {value}")
    return " ".join(words)


def chosen(only: str | None, device: torch.device) -> tuple[Loader, ...]:
    """Return the loaders that were asked for; without, all that are for this device."""
    if only is None:
        return tuple(item for item in LOADERS if device.type == "cuda" or not item.gpu_only)
    names = {BASE, *only.split(",")}
    if unknown := sorted(names - {item.name for item in LOADERS}):
        raise SystemExit(f"--only names {unknown}: there are {[item.name for item in LOADERS]}")
    return tuple(item for item in LOADERS if item.name in names)


def job_of(options: argparse.Namespace) -> Job:
    """Return the work, with batches of the first size that was asked for."""
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    dtype = options.dtype or ("float32" if device.type == "cpu" else "float16")
    wanted = options.samples or (QUICK_SAMPLES if options.quick else SAMPLES)
    images, labels = read_pictures(options.data, wanted) if options.data else make_pictures(wanted)
    if len(images) < max(options.batch):
        raise SystemExit(f"{len(images)} images are not a batch of {max(options.batch)}")
    return Job(
        images=images,
        labels=labels,
        mean=CIFAR10_MEAN if images.shape[1] == 3 else GRAY_MEAN,
        std=CIFAR10_STD if images.shape[1] == 3 else GRAY_STD,
        batch=options.batch[0],
        device=device,
        dtype=DTYPES[dtype],
        workers=options.threads,
        processes=options.processes,
        engine=options.engine,
    )


def run(
    options: argparse.Namespace, console: Console, keep: Callable[[ResidentResult], None]
) -> ResidentResult:
    """Return the result of all sizes of batches; raise `GateError` if the work is not the same.

    `keep` is given what there is after each size.
    """
    job = job_of(options)
    loaders = chosen(options.only, job.device)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    shortest = QUICK_SHORTEST if options.quick else SHORTEST
    machine, rows = machine_here(options.threads), list[Row]()
    total = len(loaders) * (1 + len(options.batch) * (rounds + 1))
    with progress(console, total, "resident") as tick:
        check(job, loaders, tick)
        for batch in options.batch:
            tell = partial(_told, tick, batch)
            rows += measure(replace(job, batch=batch), loaders, rounds, shortest, tell)
            keep(_result(options, job, machine, rounds, rows))
    return _result(options, job, machine, rounds, rows)


def _result(
    options: argparse.Namespace, job: Job, machine: Machine, rounds: int, rows: list[Row]
) -> ResidentResult:
    name = options.data.name if options.data else f"smooth random images, {SIDE} x {SIDE}"
    return ResidentResult(
        title=TITLE,
        date=now(),
        command=command_of(options),
        commit=commit_here(),
        machine=machine,
        device=device_here(job.device),
        versions=versions_of(PACKAGES),
        data=name,
        samples=len(job.images),
        dtype=str(job.dtype).removeprefix("torch."),
        chain=format_policy(policy_of(job)),
        workers=options.threads,
        processes=options.processes,
        rounds=rounds,
        rows=tuple(rows),
    )


def _told(tick: Tick, batch: int, text: str) -> None:
    tick(f"{batch}: {text}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, and write the file; return the exit status."""
    options = parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        result = run(options, console, lambda found: _write(found, options))
    except GateError as error:
        console.print(f"[red]no figures:[/] the work is not the same\n{error}", highlight=False)
        return 1
    sys.stdout.write(render(result))
    return 0


def _write(result: ResidentResult, options: argparse.Namespace) -> None:
    out = options.out or (None if options.quick else _default_out(result, options.machine))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(result.model_dump_json(indent=1) + "\n")


def _default_out(result: ResidentResult, machine: str | None) -> Path:
    name = machine or result.device.name
    if machine is None and result.device.kind == "cpu":
        name = f"{name} {result.machine.cores} cores"
    return RESULTS / f"resident--{slug(name)}.json"


if __name__ == "__main__":
    raise SystemExit(main())
