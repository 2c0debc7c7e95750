"""`augfeed bench loader`: batches a second beside what this machine can do at most."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from augfeed import presets
from augfeed.bench.kernel import Tick
from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.passes import Passes, passes_of
from augfeed.bench.report import progress, writable
from augfeed.bench.result import Model, Spread, Stamped
from augfeed.demo.rates import decode_rate, loader_rate
from augfeed.errors import InputError
from augfeed.loader import DataLoader
from augfeed.notation import format_policy
from augfeed.policy import Policy
from augfeed.read.arrays import ArraySource
from augfeed.read.folder import FolderSource
from augfeed.read.order import epoch_order
from augfeed.read.sources import Source
from augfeed.replaced_file import write_text
from augfeed.stage_costs import LoaderStats

PACKAGES = ("torch", "numpy", "numba", "simplejpeg", "pillow")
SAMPLES = 2048  # of files, at most: the cache is filled before it is measured
BATCHES = 16  # of a pass, at least: few files are repeated
BASIC = (
    "resize", "random_resized_crop", "random_crop", "center_crop", "horizontal_flip",
    "vertical_flip", "normalize",
)  # fmt: skip
Measure = Callable[[float], float]  # of seconds: samples a second


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is measured: its title in the table, how, and the loader, which the limit has not."""

    title: str
    measure: Measure
    loader: DataLoader | None = None

    @classmethod
    def of(cls, title: str, loader: DataLoader) -> "Contestant":
        """Return a loader as one."""
        return cls(title, partial(loader_rate, loader), loader)

    def stats(self) -> LoaderStats:
        """Return what the loader's batches took so far."""
        return LoaderStats() if self.loader is None else self.loader.stats()


class BatchTimes(Model):
    """What a batch took on average, in microseconds: see `augfeed.stage_costs.LoaderStats`."""

    exposed: float
    host: float
    plan: float
    read: float
    augment: float
    targets: float

    @classmethod
    def of(cls, stats: LoaderStats) -> "BatchTimes":
        """Return the times of a loader's batches."""
        each = 1e6 / max(1, stats.batches)
        return cls(**{name: getattr(stats, name) * each for name in cls.model_fields})


class LoaderRow(Model):
    """One rate, in samples a second, a number for each round."""

    name: Literal["limit", "whole", "basic", "cached"]
    title: str
    rates: tuple[float, ...]
    rate: Spread
    share: float  # of the limit's
    times: BatchTimes | None = None  # of a loader's batches, all rounds together


class LoaderResult(Stamped):
    """One run of `augfeed bench loader`."""

    schema_version: Literal[1] = 1
    suite: Literal["own-loader"] = "own-loader"
    data: str
    samples: int
    batch: int
    policy: str
    seconds: float
    rounds: int
    rows: tuple[LoaderRow, ...]
    # Shares of the samples that take a second pass: see `augfeed.bench.passes`.
    framed: float = 0.0
    moved: float = 0.0


@dataclass(frozen=True, slots=True)
class LoaderOptions:
    """What is to be measured: `seconds` for each row in each of the `rounds`."""

    source: Source
    policy: Policy
    batch_size: int
    num_workers: int
    seconds: float = 2.0
    rounds: int = 5

    def __post_init__(self) -> None:
        """Check all values."""
        for name in ("batch_size", "num_workers", "rounds"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)!r}: give 1 or more")
        if not self.seconds > 0:
            raise InputError(f"seconds={self.seconds!r}: give more than 0")
        if self.batch_size > len(self.source):
            raise InputError(
                f"batch_size={self.batch_size} is more than the {len(self.source)} samples: "
                "give fewer"
            )

    def loader(self, policy: Policy, threads: int | None = None, **options: Any) -> DataLoader:
        """Return the loader that is measured."""
        workers = self.num_workers if threads is None else threads
        return DataLoader(
            self.source, self.batch_size, True, policy=policy, num_workers=workers, drop_last=True,
            seed=0, **options,
        )  # fmt: skip


def default_policy(source: Source) -> Policy:
    """Return the preset that suits photographs, or images in memory of their size."""
    if not isinstance(source, ArraySource):
        return presets.imagenet(224)
    return presets.fashion(source.images.shape[1], mean=0.5, std=0.25)


def run_loader(
    console: Console, asked: LoaderOptions, command: str, json: Path | None = None
) -> LoaderResult:
    """Check the loader, measure in interleaved rounds, print the table, and write a file."""
    writable(json)
    rows = contestants(asked)
    check(asked)
    with progress(Console(stderr=True), len(rows) * (asked.rounds + 1), "measuring") as tick:
        rates, stats = _rounds(rows, asked, tick)
    passes = passes_of(asked.policy, _size_of(asked.source))
    result = LoaderResult(
        date=now(), command=command, commit=commit_here(), machine=machine_here(asked.num_workers),
        versions=versions_of(PACKAGES), data=repr(asked.source), samples=len(asked.source),
        batch=asked.batch_size, policy=format_policy(asked.policy), seconds=asked.seconds,
        rounds=asked.rounds, rows=tuple(_rows(rows, rates, stats)),
        framed=passes.framed, moved=passes.moved,
    )  # fmt: skip
    console.print(report(result))
    if json is not None:
        write_text(json, result.model_dump_json(indent=1) + "\n")
    return result


def _size_of(source: Source) -> tuple[int, int] | None:
    return source.images.shape[1:3] if isinstance(source, ArraySource) else None


