"""Batches that are on the GPU already, masks beside them, and views: time there and on the host.

`python -m benchmarks.gpu.modules --out FILE`: `Augment` on uint8 images 224 x 224 with labels,
under a fixed chain and under published programs; masks of int64 by the same plans; DINO's views of
images in the device's memory.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augfeed import Augment, DataLoader
from augfeed.bench.clock import Clock
from augfeed.bench.machine import commit_here, device_here, machine_here, now, versions_of
from augfeed.fields.whole_batches import DeviceMoves
from benchmarks.kernel_run import PACKAGES

REPEATS = 7
BATCH, SIZE = 256, 224
CHAINS = {
    "crop, flip": "random_resized_crop({size}) | hflip | normalize(0.5, 0.25)",
    "rotate": "rotate(20, p=0.5) | hflip | normalize(0.5, 0.25)",
    "cutmix": "hflip | cutmix(1.0) | normalize(0.5, 0.25)",
    "trivial augment": "trivial_augment_wide() | hflip | normalize(0.5, 0.25)",
    "rand augment": "rand_augment(2, 9) | hflip | normalize(0.5, 0.25)",
    "aug mix": "aug_mix() | hflip | normalize(0.5, 0.25)",
}
MASKED = ("crop, flip", "rotate", "cutmix")
Question = Callable[[], dict[str, Any]]


def timed(run: Callable[[], Any], clock: Clock, images: int) -> dict[str, Any]:
    """Return milliseconds a batch: of the device and of the host, the least of several."""
    times = clock.times(clock.warm_up(run, 2))
    ahead = clock.launching(run, times)
    worked = min(clock.worked(run, times, ahead) for _ in range(REPEATS))
    hosted = min(clock.hosted(run, times) for _ in range(REPEATS))
    return {"images": images, "device, ms": round(1e3 * worked, 4),
            "host, ms": round(1e3 * hosted, 4)}  # fmt: skip


def module_of(policy: str) -> Augment:
    """Return the module that is measured."""
    return Augment(policy, num_classes=1000, dtype=torch.bfloat16, engine="cuda")


def augmented(policy: str, images: torch.Tensor, clock: Clock) -> dict[str, Any]:
    """Return the times of `Augment` with labels."""
    augment = module_of(policy)
    labels = torch.arange(len(images), device=images.device)
    return timed(partial(augment, images, labels), clock, len(images))


def masked(policy: str, images: torch.Tensor, clock: Clock) -> dict[str, Any]:
    """Return the times of masks alone: their table, its copy and the kernel."""
    size = (images.shape[2], images.shape[3])
    plan = Augment(policy, num_classes=1000).plan(len(images), size)
    masks = torch.zeros((len(images), *size), dtype=torch.int64, device=images.device)
    return timed(lambda: DeviceMoves.of(plan, size, 3).masks(masks), clock, len(images))


def viewed(count: int, size: int, device: torch.device, engine: str) -> dict[str, Any]:
    """Return the seconds of an epoch of DINO's views, 2 large and 8 small ones an image."""
    pixels = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8)
    arrays, small = (pixels, np.arange(count) % 10), max(8, size * 96 // 224)
    loader: Any = DataLoader(
        arrays, min(64, count), policy=None, views=f"dino({size}, {small})", device=device,
        engine=engine, dtype=torch.bfloat16,
    )  # fmt: skip
    seconds = []
    for _ in range(3):
        begun, total = time.perf_counter(), 0.0
        for batch in loader:
            views = batch[0]
            total += sum(float(part[0, 0, 0, 0]) for part in views.values())
        seconds.append(time.perf_counter() - begun)
    return {"images": count, "epochs, s": [round(value, 4) for value in seconds]}


def questions(options: argparse.Namespace) -> Iterator[tuple[str, Question]]:
    """Yield what is measured, by name: first what is compiled soonest."""
    device, clock = torch.device(options.device), Clock(torch.device(options.device))
    count, size = (4, 16) if options.quick else (BATCH, SIZE)
    images = batch_of(count, size, device)
    names = [*CHAINS][: 1 if options.quick else None]
    ways = {
        f"Augment, {name}": partial(augmented, chain(name, size), images, clock) for name in names
    }
    yield from itertools.islice(ways.items(), len(MASKED))
    for name in MASKED:
        yield f"masks, {name}", partial(masked, chain(name, size), images, clock)
    few, engine = (4, "portable") if options.quick else (1024, "cuda")
    yield "views, dino", partial(viewed, few, size, device, engine)
    yield from itertools.islice(ways.items(), len(MASKED), None)


def chain(name: str, size: int) -> str:
    """Return one of the policies for images of some size."""
    return CHAINS[name].format(size=size)


def batch_of(count: int, size: int, device: torch.device) -> torch.Tensor:
    """Return random images uint8 on a device."""
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8).to(device)


def compiling(device: torch.device, *, quick: bool) -> dict[str, Callable[[], Any]]:
    """Return what has the kernels of these measurements compiled, by name."""
    count, size = (4, 16) if quick else (BATCH, SIZE)

    def augment(name: str) -> None:
        images = batch_of(count, size, device)
        made = module_of(chain(name, size))
        made(images, torch.arange(count, device=device))

    found: dict[str, Callable[[], Any]] = {
        f"Augment, {name}": partial(augment, name) for name in [*CHAINS][: 1 if quick else None]
    }
    few, engine = (4, "portable") if quick else (64, "cuda")
    return found | {"views, dino": partial(viewed, few, size, device, engine)}


def main() -> int:
    """Measure one after the other, write after each; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.modules")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--commit")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {
        "suite": "modules", "date": now(), "commit": options.commit or commit_here(),
        "versions": versions_of(PACKAGES),
        "machine": machine_here(torch.get_num_threads()).model_dump(),
        "device": device_here(torch.device(options.device)).model_dump(), "rows": {},
    }  # fmt: skip
    failed = False
    for name, ask in questions(options):
        try:
            answer: Any = ask()
        except Exception as error:
            answer, failed = f"failed: {type(error).__name__}: {error}"[:2000], True
        found["rows"][name] = answer
        print(name, answer, flush=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
