"""What can only be seen on an NVIDIA GPU, as plain functions: pytest runs them, or this file alone.

`python -m tests.augfeed.gpu_checks [--only NAME,...] [--shard 3/16] [--seconds N] [--json FILE]`,
where there is no pytest. A process compiles one kernel after another; several of them share what
they compiled. `AUGFEED_CHECKS_ON=cpu` rehearses the checks where Triton is interpreted.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from augfeed.engines import Output, engine_for
from augfeed.engines.cuda import CudaEngine
from augfeed.plan import BatchRows, draw_plan
from augfeed.policy import Normalize, Policy
from tests.augfeed.gpu_loaders import DEVICE, LOADING, syncs_are_errors
from tests.augfeed.gpu_modules import MODULES
from tests.augfeed.gpu_reading import READING
from tests.cases import (
    CASES,
    GEOMETRY,
    JITTER,
    SHAPES,
    STATISTICS,
    USUAL,
    WINDOWS,
    Shape,
    assert_agree,
    make_images,
    offsets_of,
    plan_of,
    policy_of,
    window_of,
)

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
SHARD = [0, 1]  # which part of the tables, of how many
UNTIL = [float("inf")]  # when tables end, as `time.monotonic` counts
MOST_FAILURES = 5  # of a table that are reported
# Hundreds of kernels to compile. The longest comes last: it gets the time that the others leave.
TABLES = ("same_bits", "windows_and_outputs", "case_table")
PATIENCE = 110  # seconds that one of compute-sanitizer's tools gets
LARGE = Shape(3, 224, 224, 16)
MEASURED = (LARGE,) if DEVICE == "cuda" else ()  # an interpreter takes minutes for it
OUTPUTS = [Output(dtype, last) for dtype in
           (torch.float32, torch.float16, torch.bfloat16, torch.uint8)
           for last in (False, True)]  # fmt: skip


class UnfinishedError(Exception):
    """A table whose time was over; the message says how far it came."""


def agree(policy: Policy, shape: Shape, images: torch.Tensor, output: Output = Output(),  # noqa: B008
          **options: Any) -> None:  # fmt: skip
    """Fail unless the GPU's batch is the CPU's within the tolerances, all of it written."""
    plan = plan_of(policy, shape)
    wanted = engine_for("cpu", "cpu").apply(plan, images, output=output, **options)
    loaded = CudaEngine(DEVICE).load(plan, images.to(DEVICE), output=output, **options)
    out = loaded.empty()
    out.fill_(torch.nan if out.is_floating_point() else 77)
    assert_agree(wanted, loaded.run(out).cpu(), plan)


def part(items: Iterable[T]) -> list[T]:
    """Return the share of this process of a table, all of it unless `--shard` says otherwise."""
    return list(items)[SHARD[0] :: SHARD[1]]


def every(items: Iterable[tuple[str, T]], check: Callable[[T], None]) -> None:
    """Check this process's share of a table: all of it though some fail, while time is left."""
    mine, failures = part(items), list[str]()
    for done, (name, item) in enumerate(mine):
        if time.monotonic() > UNTIL[0] and not failures:
            raise UnfinishedError(f"{done} of {len(mine)} passed, then time was over")
        try:
            check(item)
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}"[:600])
            print(failures[-1], flush=True)  # a process that is stopped has said it
    assert not failures, f"{len(failures)} of {len(mine)}: " + "; ".join(failures[:MOST_FAILURES])


def case_table() -> None:
    """The table of cases at 224 x 224, at the usual shape, and at every awkward one."""

    def check(row: tuple[Any, Shape, bool]) -> None:
        operations, shape, floats = row
        images = make_images(shape)
        agree(
            policy_of(operations, shape.channels), shape, images.float() / 255 if floats else images
        )

    # Shape by shape, so that a part of the table has every operation.
    shapes = (*MEASURED, USUAL, *(shape for shape in SHAPES if shape != USUAL))
    rows = [(operations, shape, False) for shape in shapes for operations in CASES.values()]
    rows += [(operations, USUAL, True) for operations in CASES.values()]
    every(((f"{row[0]} at {row[1]}", row) for row in rows), check)


