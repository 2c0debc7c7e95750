"""All that needs an NVIDIA GPU, in one command: `python -m benchmarks.gpu OUT [--only ...]`.

The checks of `tests.augfeed.gpu_checks`, this card's limits and augfeed's share of them, the kernel
and the resident data set beside their peers. Each step is a process of its own, or many side by
side, writes its JSON and its log to OUT, and may be run alone where time on a GPU is short.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from augfeed.bench.kernel import SHAPES
from augfeed.doctor.environment import cores
from tests.augfeed.gpu_checks import CHECKS, TABLES

ROOT = Path(__file__).resolve().parents[1]
TAIL = 30  # lines of a log that are shown
Step = dict[str, list[str]]  # names of processes that run side by side, and Python's arguments


def steps(out: Path, commit: str | None) -> dict[str, list[Step]]:
    """Return, for each name of a step, what is run one after the other."""
    known = ["--commit", commit] if commit else []
    checks = ["tests.augfeed.gpu_checks"]
    rest = ",".join(name for name in CHECKS if name not in TABLES)
    shards = max(1, min(16, cores()))
    tables: Step = {
        f"tables-{k}": [*checks, "--only", ",".join(TABLES), "--shard", f"{k}/{shards}", "--json",
                        str(out / f"tables-{k}.json")]
        for k in range(shards)
    }  # fmt: skip
    kernel: list[Step] = [
        {f"kernel-{shape}": ["benchmarks.bench_kernel", "--device", "cuda", "--shape", shape,
                             "--out", str(out / f"kernel-{shape}.json"), *known]}
        for shape in SHAPES["cuda"]
    ]  # fmt: skip
    return {
        "tables": [tables],
        "checks": [{"checks": [*checks, "--only", rest, "--json", str(out / "checks.json")]}],
        "engine": [{"engine": ["augfeed.cli", "bench", "kernel", "--json",
                               str(out / "engine.json")]}],
        "kernel": kernel,
        "resident": [{"resident": ["benchmarks.bench_resident", "--device", "cuda", "--out",
                                   str(out / "resident.json")]}],
    }  # fmt: skip


def run(step: Step, out: Path, limit: float) -> bool:
    """Run the processes of a step, show the ends of their logs, and return whether all succeeded.

    What is not done within `limit` seconds is ended; it leaves what it had written.
    """
    paths = [str(ROOT / "pipelines"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    begun, running = time.monotonic(), {}
    for name, arguments in step.items():
        with (out / f"{name}.log").open("w") as log:
            running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
    codes = {name: _ended(process, begun + limit) for name, process in running.items()}
    for name, code in codes.items():
        lines = (out / f"{name}.log").read_text(errors="replace").splitlines()
        print(f"== {name}: exit {code}, {time.monotonic() - begun:.0f} s so far", flush=True)
        print("\n".join(lines[-TAIL // len(step) :]), flush=True)
    return not any(codes.values())


def _ended(process: "subprocess.Popen[bytes]", until: float) -> int:
    try:
        return process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 124


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps that are asked for; return the exit status."""
    names = list(steps(Path(), None))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("out", type=Path, help="folder for results and logs")
    parser.add_argument("--only", help=f"names of steps, with commas: {', '.join(names)}")
    parser.add_argument("--limit", type=float, default=540, help="seconds for each process")
    parser.add_argument("--commit", help="of the code, where git does not tell")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else names
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"--only names {unknown}: there are {names}")
    options.out.mkdir(parents=True, exist_ok=True)
    every = steps(options.out.resolve(), options.commit)
    done = [run(step, options.out, options.limit) for name in wanted for step in every[name]]
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