def contestants(asked: LoaderOptions) -> dict[str, Contestant]:
    """Return what is measured, by name, the limit first."""
    source, policy = asked.source, asked.policy
    basic = Policy([one for one in policy.operations if one.op in BASIC])
    if isinstance(source, ArraySource):
        title = "limit: batches gathered as floats"
        limit: Measure = partial(gather_rate, source, asked.batch_size, asked.num_workers)
    else:
        assert isinstance(source, FolderSource)
        title = "limit: reading and decoding whole"
        limit = partial(decode_rate, source, asked.num_workers)
    rows = {
        "limit": Contestant(title, limit),
        "whole": Contestant.of("augfeed, whole policy", asked.loader(policy)),
        "basic": Contestant.of("augfeed, crop, flip, normalization", asked.loader(basic)),
    }
    if isinstance(source, FolderSource):
        warm = asked.loader(policy, cache="ram")
        for _ in warm:
            pass
        rows["cached"] = Contestant.of("augfeed, whole policy, warm cache", warm)
    return rows


def sized(source: Source, batch: int) -> Source:
    """Return `SAMPLES` files at most, evenly spread, and repeated where they make few batches.

    Raises `InputError` for what is neither files nor arrays.
    """
    if isinstance(source, ArraySource):
        return source
    if not isinstance(source, FolderSource):
        raise InputError(f"{source!r} is neither a folder nor arrays: measure one of those")
    total = len(source)
    count = min(total, SAMPLES)
    which = (np.arange(count) * total // count).tolist() * -(-BATCHES * batch // count)
    classes = source.classes or ["one"]
    labels = [0] * total if source.labels is None else source.labels.tolist()
    pairs = [(source.path(i), int(labels[i])) for i in which[: max(count, BATCHES * batch)]]
    return FolderSource.of(pairs, classes, name=source.name)


def gather_rate(source: ArraySource, batch: int, threads: int, seconds: float) -> float:
    """Return the images/s of indexing random batches and converting them to float32."""
    images = torch.from_numpy(source.images)
    begin = time.perf_counter()

    def gather(seed: int) -> int:
        order = torch.from_numpy(epoch_order(len(images), shuffle=True, seed=seed, epoch=0))
        count, starts = 0, cycle(range(0, len(order) - batch + 1, batch))
        while time.perf_counter() - begin < seconds:
            first = next(starts)
            count += len(images[order[first : first + batch]].float())
        return count

    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(gather, range(threads)))
    return total / (time.perf_counter() - begin)


def check(asked: LoaderOptions) -> None:
    """Refuse to measure a loader whose batches depend on the number of threads."""
    batches = [
        next(iter(asked.loader(asked.policy, threads))) for threads in (0, asked.num_workers)
    ]
    if not all(torch.equal(one, other) for one, other in zip(*batches, strict=True)):
        raise AssertionError("batches differ between 0 and more threads: no rate is given")


def _rounds(
    rows: dict[str, Contestant], asked: LoaderOptions, tick: Tick
) -> tuple[dict[str, list[float]], dict[str, LoaderStats]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of our own do the work, those of the limit too
    try:
        for name, row in rows.items():
            tick(f"{name} (warm-up)")
            row.measure(min(asked.seconds, 0.5))
        before = {name: row.stats() for name, row in rows.items()}
        rates: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(asked.rounds):
            for name, row in rows.items():
                tick(name)
                rates[name].append(row.measure(asked.seconds))
    finally:
        torch.set_num_threads(threads)
    return rates, {name: row.stats().since(before[name]) for name, row in rows.items()}


def _rows(
    rows: dict[str, Contestant], rates: dict[str, list[float]], stats: dict[str, LoaderStats]
) -> Sequence[LoaderRow]:
    limit = Spread.of(rates["limit"]).median
    return [
        LoaderRow.model_validate({
            "name": name, "title": rows[name].title, "rates": tuple(values),
            "rate": Spread.of(values), "share": Spread.of(values).median / limit,
            "times": None if rows[name].loader is None else BatchTimes.of(stats[name]),
        })
        for name, values in rates.items()
    ]  # fmt: skip


def report(result: LoaderResult) -> Group:
    """Return the table of a result, for the terminal."""
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    head = [
        f"{machine.threads} threads on {machine.cores} cores of {machine.cpu} "
        f"({machine.load:.1f} processes busy before)",
        f"{versions}; commit {result.commit or 'unknown'}; {result.date}",
        f"{result.data}, batches of {result.batch}",
        f"policy: {result.policy}",
        f"passes: {Passes(result.framed, result.moved).text}",
        f"median of {result.rounds} interleaved rounds of {result.seconds:g} s, quartiles",
    ]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("what", overflow="fold")
    for name in ("images/s", "of the limit"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result.rows:
        rate = row.rate
        shown = f"{rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
        table.add_row(row.title, shown, "" if row.name == "limit" else f"{row.share:.0%}")
    return Group(*map(Text, head), table, _times(result))


def _times(result: LoaderResult) -> Table:
    table = Table(
        title="microseconds a batch: waited for and computed by the calling thread; by stage, in "
        "all threads",
        title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1),
    )  # fmt: skip
    table.add_column("what", overflow="fold")
    names = ("waited", "computed", "plan", "read", "augment", "targets")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in result.rows:
        if row.times is not None:
            values = row.times.model_dump().values()
            table.add_row(row.title, *(f"{value:,.0f}" for value in values))
    return table
