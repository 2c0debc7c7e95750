"""All that needs an NVIDIA GPU, in one command: `python -m benchmarks.gpu OUT [--only ...]`.

The checks of `tests.augfeed.gpu_checks`, this card's limits and augfeed's share of them, the kernel
and the resident data set beside their peers. Each step is a process of its own, writes its JSON and
its log to OUT, and may be run alone where time on a GPU is short.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TAIL = 40  # lines of a log that are shown


def steps(out: Path, commit: str | None) -> dict[str, list[str]]:
    """Return the steps: names, and the arguments of Python."""
    known = ["--commit", commit] if commit else []
    return {
        "checks": ["tests.augfeed.gpu_checks", "--json", str(out / "checks.json")],
        "engine": ["augfeed.cli", "bench", "kernel", "--json", str(out / "engine.json")],
        "kernel": ["benchmarks.bench_kernel", "--device", "cuda", "--out",
                   str(out / "kernel.json"), *known],
        "resident": ["benchmarks.bench_resident", "--device", "cuda", "--out",
                     str(out / "resident.json")],
    }  # fmt: skip


def run(name: str, arguments: Sequence[str], out: Path, limit: float) -> bool:
    """Run a step, show the end of its log, and return whether it succeeded."""
    paths = [str(ROOT / "pipelines"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    log, begun = out / f"{name}.log", time.monotonic()
    with log.open("w") as file:
        try:
            code = subprocess.run(
                [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=file,
                stderr=subprocess.STDOUT, timeout=limit, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = 124
    lines = log.read_text(errors="replace").splitlines()
    print(f"== {name}: exit {code} after {time.monotonic() - begun:.0f} s", flush=True)
    print("\n".join(lines[-TAIL:]), flush=True)
    return code == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("out", type=Path, help="folder for results and logs")
    parser.add_argument(
        "--only", help="names of steps, with commas: " + ", ".join(steps(Path(), None))
    )
    parser.add_argument("--limit", type=float, default=600, help="seconds that a step may take")
    parser.add_argument("--commit", help="of the code, where git does not tell")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    every = steps(options.out.resolve(), options.commit)
    names = options.only.split(",") if options.only else list(every)
    if unknown := sorted(set(names) - every.keys()):
        parser.error(f"--only names {unknown}: there are {list(every)}")
    done = [run(name, every[name], options.out, options.limit) for name in names]
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
