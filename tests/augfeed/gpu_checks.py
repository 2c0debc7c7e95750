"""What can only be seen on an NVIDIA GPU, as plain functions: pytest runs them, or this file alone.

`python -m tests.augfeed.gpu_checks [--only NAME,...] [--shard 3/16] [--json FILE]`, where there is
no pytest. A process compiles one kernel after another; several of them share what they compiled.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.engines import Output, engine_for
from augfeed.engines.cuda import CudaEngine
from augfeed.plan import Rows, draw_plan
from augfeed.policy import Normalize, Policy
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
    offsets_of,
    pictures,
    plan_of,
    policy_of,
    window_of,
)

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
SHARD = [0, 1]  # which part of the tables, of how many
TABLES = ("case_table", "windows_and_outputs", "same_bits")  # hundreds of kernels to compile
POLICY = (
    "random_crop(32, padding=4, mode='reflect') | hflip | color_jitter(0.4, contrast=0.4) "
    "| one_of([mixup(0.2), cutmix(1.0)]) | cutout(8) | normalize(0.5, 0.25) | gaussian_noise(0.05)"
)
LARGE = Shape(3, 224, 224, 16)
OUTPUTS = [Output(dtype, last) for dtype in
           (torch.float32, torch.float16, torch.bfloat16, torch.uint8)
           for last in (False, True)]  # fmt: skip


def agree(policy: Policy, shape: Shape, images: torch.Tensor, output: Output = Output(),  # noqa: B008
          **options: Any) -> None:  # fmt: skip
    """Fail unless the GPU's batch is the CPU's within the tolerances, all of it written."""
    plan = plan_of(policy, shape)
    wanted = engine_for("cpu", "cpu").apply(plan, images, output=output, **options)
    loaded = CudaEngine().load(plan, images.cuda(), output=output, **options)
    out = loaded.empty()
    out.fill_(torch.nan if out.is_floating_point() else 77)
    assert_agree(wanted, loaded.run(out).cpu(), plan)


def part(items: Iterable[T]) -> list[T]:
    """Return the share of this process of a table, all of it unless `--shard` says otherwise."""
    return list(items)[SHARD[0] :: SHARD[1]]


def case_table() -> None:
    """The table of cases at every awkward shape, and at 224 x 224."""
    for operations in part(CASES.values()):
        for shape in (*SHAPES, LARGE):
            agree(policy_of(operations, shape.channels), shape, pictures(shape))
        agree(policy_of(operations, 3), USUAL, pictures(USUAL).float() / 255)


def windows_and_outputs() -> None:
    """Windows of every kind; every element type and layout."""
    for window in WINDOWS:
        for shape in part(SHAPES):
            for operations in ((), (JITTER, STATISTICS), (*GEOMETRY, JITTER)):
                crop, images = window_of(window, shape)
                policy = policy_of(operations, shape.channels, crop)
                agree(policy, shape, images, offsets=offsets_of(plan_of(policy, shape), images))
    for name in ("whole chain", "geometry", "flips, some", "cutmix", "all noise"):
        for output in part(OUTPUTS):
            policy = policy_of(CASES[name], 3)
            if output.dtype == torch.uint8:
                policy = Policy([o for o in policy.operations if not isinstance(o, Normalize)])
            for shape in (USUAL, LARGE, SHAPES[-1]):
                agree(policy, shape, pictures(shape), output)


def same_bits() -> None:
    """Bit-identical run after run, for any partition into batches, on any stream."""
    engine, count = CudaEngine(), 40
    images = pictures(Shape(3, 64, 48, count)).cuda()
    order = np.random.default_rng(4).permutation(count)
    for name, operations in part(CASES.items()):
        policy = policy_of(operations, 3)

        def batch(first: int, last: int, policy: Policy = policy) -> torch.Tensor:
            rows = Rows.at(np.arange(first, last), order, mixing=True)
            plan = draw_plan(policy, rows, seed=9, epoch=2, size=(64, 48))
            return engine.apply(plan, images, places=plan.ids, output=Output(torch.bfloat16))

        whole = batch(0, count)
        assert torch.equal(whole, batch(0, count)), name
        with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
            aside = batch(0, count)
        torch.cuda.synchronize()
        assert torch.equal(whole, aside), name
        for first, last in ((0, 8), (8, 9), (9, 31), (31, 40)):
            if "per batch" not in name:
                assert torch.equal(whole[first:last], batch(first, last)), name


class Samples(Dataset[Any]):
    """Pictures as tensors, made anew: a data set of the general lane."""

    def __len__(self) -> int:
        return 512

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(i)
        return torch.randint(0, 256, (3, 32, 32), generator=generator).byte(), i % 10


def loaders() -> Iterator[tuple[str, DataLoader[Any]]]:
    """Yield a loader for each way to a GPU."""
    images = pictures(Shape(3, 32, 32, 2000)).numpy()
    arrays = images, np.arange(len(images)) % 10
    options: dict[str, Any] = {
        "policy": POLICY, "device": "cuda", "seed": 1, "dtype": torch.bfloat16, "num_classes": 10,
    }  # fmt: skip
    for workers in (0, 2):
        for resident in (True, False):
            name = f"{'resident' if resident else 'frames'}, {workers} threads"
            yield name, DataLoader(arrays, 96, True, num_workers=workers, resident=resident,
                                   **options)  # fmt: skip
    yield "sparse", DataLoader(arrays, 96, True, targets="sparse", **options)
    yield "general", DataLoader(Samples(), 64, True, num_workers=2, pin_memory=True,
                                multiprocessing_context="forkserver", persistent_workers=True,
                                **options)  # fmt: skip


@contextmanager
def syncs_are_errors() -> Iterator[None]:
    """Raise where torch makes the host wait for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def no_synchronisation() -> None:
    """An epoch after the first makes the host wait for nothing, and asks for no memory."""
    for name, loader in loaders():
        for _ in range(2):
            for images, _ in loader:
                images.sum()
        torch.cuda.synchronize()
        before, total = allocations(), 0
        with syncs_are_errors():
            for images, _ in loader:
                images.sum()
                total += len(images)
        torch.cuda.synchronize()
        whole: Any = loader.dataset
        assert total == (len(whole) if name == "general" else len(whole[0])), name
        # An allocator may grow once more when timing moves what is alive at once.
        assert allocations() - before <= 2, f"{name}: {allocations() - before} more segments"


