"""The batch service among its enemies: `python -m benchmarks.soak_service --minutes 10`."""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from benchmarks.common import RESULTS
from benchmarks.result import slug
from benchmarks.result_soak import PACKAGES, Life, SoakResult, render
from benchmarks.soak_actors import Actors, plans_of, write_data
from benchmarks.soak_attacks import ATTACKS
from benchmarks.soak_replicas import Herd

CALM = 0.25  # of the time that is left after the start, without faults
POINTS = 200  # of memory over time that are kept of each process
NAMES = (*ATTACKS, "half-headers")


def soak(minutes: float, replicas: int, seed: int, attacks: Sequence[str]) -> SoakResult:
    """Return what was seen; the time counts from here, the start of the replicas included, and is
    more where else nothing would be seen."""
    begun = time.monotonic()
    machine = machine_here(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder, seed)
        herd = Herd(data, replicas, folder)
        try:
            actors = Actors(herd, plans_of(data, seed), seed, attacks)
            seconds = _run(actors, begun + 60 * minutes)
        finally:
            herd.close()
        logs = "".join(herd.log(k).read_text(errors="replace") for k in range(replicas))
    tally = actors.tally
    statuses: Counter[str] = Counter()
    for life in (life for lives in herd.lives for life in lives):
        statuses += life.statuses
    return SoakResult(
        date=now(), commit=commit_here(), machine=machine, versions=versions_of(PACKAGES),
        command=f"python -m benchmarks.soak_service --minutes {minutes:g} --replicas {replicas} "
        f"--seed {seed}", seed=seed, minutes=minutes, batches=tally.counts["batches"],
        wrong=tally.counts["wrong"], pushes=tally.counts["pushes"],
        previews=tally.counts["previews"], refused=tally.counts["refused"],
        killed=tally.counts["SIGKILL"], terminated=tally.counts["SIGTERM"],
        failures=dict(tally.failures), tracebacks=logs.count("Traceback (most recent"),
        calm=tally.images["calm"] / seconds["calm"], storm=tally.images["storm"] / seconds["storm"],
        statuses=dict(statuses), outcomes={k: dict(v) for k, v in tally.outcomes.items()},
        lives=tuple(
            Life(replica=k, base=life.base, budget=life.budget, peak=life.peak, struck=life.struck,
                 points=tuple(life.points[:: max(1, len(life.points) // POINTS)]))
            for k, lives in enumerate(herd.lives) for life in lives
        ),
    )  # fmt: skip


def _run(actors: Actors, until: float) -> dict[str, float]:
    # Return how many seconds each part took: both as long as it takes to see something.
    actors.warm()
    begun, tally = time.monotonic(), actors.tally
    turn = begun + CALM * (until - begun)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    try:
        actors.begin(*map(actors.reading, actors.plans), actors.push, actors.preview)
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("", total=max(until - begun, 0.1))
            while (at := time.monotonic()) < until or actors.part == "calm" or not actors.seen():
                if at >= turn and actors.part == "calm" and actors.seen():
                    turn, actors.part = at, "storm"
                    actors.begin(actors.attack, actors.attack, actors.dawdle, actors.kill)
                batches = tally.counts["batches"]
                progress.update(bar, completed=at - begun,
                                description=f"{actors.part}: {batches:,} batches")  # fmt: skip
                time.sleep(0.1)
    finally:
        ended = time.monotonic()
        actors.end()
    return {"calm": max(turn - begun, 0.1), "storm": max(ended - turn, 0.1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print the table, write the result; return 0 if all held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak_service")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attacks", default=",".join(NAMES), help="all by default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    attacks = [name for name in options.attacks.split(",") if name]
    if unknown := sorted(set(attacks) - set(NAMES)):
        parser.error(f"attacks {unknown} are unknown: use some of {[*NAMES]}")
    if options.replicas < 2:
        parser.error(f"replicas={options.replicas} is below 2: one is always being ended")
    result = soak(options.minutes, options.replicas, options.seed, attacks)
    machine = result.machine
    out = options.out or RESULTS / f"soak--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out.write_text(result.model_dump_json(indent=1) + "\n")
    print(render(result))
    return 1 if result.broken() else 0


if __name__ == "__main__":
    raise SystemExit(main())
