"""All that needs an NVIDIA GPU, in one command: `python -m benchmarks.gpu OUT --seconds N`.

Steps in order of worth, each a process, or several side by side, with a limit of its own; results
and logs go to OUT as they come, and a step that fails does not stop the next. `--resume` goes on
where an earlier run with the same OUT left off; `--rehearse` goes through everything without a GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu import ROOT, SOURCES
from benchmarks.gpu.shards import write_joined
from benchmarks.gpu.steps import SECONDS, STARTING, RunInputs, Step, steps

TAIL = 24  # lines of logs that are shown
LEAST = 15.0  # seconds that a step must have to be begun
MARGIN = 3.0  # seconds that are kept for packing
PATIENCE = 4  # times the limit of a step that a rehearsal may take: few cores interpret
RECORD = "steps.json"
TABLES = "tables"  # whose processes each check a part


class Record:
    """What became of each step, in a file that is written after each of them."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.found: dict[str, Any] = {}
        if resume and path.exists():
            self.found = json.loads(path.read_text())

    def done(self, step: Step) -> bool:
        """Return whether a step need not be run again."""
        return bool(self.found.get(step.name, {}).get("outcome") == "done")

    def write(self, step: Step, outcome: str, seconds: float) -> None:
        """Keep what became of a step."""
        self.found[step.name] = {"outcome": outcome, "seconds": round(seconds, 1)}
        self.path.write_text(json.dumps(self.found, indent=1) + "\n")


def run(step: Step, given: RunInputs, limit: float) -> str:
    """Run the processes of a step, show the ends of their logs, and return what became of it.

    What is not done within `limit` seconds is ended; it leaves what it had written.
    """
    begun, running = time.monotonic(), {}
    for name, arguments in step.processes.items():
        with (given.out / f"{name}.log").open("w") as log:
            running[name] = subprocess.Popen(
                [sys.executable, "-m", *_launched(arguments, given, limit)], cwd=ROOT,
                env=_environment(given, len(step.processes)), stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
    codes = {name: _ended(process, begun + limit) for name, process in running.items()}
    print(f"== {step.name}: {time.monotonic() - begun:.0f} s, exit {sorted(set(codes.values()))}")
    for name, code in codes.items():
        lines = (given.out / f"{name}.log").read_text(errors="replace").splitlines()
        share = TAIL // len(codes) + (8 if code else 0)
        print("\n".join(f"   {line[:220]}" for line in lines[-share:] if line.strip()), flush=True)
    if 124 in codes.values():
        return "ended at its limit"
    failed = sorted(name for name, code in codes.items() if code)
    return f"failed: {', '.join(failed)}" if failed else "done"


def _launched(arguments: list[str], given: RunInputs, limit: float) -> list[str]:
    seconds = f"{max(1.0, limit - STARTING):.0f}"
    made = [seconds if word == SECONDS else word for word in arguments]
    return ["benchmarks.gpu.rehearsal", *made] if given.rehearse else made


def _environment(given: RunInputs, processes: int) -> dict[str, str]:
    paths = [str(ROOT / name) for name in SOURCES]
    made = {
        **os.environ, "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]).rstrip(":"),
    }  # fmt: skip
    if processes > 1:  # side by side, each on one core
        made |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    if given.rehearse:
        made |= {"TRITON_INTERPRET": "1", "AUGFEED_CHECKS_ON": "cpu"}
    return made


def _ended(process: "subprocess.Popen[bytes]", until: float) -> int:
    try:
        return process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)  # with the workers that it started
        process.wait()
        return 124


def pack(out: Path) -> Path:
    """Write results and logs as one archive beside them; return its path."""
    path = out / "gpu-results.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(out.iterdir()):
            if file.suffix in (".json", ".log"):
                archive.add(file, file.name)
    return path


def parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the arguments."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    made.add_argument("out", type=Path, help="folder for results and logs")
    made.add_argument("--seconds", type=float, default=540, help="for all steps, default 540")
    made.add_argument("--only", help=f"steps to run, with commas: {', '.join(names)}")
    made.add_argument("--resume", action="store_true", help="leave out steps that are done in OUT")
    made.add_argument("--rehearse", action="store_true", help="every step without a GPU, tiny")
    made.add_argument("--fashion", type=Path, help="folder of idx files")
    made.add_argument("--photos", type=Path, help="folder with a folder of JPEG files a class")
    made.add_argument("--commit", help="of the code, where it is not a repository")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps that are asked for; return the exit status."""
    begun = time.monotonic()
    known = steps(RunInputs(Path(), fashion=Path()))
    options = parser([step.name for step in known]).parse_args(arguments)
    wanted = options.only.split(",") if options.only else [step.name for step in known]
    if unknown := sorted(set(wanted) - {step.name for step in known}):
        raise SystemExit(f"--only names {unknown}: there are {[step.name for step in known]}")
    options.out.mkdir(parents=True, exist_ok=True)
    fashion, photos = (path and path.resolve() for path in (options.fashion, options.photos))
    given = RunInputs(options.out.resolve(), options.rehearse, options.commit, fashion, photos)
    record = Record(given.out / RECORD, resume=options.resume)
    by_name = {step.name: step for step in steps(given)}
    for step in (by_name[name] for name in wanted if name in by_name):  # in the order given
        if record.done(step):
            continue
        left = options.seconds - MARGIN - (time.monotonic() - begun)
        if left < LEAST:
            print(f"== {step.name}: not begun, {left:.0f} s are left", flush=True)
            record.write(step, "not begun", 0.0)
            continue
        at = time.monotonic()
        limit = step.limit * (PATIENCE if given.rehearse else 1)
        outcome = run(step, given, min(limit, left))
        record.write(step, outcome, time.monotonic() - at)
        if step.name == TABLES:
            parts = [given.out / f"{name}.json" for name in step.processes]
            write_joined(parts, given.out / f"{TABLES}.json")
        pack(given.out)  # whenever this process is ended, it is there
    pack(given.out)
    for name, item in record.found.items():
        print(f"{name:18} {item['outcome']:28} {item['seconds']:6.1f} s", flush=True)
    return 0 if all(record.done(step) for step in steps(given) if step.name in wanted) else 1


if __name__ == "__main__":
    raise SystemExit(main())