def allocations() -> int:
    """Return how often memory was asked of the driver so far."""
    return int(torch.cuda.memory_stats()["num_device_alloc"])


def kept_tensors_stay() -> None:
    """Batches that the caller keeps are theirs, while the device is busy and others are made."""
    for name, loader in loaders():
        loader.set_epoch(5)
        wanted = [(images.cpu(), targets) for images, targets in loader]
        loader.set_epoch(5)
        kept, busy = [], torch.randn(2048, 2048, device="cuda")
        for images, _ in loader:
            busy = (busy @ busy).tanh()  # the step that the next batches are made beside
            images.mul_(1.0)
            kept.append(images)
            del images
        assert len(kept) == len(wanted), name
        for images, (other, _) in zip(kept, wanted, strict=True):
            assert torch.equal(images.cpu(), other), name


def dropped_tensors_are_not_overwritten_early() -> None:
    """What reads a batch late on its stream reads that batch, though the caller let go of it."""
    for name, loader in loaders():
        loader.set_epoch(3)
        wanted = torch.stack([images.float().sum() for images, _ in loader]).cpu()
        loader.set_epoch(3)
        sums, busy = [], torch.randn(4096, 4096, device="cuda")
        for images, _ in loader:
            busy = (busy @ busy).tanh()
            sums.append(images.float().sum())  # runs after the products above
            del images
        assert torch.equal(torch.stack(sums).cpu(), wanted), name


def graph_equals_eager() -> None:
    """A captured pass replays other plans with the bits that launching has."""
    engine = CudaEngine()
    for shape in (USUAL, LARGE):
        images = pictures(shape).cuda()
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
    last = torch.cuda.device_count() - 1
    with torch.cuda.device(0):
        plan = plan_of(policy_of(CASES["whole chain"], 3), USUAL)
        made = CudaEngine(f"cuda:{last}").apply(plan, pictures(USUAL))
    assert made.device.index == last
    assert_agree(engine_for("cpu", "cpu").apply(plan, pictures(USUAL)), made.cpu(), plan)


def sanitized() -> None:
    """compute-sanitizer's memcheck and racecheck find nothing on small shapes."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).exists():
        raise LookupError("compute-sanitizer is not installed")
    # Each tensor in memory of its own: within torch's blocks nothing is seen that reads too far.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    for kind in ("memcheck", "racecheck"):
        command = [tool, "--tool", kind, "--error-exitcode", "9", sys.executable, "-m",
                   "tests.augfeed.gpu_checks", "--only", "small_shapes"]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True,
                              timeout=240, check=False)  # fmt: skip
        if "not supported" in done.stdout + done.stderr:
            raise LookupError(f"{kind} does not support this device here")
        assert done.returncode == 0, f"{kind}: {done.stdout[-3000:]} {done.stderr[-2000:]}"


def small_shapes() -> None:
    """A few cases at awkward shapes, for a tool that makes everything slow."""
    for name in ("whole chain", "geometry, reflect", "cutmix, some", "all noise", "jitter, some"):
        for shape in (Shape(3, 17, 13, 3), Shape(1, 2, 3, 9), Shape(3, 32, 32, 4)):
            agree(policy_of(CASES[name], shape.channels), shape, pictures(shape))
    for window in WINDOWS:
        shape = Shape(3, 16, 16, 5)
        crop, images = window_of(window, shape)
        policy = policy_of((JITTER,), 3, crop)
        agree(policy, shape, images, offsets=offsets_of(plan_of(policy, shape), images))


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check
    for check in (
        case_table, windows_and_outputs, same_bits, no_synchronisation, kept_tensors_stay,
        dropped_tensors_are_not_overwritten_early, graph_equals_eager, several_devices, sanitized,
    )
}  # fmt: skip
CHECKS.update(READING)


def main(arguments: list[str] | None = None) -> int:
    """Run the checks, print a line for each, write what was found; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.augfeed.gpu_checks")
    parser.add_argument("--only", help="names, with commas")
    parser.add_argument("--json", type=Path, help="file for the outcome")
    parser.add_argument("--shard", help="k/n: this part of the tables only", default="0/1")
    options = parser.parse_args(arguments)
    SHARD[:] = map(int, options.shard.split("/"))
    every = {**CHECKS, "small_shapes": small_shapes}
    names = options.only.split(",") if options.only else list(CHECKS)
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        begun = time.perf_counter()
        try:
            every[name]()
            outcome = "passed"
        except LookupError as missing:
            outcome = f"skipped: {missing}"
        except Exception:
            outcome = f"failed: {traceback.format_exc(limit=-3)}"
        found[name] = {"outcome": outcome, "seconds": round(time.perf_counter() - begun, 1)}
        print(f"{name}: {outcome} ({found[name]['seconds']} s)", flush=True)
        if options.json:  # after each: whoever is stopped leaves what was found
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(item["outcome"].startswith("failed") for item in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