def windows_and_outputs() -> None:
    """Windows of every kind; every element type and layout."""

    def window(row: tuple[Any, Shape, Any]) -> None:
        kind, shape, operations = row
        crop, images = window_of(kind, shape)
        policy = policy_of(operations, shape.channels, crop)
        agree(policy, shape, images, offsets=offsets_of(plan_of(policy, shape), images))

    def output(row: tuple[str, Output, Shape]) -> None:
        name, output, shape = row
        policy = policy_of(CASES[name], 3)
        if output.dtype == torch.uint8:
            policy = Policy([o for o in policy.operations if not isinstance(o, Normalize)])
        agree(policy, shape, make_images(shape), output)

    chains = ((), (JITTER, STATISTICS), (*GEOMETRY, JITTER))
    windows = [(kind, shape, chain) for kind in WINDOWS for shape in SHAPES for chain in chains]
    every(((str(row), row) for row in windows), window)
    outputs = [
        (name, output, shape)
        for name in ("whole chain", "geometry", "flips, some", "cutmix", "all noise")
        for output in OUTPUTS
        for shape in (USUAL, *MEASURED, SHAPES[-1])
    ]
    every(((str(row), row) for row in outputs), output)


def same_bits() -> None:
    """Bit-identical run after run, for any partition into batches, on any stream."""
    engine, count = CudaEngine(DEVICE), 40
    images = make_images(Shape(3, 64, 48, count)).to(DEVICE)
    order = np.random.default_rng(4).permutation(count)

    def check(row: tuple[str, Any]) -> None:
        name, operations = row
        policy = policy_of(operations, 3)

        def batch(first: int, last: int) -> torch.Tensor:
            rows = BatchRows.at(np.arange(first, last), order, mixing=True)
            plan = draw_plan(policy, rows, seed=9, epoch=2, size=(64, 48))
            return engine.apply(plan, images, places=plan.ids, output=Output(torch.bfloat16))

        whole = batch(0, count)
        assert torch.equal(whole, batch(0, count)), "another run"
        with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
            aside = batch(0, count)
        torch.cuda.synchronize()
        assert torch.equal(whole, aside), "another stream"
        for first, last in ((0, 8), (8, 9), (9, 31), (31, 40)):
            if "per batch" not in name:
                assert torch.equal(whole[first:last], batch(first, last)), (first, last)

    every(((name, (name, operations)) for name, operations in CASES.items()), check)


def graph_equals_eager() -> None:
    """A captured pass replays other plans with the bits that launching has."""
    engine = CudaEngine(DEVICE)
    for shape in (USUAL, *MEASURED):
        images = make_images(shape).to(DEVICE)
        for name in ("whole chain", "jitter", "cutmix", "nothing"):
            policy = policy_of(CASES[name], 3)
            recorded = engine.record(plan_of(policy, shape, seed=0), images)
            for seed in range(1, 6):
                plan = plan_of(policy, shape, seed=seed)
                with syncs_are_errors():
                    made = recorded.replay(plan)
                assert torch.equal(made, engine.apply(plan, images)), name


def several_devices() -> None:
    """The engine runs on the device that it is given, whichever is current."""
    if torch.cuda.device_count() < 2:
        raise LookupError("there is one GPU")
    last = torch.cuda.device_count() - 1
    with torch.cuda.device(0):
        plan = plan_of(policy_of(CASES["whole chain"], 3), USUAL)
        made = CudaEngine(f"cuda:{last}").apply(plan, make_images(USUAL))
    assert made.device.index == last
    assert_agree(engine_for("cpu", "cpu").apply(plan, make_images(USUAL)), made.cpu(), plan)


