"""`Augment` on batches of a CPU, beside Kornia on the batch and torchvision v2 on each image:
`python -m benchmarks.bench_augment`."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from augfeed import Augment
from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.doctor.environment import cores
from benchmarks.common import RESULTS
from benchmarks.gate import GateError
from benchmarks.peer_transforms import has
from benchmarks.result import Ratio, slug
from benchmarks.result_augment import PACKAGES, AugmentResult, Row, render

CHAIN = "hflip | rotate(15, p=1.0) | color_jitter(0.4, 0.4, 0.4) | normalize(0.5, 0.25)"
SIDES, BATCH, ROUNDS = (224, 32), 64, 9
CALLS = 32  # of a turn: as many as augfeed plans as one, so that each turn holds a plan
GATED, NEAR = 512, 0.12  # images that means and deviations are of, and how near these must be
Call = Callable[[torch.Tensor], torch.Tensor]


def augfeed() -> Call:
    """Return the module."""
    return Augment(CHAIN, seed=0)


def kornia() -> Call:
    """Return Kornia's classes, which draw for each image, on floats of the batch."""
    import kornia.augmentation as K

    chain = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5), K.RandomRotation(15.0, p=1.0),
        K.ColorJitter(0.4, 0.4, 0.4, 0.0, p=1.0), K.Normalize(0.5, 0.25), data_keys=["input"],
    )  # fmt: skip

    @torch.inference_mode()
    def run(images: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = chain(images.float().mul_(1 / 255))
        return made

    return run


def torchvision() -> Call:
    """Return torchvision's transforms v2, called on each image, as they draw once for a batch."""
    from torchvision.transforms import v2

    chain = v2.Compose([
        v2.RandomHorizontalFlip(0.5),
        v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(0.4, 0.4, 0.4), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * 3, [0.25] * 3),
    ])  # fmt: skip

    @torch.inference_mode()
    def run(images: torch.Tensor) -> torch.Tensor:
        return torch.stack([chain(image) for image in images])

    return run


CONTESTANTS: dict[str, tuple[str, Callable[[], Call]]] = {
    "augfeed": ("augfeed.Augment", augfeed),
    "kornia": ("Kornia's AugmentationSequential on the batch", kornia),
    "torchvision": ("torchvision's transforms v2 on each image", torchvision),
}


def images_of(count: int, side: int) -> torch.Tensor:
    """Return uint8 `[count, 3, side, side]`: smooth, so that means and deviations say something."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def check(calls: dict[str, Call], images: torch.Tensor) -> None:
    """Raise `GateError` unless all do the same work: shapes, draws of each image, statistics."""
    seen: dict[str, tuple[float, float]] = {}
    for name, call in calls.items():
        made = call(images)
        if made.shape != images.shape or made.dtype != torch.float32:
            raise GateError([f"{name}: {made.dtype} of shape {tuple(made.shape)}"])
        alike = call(images[:1].expand(16, -1, -1, -1).contiguous())
        if len({tuple(row.flatten()[::31].tolist()) for row in alike}) < 15:
            raise GateError([f"{name}: one image repeated comes out the same"])
        parts = [call(images) for _ in range(-(-GATED // len(images)))]
        seen[name] = float(torch.stack(parts).mean()), float(torch.stack(parts).std())
        if any(abs(a - b) > NEAR for a, b in zip(seen[name], seen["augfeed"], strict=True)):
            raise GateError([f"{name}: mean and deviation {seen[name]}, augfeed has "
                             f"{seen['augfeed']}"])  # fmt: skip


def measured(side: int, batch: int, rounds: int) -> list[Row]:
    """Return the rows of a size: contestants by turns, after a gate."""
    images = images_of(batch, side)
    calls = {name: make() for name, (_, make) in CONTESTANTS.items()
             if name == "augfeed" or has(name)}  # fmt: skip
    check(calls, images)
    sys.stderr.write(f"{side}: the work is the same\n")
    seconds = {name: list[float]() for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(CALLS):
                call(images)
            seconds[name].append((time.perf_counter() - begun) / CALLS)
    return [
        Row(
            side=side, name=name, title=CONTESTANTS[name][0], seconds=tuple(taken),
            rate=Spread.of([batch / took for took in taken]),
            slower=Ratio.of(taken, seconds["augfeed"]),
        )
        for name, taken in seconds.items()
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_augment")
    parser.add_argument("--batch-size", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--num-workers", type=int, default=cores())
    parser.add_argument("--quick", action="store_true", help="2 rounds of 16 images, no file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    batch, rounds = (16, 2) if options.quick else (options.batch_size, options.rounds)
    torch.set_num_threads(options.num_workers)
    machine, rows = machine_here(options.num_workers), list[Row]()
    try:
        for side in SIDES:
            rows += measured(side, batch, rounds)
    except GateError as error:
        sys.stderr.write(f"no figures: the work is not the same\n{error}\n")
        return 1
    result = AugmentResult(
        date=now(), commit=commit_here(), machine=machine, versions=versions_of(PACKAGES),
        command=f"python -m benchmarks.bench_augment --batch-size {batch} --rounds {rounds} "
        f"--num-workers {options.num_workers}",
        chain=CHAIN, batch=batch, rounds=rounds, calls=CALLS, rows=tuple(rows),
    )  # fmt: skip
    sys.stdout.write(render(result))
    name = f"augment--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out = options.out or (None if options.quick else RESULTS / name)
    if out is not None:
        out.write_text(result.model_dump_json(indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
