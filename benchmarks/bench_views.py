"""Views of photographs for self-supervised training: `python -m benchmarks.bench_views`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from augfeed import DataLoader
from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.doctor.environment import cores
from benchmarks.bench_photos import decoding
from benchmarks.common import RESULTS, workers_of
from benchmarks.contest import Job
from benchmarks.data import Photos, make_photos, read_photos
from benchmarks.gate import GateError
from benchmarks.peer_transforms import has
from benchmarks.peer_views import LIGHTLY, NUMBERS, TORCHVISION, lightly, torchvision
from benchmarks.result import Ratio, slug
from benchmarks.result_views import PACKAGES, Row, ViewsResult, render

ROUNDS, BATCH, SAMPLES = 7, 32, 256
TITLES = {"dino": "DINO, 2 x 224 and 8 x 96", "simclr": "SimCLR, 2 x 224"}
Images = dict[str, torch.Tensor]
Passes = Callable[[], Iterator[Images]]
NEAR = 0.15  # of means and deviations of normalized values


def augfeed(name: str, job: Job[Photos]) -> Passes:
    """Return the passes of a loader with a preset of views."""
    loader = DataLoader(job.data.source(), job.batch, True, drop_last=True, seed=0,
                        num_workers=job.threads, views=name)  # fmt: skip

    def one_pass() -> Iterator[Images]:
        for images, _ in loader:
            yield images if isinstance(images, dict) else {"global": images}

    return one_pass


def contestants(name: str, job: Job[Photos]) -> dict[str, tuple[str, Passes | None]]:
    """Return who makes the views of a recipe; None stands for decoding whole images alone."""
    workers = workers_of(job)
    found: dict[str, tuple[str, Passes | None]] = {"augfeed": ("augfeed", augfeed(name, job))}
    if has("torchvision"):
        found["torchvision"] = (TORCHVISION, torchvision(name, job, workers))
    if has("lightly"):
        found["lightly"] = (LIGHTLY, lightly(name, job, workers))
    return found | {"decoding": ("simplejpeg in threads, images thrown away", None)}


class Gate:
    """Compares the views of contestants: shapes, draws of their own, statistics."""

    def __init__(self, name: str, batch: int) -> None:
        self.name, self.batch = name, batch
        self.seen: dict[str, dict[str, tuple[float, float]]] = {}

    def check(self, who: str, passes: Passes) -> None:
        """Raise `GateError` unless a contestant does the work of the recipe."""
        found: dict[str, list[torch.Tensor]] = {}
        for images in passes():
            for tensor, (count, size) in NUMBERS[self.name].items():
                values, wanted = images.get(tensor), (count * self.batch, 3, size, size)
                if values is None or tuple(values.shape) != wanted:
                    raise GateError([f"{who}: {tensor} is not of shape {wanted}"])
                if values.dtype != torch.float32 or not bool(values.isfinite().all()):
                    raise GateError([f"{who}: {tensor} is not finite float32"])
                views = values.view(count, self.batch, -1)
                if any(torch.equal(views[0], views[k]) for k in range(1, count)):
                    raise GateError([f"{who}: two views of {tensor} are the same"])
                found.setdefault(tensor, []).append(values.flatten(1)[:, ::97].clone())
        own = {tensor: (float(torch.cat(parts).mean()), float(torch.cat(parts).std()))
               for tensor, parts in found.items()}  # fmt: skip
        self.seen[who] = own
        for tensor, (mean, std) in self.seen["augfeed"].items():
            if abs(own[tensor][0] - mean) > NEAR or abs(own[tensor][1] / std - 1) > NEAR:
                raise GateError([f"{who}: {tensor} has mean and deviation {own[tensor]}, augfeed "
                                 f"has {(mean, std)}"])  # fmt: skip


def measured(name: str, job: Job[Photos], rounds: int) -> list[Row]:
    """Return the rows of a recipe: contestants by turns, each after a pass that the gate sees."""
    gate, runs = Gate(name, job.batch), contestants(name, job)
    for who, (_, passes) in track(runs.items(), description=f"{name}, gate"):
        if passes is not None:
            gate.check(who, passes)
    limit, seconds = decoding(job), {who: list[float]() for who in runs}
    turns = [who for _ in range(rounds) for who in runs]
    for who in track(turns, description=name):
        begun, one = time.perf_counter(), runs[who][1]
        for _ in limit() if one is None else one():
            pass
        seconds[who].append(time.perf_counter() - begun)
    return [
        Row(
            task=TITLES[name], name=who, title=runs[who][0], seconds=tuple(taken),
            rate=Spread.of([len(job.data) / took for took in taken]),
            slower=Ratio.of(taken, seconds["augfeed"]),
            of_decoding=Ratio.of(seconds["decoding"], taken),
        )
        for who, taken in seconds.items()
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_views")
    parser.add_argument("--data", type=Path, help="folder with a folder of JPEG files a class")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--num-workers", dest="threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--recipes", default="dino,simclr", help="names, with commas")
    parser.add_argument("--quick", action="store_true", help="2 rounds, 64 samples, no file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    rounds = 2 if options.quick else options.rounds
    wanted = 2 * BATCH if options.quick else options.samples
    machine = machine_here(options.threads)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        photos = (read_photos(options.data, wanted, BATCH) if options.data
                  else make_photos(Path(folder), wanted, BATCH))  # fmt: skip
        job: Job[Any] = Job(photos, None, photos.classes, BATCH, options.threads, options.threads)  # type: ignore[arg-type]
        try:
            for name in options.recipes.split(","):
                rows += measured(name, job, rounds)
        except GateError as error:
            sys.stderr.write(f"no figures: the work is not the same\n{error}\n")
            return 1
    words = [f"--data {options.data.name}"] if options.data else []
    words += [f"--samples {wanted}", f"--num-workers {options.threads}", f"--rounds {rounds}"]
    result = ViewsResult(
        title="Views of photographs", date=now(), commit=commit_here(), machine=machine,
        versions=versions_of(PACKAGES), rounds=rounds, data=photos.name, samples=len(photos),
        command=" ".join(["python -m benchmarks.bench_views", *words]), rows=tuple(rows),
    )  # fmt: skip
    sys.stdout.write(render(result))
    name = f"views--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out = options.out or (None if options.quick else RESULTS / name)
    if out is not None:
        out.write_text(result.model_dump_json(indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
