"""How a benchmark runs: the gate, a warm-up round, then interleaved rounds against the clock."""

import argparse
import gc
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from augfeed import format_policy
from augfeed.doctor.environment import cores
from benchmarks.chain import policy_of
from benchmarks.contest import Contestant, D, Job, Passes, Suite
from benchmarks.gate import BASE, Gate, GateError
from benchmarks.result import (
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

RESULTS = Path(__file__).parent / "results"
ROUNDS, QUICK_ROUNDS = 9, 2
SHORTEST = 0.3  # seconds that a round of a contestant should take at least
MOST_PASSES = 10

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Entry(Generic[D]):
    """A contestant that is ready, and how often it passes over the data in a round."""

    contestant: Contestant[D]
    batches: Passes
    passes: int = 1


def measure(suite: Suite[D], rounds: int, command: str, tick: Tick = lambda _: None) -> Result:
    """Return the result of a suite; raise `GateError` before any time is taken."""
    torch.set_num_threads(suite.job.threads)
    machine = machine_here(suite.job.threads)
    entries = warm_up(suite, tick)
    seconds: dict[str, list[float]] = {entry.contestant.name: [] for entry in entries}
    for _ in range(rounds):
        for entry in entries:
            tick(entry.contestant.name)
            seconds[entry.contestant.name].append(timed(entry, len(suite.job.data)))
    return Result(
        suite=suite.name,
        title=suite.title,
        date=now(),
        command=command,
        commit=commit_here(),
        machine=machine,
        versions=versions_here(),
        data=suite.data,
        samples=len(suite.job.data),
        batch=suite.job.batch,
        chain=format_policy(policy_of(suite.job.chain)),
        rounds=rounds,
        rows=tuple(_row(entry, seconds, len(suite.job.data)) for entry in entries),
    )


def warm_up(suite: Suite[D], tick: Tick) -> list[Entry[D]]:
    """Return the contestants, each after one pass that nobody times and the gate looks at."""
    gate, entries = Gate(suite), []
    for contestant in suite.contestants:
        tick(f"{contestant.name} (gate)")
        gate.probe(contestant)
        entries.append(Entry(contestant, contestant.make(suite.job)))
    for k, entry in enumerate(entries):
        tick(f"{entry.contestant.name} (warm-up)")
        gate.watch(entry.contestant, entry.batches())
        if not gate.problems:
            once = timed(entry, len(suite.job.data))
            passes = min(MOST_PASSES, math.ceil(SHORTEST / once))
            entries[k] = replace(entry, passes=passes)
    gate.close()
    return entries


def timed(entry: Entry[D], samples: int) -> float:
    """Return the seconds that one pass takes, in the mean over `entry.passes`."""
    gc.collect()
    count, start = 0, time.perf_counter()
    for _ in range(entry.passes):
        for images, _ in entry.batches():
            count += len(images)
    taken = time.perf_counter() - start
    if count != samples * entry.passes:
        raise GateError([f"{entry.contestant.name}: {count} samples came in {entry.passes} passes"])
    return taken / entry.passes


def _row(entry: Entry[D], seconds: dict[str, list[float]], samples: int) -> Row:
    contestant = entry.contestant
    own, limit = seconds[contestant.name], seconds.get(contestant.limit)
    return Row(
        name=contestant.name,
        title=contestant.title,
        work=contestant.work,
        differs=contestant.differs,
        passes=entry.passes,
        seconds=tuple(own),
        rate=Spread.of([samples / taken for taken in own]),
        slower=Ratio.of(own, seconds[BASE]),
        of_limit=Ratio.of(limit, own) if limit else None,
    )


PRELOADED = ["torch", "benchmarks.bench_arrays", "benchmarks.bench_photos"]


def workers_of(job: Job[D]) -> dict[str, Any]:
    """Return the arguments for the workers of a torch DataLoader, which live for all rounds."""
    if not job.workers:
        return {"num_workers": 0}
    # Not "fork": threads of this process are running. Workers are forked from a process that has
    # imported what they need: else each of them would do so.
    multiprocessing.set_forkserver_preload(PRELOADED)
    return {
        "num_workers": job.workers,
        "persistent_workers": True,
        "multiprocessing_context": "forkserver",
    }


# The command line


def parser(suite: str, data: str, batch: int) -> argparse.ArgumentParser:
    """Return the arguments that all benchmarks have."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.bench_{suite}")
    made.add_argument("--data", type=Path, help=data)
    made.add_argument("--samples", type=int, help="samples of a pass, at most")
    made.add_argument(
        "--batch-size", dest="batch", type=int, default=batch, help="samples of a batch"
    )
    made.add_argument(
        "--num-workers", dest="threads", type=int, default=cores(), help="of every contestant"
    )
    made.add_argument("--rounds", type=int, help=f"default {ROUNDS}; at least 7 to be published")
    made.add_argument("--only", help="names of contestants, with commas; augfeed always runs")
    made.add_argument("--quick", action="store_true", help="few rounds, little data, no file")
    made.add_argument("--machine", help="name of this machine in the file's name")
    made.add_argument("--out", type=Path, help="file of the result")
    return made


def option_of(name: str) -> str:
    """Return the option that sets a value of the parsed arguments."""
    renamed = {"batch": "batch-size", "threads": "num-workers"}
    return f"--{renamed.get(name, name)}"


def command_of(suite: str, options: argparse.Namespace) -> str:
    """Return the command that was given, with the name of a folder in place of its path."""
    words = [f"python -m benchmarks.bench_{suite}"]
    for name in ("recipe", "data", "samples", "batch", "threads", "rounds", "only", "quick",
                 "large", "color"):  # fmt: skip
        value, option = getattr(options, name, None), option_of(name)
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words.append(f"{option} {value.name if isinstance(value, Path) else value}")
    return " ".join(words)


def main(suite: Suite[D], options: argparse.Namespace) -> int:
    """Run a suite, print its table, and write its file; return the exit status."""
    console = Console(stderr=True)
    suite = replace(suite, contestants=chosen(suite, options.only))
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    command = command_of(suite.name.partition("-")[0], options)
    try:
        with _progress(console) as progress:
            total = len(suite.contestants) * (rounds + 2)
            task = progress.add_task(suite.name, total=total)
            result = measure(suite, rounds, command, lambda text: _tick(progress, task, text))
    except GateError as error:
        console.print(f"[red]no figures:[/] the work is not the same\n{error}", highlight=False)
        return 1
    sys.stdout.write(render(result))
    out = options.out or (None if options.quick else _default_out(result, options.machine))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(result.model_dump_json(indent=1) + "\n")
    return 0


def chosen(suite: Suite[D], only: str | None) -> tuple[Contestant[D], ...]:
    """Return the contestants that were asked for."""
    if only is None:
        return suite.contestants
    names = {BASE, *only.split(",")}
    known = {contestant.name for contestant in suite.contestants}
    if unknown := sorted(names - known):
        raise SystemExit(f"--only names {unknown}: there are {sorted(known)}")
    return tuple(item for item in suite.contestants if item.name in names)


def _progress(console: Console) -> Progress:
    # Drawn between the timed passes only, so that no thread of it takes time from them.
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, auto_refresh=False,
    )  # fmt: skip


def _tick(progress: Progress, task: object, text: str) -> None:
    progress.update(task, description=text, advance=1)  # type: ignore[arg-type]
    progress.refresh()


def _default_out(result: Result, machine: str | None) -> Path:
    name = machine or f"{result.machine.cpu} {result.machine.cores} cores"
    return RESULTS / f"{slug(result.suite)}--{slug(name)}.json"