def memcheck() -> None:
    """compute-sanitizer's memcheck finds nothing on small shapes."""
    # Errors that torch asks for, to find out what a device can do, are not ours.
    _sanitized("memcheck", "--report-api-errors", "no")


def racecheck() -> None:
    """compute-sanitizer's racecheck finds nothing on small shapes."""
    _sanitized("racecheck")


def _sanitized(kind: str, *more: str) -> None:
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).exists():
        raise LookupError("compute-sanitizer is not installed")
    # Each tensor in memory of its own: within torch's blocks nothing is seen that reads too far.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    command = [tool, "--tool", kind, *more, "--error-exitcode", "9", sys.executable, "-m",
               "tests.augfeed.gpu_checks", "--only", "small_shapes"]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    ) as running:  # fmt: skip
        try:
            said, _ = running.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as ended:
            os.killpg(running.pid, signal.SIGKILL)  # with the program that it looks at
            raise UnfinishedError(f"{kind} was ended after {PATIENCE} s") from ended
    if "not supported" in said:
        raise LookupError(f"{kind} does not support this device here")
    assert running.returncode == 0, f"{kind}: {said[-4000:]}"


def small_shapes() -> None:
    """A few cases at awkward shapes, for a tool that makes everything slow."""
    for name in ("whole chain", "geometry, reflect", "cutmix, some", "all noise", "jitter, some"):
        for shape in (Shape(3, 17, 13, 3), Shape(1, 2, 3, 9), Shape(3, 32, 32, 4)):
            agree(policy_of(CASES[name], shape.channels), shape, make_images(shape))
    for window in WINDOWS:
        shape = Shape(3, 16, 16, 5)
        crop, images = window_of(window, shape)
        policy = policy_of((JITTER,), 3, crop)
        agree(policy, shape, images, offsets=offsets_of(plan_of(policy, shape), images))


CHECKS: dict[str, Callable[[], None]] = {
    "graph_equals_eager": graph_equals_eager,
    **LOADING,
    **MODULES,
    **READING,
    "several_devices": several_devices,
    "same_bits": same_bits,
    "case_table": case_table,
    "windows_and_outputs": windows_and_outputs,
    "memcheck": memcheck,
    "racecheck": racecheck,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the checks, print a line for each, write what was found; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.augfeed.gpu_checks")
    parser.add_argument("--only", help="names, with commas")
    parser.add_argument("--json", type=Path, help="file for the outcome")
    parser.add_argument("--shard", help="k/n: this part of the tables only", default="0/1")
    parser.add_argument("--seconds", type=float, help="shared by the tables, which end then")
    options = parser.parse_args(arguments)
    SHARD[:] = map(int, options.shard.split("/"))
    known = {**CHECKS, "small_shapes": small_shapes}
    names = options.only.split(",") if options.only else list(CHECKS)
    ends = time.monotonic() + options.seconds if options.seconds else float("inf")
    found: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(names):
        UNTIL[0] = _share(ends, names[place:])
        begun = time.perf_counter()
        try:
            known[name]()
            outcome = "passed"
        except UnfinishedError as unfinished:
            outcome = f"unfinished: {unfinished}"
        except LookupError as missing:
            outcome = f"skipped: {missing}"
        except Exception:
            outcome = f"failed: {traceback.format_exc(limit=-3)}"
        found[name] = {"outcome": outcome, "seconds": round(time.perf_counter() - begun, 1)}
        print(f"{name}: {outcome} ({found[name]['seconds']} s)", flush=True)
        if options.json:  # after each: anyone who is stopped leaves what was found
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(item["outcome"].startswith("failed") for item in found.values()))


def _share(ends: float, names: list[str]) -> float:
    # When the first of several checks ends, if tables share the time that is left.
    now = time.monotonic()
    return now + (ends - now) / max(1, sum(name in TABLES for name in names))


if __name__ == "__main__":
    raise SystemExit(main())
