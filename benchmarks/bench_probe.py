"""Whether features that are learned without labels are worth more than those of an untrained
network, by paired seeds: `python -m benchmarks.bench_probe --data fashion-mnist`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.doctor.environment import cores
from augfeed.read.arrays import ArraySource
from augfeed_trainer.data import Data, open_data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.self_supervised import pretrain
from benchmarks.common import RESULTS
from benchmarks.result import slug
from benchmarks.result_probe import PACKAGES, Pair, ProbeResult, render

LEARNING_RATE = 3e-3


def few(data: Data, images: int, test: int) -> Data:
    """Return the first images of the shuffled training part, and of the test part."""
    train = data.few(min(1.0, images / len(data.train)), 0).train
    held: Any = data.test
    return replace(data, train=train, test=ArraySource(held.images[:test], held.labels[:test]))


def pair(data: Data, recipe: Recipe, objective: Any) -> Pair:
    """Return the accuracies of one seed."""
    made = pretrain(objective, recipe, data)
    return Pair(
        seed=recipe.seed, nearest_before=made.before.nearest, nearest_after=made.after.nearest,
        linear_before=made.before.linear, linear_after=made.after.linear,
        loss_first=made.losses[0], loss_last=made.losses[-1], seconds=made.seconds,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the table, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_probe")
    parser.add_argument("--data", default="digits", help="as `augfeed train` takes it")
    parser.add_argument("--objective", default="simclr", choices=("simclr", "dino"))
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=6, help="2 or more")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds} has no standard error: give 2 or more")
    machine = machine_here(torch.get_num_threads())
    data = few(open_data(options.data), options.images, options.test_images)
    pairs = []
    for seed in range(options.seeds):
        recipe = Recipe(model="cnn", epochs=options.epochs, batch_size=options.batch_size,
                        lr=LEARNING_RATE, seed=seed)  # fmt: skip
        pairs.append(pair(data, recipe, options.objective))
        sys.stderr.write(f"{pairs[-1]}\n")
    words = [f"--data {Path(options.data).name}", f"--objective {options.objective}"]
    words += [f"--{name.replace('_', '-')} {getattr(options, name)}"
              for name in ("images", "test_images", "epochs", "batch_size", "seeds")]  # fmt: skip
    result = ProbeResult(
        date=now(), commit=commit_here(), machine=machine, versions=versions_of(PACKAGES),
        command=" ".join(["python -m benchmarks.bench_probe", *words]), data=data.title,
        objective=options.objective, model="cnn", images=len(data.train),
        test_images=len(data.test), epochs=options.epochs, batch=options.batch_size,
        pairs=tuple(pairs),
    )  # fmt: skip
    sys.stdout.write(render(result))
    name = f"probe-{options.objective}--{slug(f'{machine.cpu} {cores()} cores')}.json"
    out = options.out or RESULTS / name
    out.write_text(result.model_dump_json(indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
