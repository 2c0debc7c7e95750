"""How rates change with batch, size, threads and operations: `python -m benchmarks.bench_scaling`.

All points take turns in each round, so that a slow minute of the machine bends no curve.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.doctor.environment import cores
from benchmarks import bench_photos
from benchmarks.chain import PARTS, Augfeed, Chain, Part
from benchmarks.common import RESULTS, Entry, timed
from benchmarks.contest import Contestant
from benchmarks.data import Arrays, Photos, make_arrays, make_photos, read_photos
from benchmarks.gate import check_images, check_targets
from benchmarks.result import slug
from benchmarks.result_scaling import PACKAGES, Point, ScalingResult, render

BATCH, SIZE, SAMPLES, ROUNDS = 64, 224, 512, 7
BATCHES, SIZES = (8, 16, 32, 64, 128, 256), (64, 128, 224, 320, 448)


@dataclass(frozen=True)
class Asked:
    """One point that is to be measured."""

    axis: Any
    value: str
    data: Photos | Arrays
    chain: Chain
    batch: int
    threads: int

    def entry(self) -> Entry[Any]:
        """Return the loader, checked on a whole pass, or raise `SystemExit`."""
        given: Any = self.data
        source = given.source() if isinstance(given, Photos) else (given.images, given.labels)
        passes = Augfeed(source, self.chain, batch=self.batch, threads=self.threads)
        problems: set[str] = set()
        count = 0
        for images, targets in passes():
            problems.update(check_images(images, self.batch, self.chain))
            if self.chain.softens:
                problems.update(check_targets(targets, self.batch, given.classes))
            count += len(images)
        if problems or count != len(given):
            raise SystemExit(f"{self.axis}={self.value}: {count} samples, {sorted(problems)}")
        return Entry(Contestant(f"{self.axis}={self.value}", "", lambda _: passes), passes)


def points(photos: Photos, arrays: Arrays, threads: int) -> Iterator[Asked]:
    """Yield all points."""
    chain = replace(bench_photos.CHAIN, size=SIZE)
    for batch in BATCHES:
        if batch <= len(photos):
            yield Asked("batch", f"{batch}", photos, chain, batch, threads)
    for size in SIZES:
        cut = max(1, size // 4)
        yield Asked(
            "size", f"{size}", photos, replace(chain, size=size, cutout=cut), BATCH, threads
        )
    for count in [*_doubling(threads), threads]:
        yield Asked("threads", f"{count}", photos, chain, BATCH, count)
    done: list[Part] = []
    yield Asked("parts", "normalise", arrays, chain.only(), BATCH, threads)
    for part in PARTS:
        done.append(part)
        yield Asked("parts", f"+ {part}", arrays, chain.only(*done), BATCH, threads)


def _doubling(most: int) -> Iterator[int]:
    count = 1
    while count < most:
        yield count
        count *= 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_scaling")
    parser.add_argument("--data", type=Path, help="folder with a folder of JPEG files a class")
    parser.add_argument("--num-workers", dest="threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--quick", action="store_true", help="2 rounds, few samples, no file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.samples = 2, 128
    torch.set_num_threads(options.threads)
    machine = machine_here(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        whole = max(batch for batch in BATCHES if batch <= options.samples)
        photos = (
            read_photos(options.data, options.samples, whole)
            if options.data
            else make_photos(Path(folder), options.samples, whole)
        )
        arrays = make_arrays(options.samples, BATCH, SIZE, 3)
        asked = [*points(photos, arrays, options.threads)]
        entries = [one.entry() for one in track(asked, description="checking, warming up")]
        seconds: list[list[float]] = [[] for _ in asked]
        for _ in track(range(options.rounds), description="measuring"):
            for taken, one, entry in zip(seconds, asked, entries, strict=True):
                taken.append(timed(entry, len(one.data)))
    data = f" --data {options.data.name}" if options.data else ""
    result = ScalingResult(
        title="Scaling", date=now(), commit=commit_here(), machine=machine,
        command=f"python -m benchmarks.bench_scaling{data} --num-workers {options.threads} "
        f"--rounds {options.rounds} --samples {options.samples}",
        versions=versions_of(PACKAGES), files=photos.name,
        arrays=f"{arrays.name}, in memory", batch=BATCH, size=SIZE, rounds=options.rounds,
        points=tuple(_points(asked, seconds)),
    )  # fmt: skip
    sys.stdout.write(render(result))
    name = f"scaling--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out = options.out or (None if options.quick else RESULTS / name)
    if out is not None:
        out.write_text(result.model_dump_json(indent=1) + "\n")
    return 0


def _points(asked: Sequence[Asked], seconds: Sequence[Sequence[float]]) -> Iterator[Point]:
    before: tuple[str, float] | None = None
    for one, taken in zip(asked, seconds, strict=True):
        rate = Spread.of([len(one.data) / took for took in taken])
        spent = 1e6 * one.threads / rate.median
        known = before is not None and before[0] == one.axis == "parts"
        yield Point(
            axis=one.axis, value=one.value, samples=len(one.data), seconds=tuple(taken), rate=rate,
            cost=spent - before[1] if before is not None and known else None,
        )  # fmt: skip
        before = one.axis, spent


if __name__ == "__main__":
    raise SystemExit(main())
