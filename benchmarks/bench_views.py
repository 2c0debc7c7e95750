"""Views of photos for self-supervised training: `python -m benchmarks.bench_views`.

A rate counts photos, each in all its views.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import track

from benchmarks import common, peer_views
from benchmarks.contest import Job, Work
from benchmarks.data import Photos, make_photos, read_photos
from benchmarks.gate import BASE, GateError
from benchmarks.gate_views import ViewsGate
from benchmarks.peer_transforms import has
from benchmarks.peer_views import Passes
from benchmarks.result import (
    Machine,
    Ratio,
    Result,
    Row,
    Spread,
    commit_here,
    machine_here,
    now,
    slug,
    versions_here,
)
from benchmarks.table import render

ROUNDS, BATCH, SAMPLES, QUICK_SAMPLES = 7, 32, 256, 64
LIMIT = "decoding"
TITLES = {
    "dino": "DINO: photos of 500 px, each in ten views (2 x 224, 8 x 96)",
    "simclr": "SimCLR: photos of 500 px, each in two views (2 x 224)",
}
WORKERS = "in DataLoader workers"
PILLOW = "decodes whole photos with Pillow, once for all views"
S = TypeVar("S")
Make = Callable[[str, Job[Photos], dict[str, Any]], Passes]


@dataclass(frozen=True)
class Maker:
    """Who makes views. `differs` says what it does otherwise, for each recipe."""

    title: str
    make: Make
    differs: dict[str, str]
    work: Work = "whole"


MAKERS = {
    BASE: Maker("augfeed", peer_views.augfeed, {}),
    LIMIT: Maker("simplejpeg in threads", peer_views.decoding,
                 dict.fromkeys(TITLES, "whole photos, thrown away"), "decode"),
    "torchvision": Maker(
        f"torchvision's transforms v2 {WORKERS}", peer_views.torchvision,
        {"dino": f"as DINO's own script has them; {PILLOW}, and blurs with it", "simclr": PILLOW},
    ),
    "lightly": Maker(
        f"lightly's transform {WORKERS}", peer_views.lightly,
        {"dino": PILLOW, "simclr": f"{PILLOW}, and blurs with it; crops are bilinear"},
    ),
}  # fmt: skip


def makers(only: str | None) -> dict[str, Maker]:
    """Return those who are installed, and asked for."""
    named = set(MAKERS) if only is None else {BASE, *only.split(",")}
    if unknown := sorted(named - MAKERS.keys()):
        raise SystemExit(f"--only names {unknown}: there are {sorted(MAKERS)}")
    return {name: maker for name, maker in MAKERS.items()
            if name in named and (name in (BASE, LIMIT) or has(name))}  # fmt: skip


def checked(recipe: str, job: Job[Photos], chosen: dict[str, Maker]) -> dict[str, Passes]:
    """Return the passes of those who do the work of a recipe; raise `GateError` else."""
    gate, runs = ViewsGate(recipe, job.batch, len(job.data)), dict[str, Passes]()
    for name, maker in shown(tuple(chosen.items()), f"{recipe}, gate"):
        runs[name] = maker.make(recipe, job, common.workers_of(job))
        if maker.work == "whole":
            gate.check(name, runs[name])
        else:
            timed(runs[name], len(job.data))
    return runs


def shown(sequence: Sequence[S], title: str) -> Iterable[S]:
    """Return a sequence whose progress is drawn between its elements, while no clock runs."""
    return track(sequence, title, console=Console(stderr=True), auto_refresh=False)


def timed(passes: Passes, photos: int) -> float:
    """Return the seconds of one pass."""
    gc.collect()
    count, begun = 0, time.perf_counter()
    for _, which in passes():
        count += len(which)
    taken = time.perf_counter() - begun
    if count != photos:
        raise GateError([f"{count} of {photos} photos came"])
    return taken


def measured(
    recipe: str, job: Job[Photos], options: argparse.Namespace, machine: Machine
) -> Result:
    """Return the result of a recipe: contestants by turns, after a gate."""
    chosen = makers(options.only)
    runs = checked(recipe, job, chosen)
    seconds = {name: list[float]() for name in runs}
    turns = [name for _ in range(options.rounds) for name in runs]
    for name in shown(turns, recipe):
        seconds[name].append(timed(runs[name], len(job.data)))
    limit = seconds.get(LIMIT)
    rows = tuple(
        Row(name=name, title=chosen[name].title, work=chosen[name].work,
            differs=chosen[name].differs.get(recipe, ""), passes=1, seconds=tuple(own),
            rate=Spread.of([len(job.data) / taken for taken in own]),
            slower=Ratio.of(own, seconds[BASE]), of_limit=Ratio.of(limit, own) if limit else None)
        for name, own in seconds.items()
    )  # fmt: skip
    return Result(
        suite=f"views-{recipe}", title=TITLES[recipe], date=now(), commit=commit_here(),
        machine=machine, versions=versions_here(), data=job.data.name, samples=len(job.data),
        batch=job.batch, chain=f'views="{recipe}"', rounds=options.rounds, rows=rows,
        command=common.command_of("views", options),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write the results; return the exit status."""
    parser = common.parser("views", "folder with a folder of JPEG files for every class", BATCH)
    parser.add_argument("--recipe", choices=tuple(TITLES), help="one of them; default: both")
    options = parser.parse_args(arguments)
    if options.out and not options.recipe:
        parser.error("--out is one file: say which --recipe it is of")
    options.rounds = options.rounds or (common.QUICK_ROUNDS if options.quick else ROUNDS)
    wanted = options.samples or (QUICK_SAMPLES if options.quick else SAMPLES)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        photos = (read_photos(options.data, wanted, options.batch) if options.data
                  else make_photos(Path(folder), wanted, options.batch))  # fmt: skip
        job: Job[Any] = Job(photos, None, photos.classes, options.batch, options.threads,  # type: ignore[arg-type]
                            options.threads)  # fmt: skip
        for recipe in [options.recipe] if options.recipe else TITLES:
            options.recipe, machine = recipe, machine_here(options.threads)
            try:
                result = measured(recipe, job, options, machine)
            except GateError as error:
                sys.stderr.write(f"no figures: the work is not the same\n{error}\n")
                return 1
            sys.stdout.write(render(result) + "\n")
            write(result, options)
    return 0


def write(result: Result, options: argparse.Namespace) -> None:
    """Write a result to `--out`, or beside the others; nowhere after `--quick` alone."""
    name = options.machine or f"{result.machine.cpu} {result.machine.cores} cores"
    own = common.RESULTS / f"{slug(result.suite)}--{slug(name)}.json"
    out = options.out or (None if options.quick else own)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(result.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
