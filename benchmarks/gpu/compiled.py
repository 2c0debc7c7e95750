"""Compiles the kernels of the benchmarks in one of several processes, and compares the chains'.

Later steps find the machine code in Triton's cache, so that no minute of a GPU is spent on waiting
for one compiler.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from augfeed.bench.chains import chains
from augfeed.bench.check import check
from augfeed.bench.result import Shape
from augfeed.engines import Output, engine_for
from augfeed.engines.cuda import CudaEngine
from benchmarks.gpu.modules import compiling
from benchmarks.gpu.steps import CHAINS, LARGE, SMALL


def main() -> int:
    """Compile this process's share; write what differs; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.compiled")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shard", required=True, help="k/n")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    which, count = map(int, options.shard.split("/"))
    device = torch.device(options.device)
    shapes = ["4x3x16x16"] if options.quick else [LARGE, SMALL]
    chosen = [
        (shape, name, last)
        for shape in map(Shape.parse, shapes)
        for name in CHAINS[: 3 if options.quick else None]
        for last in (False, True)
    ]
    engine, witness = CudaEngine(device), engine_for("cpu", "cpu")

    def compared(shape: Shape, name: str, last: bool) -> None:
        policies = {shape: {name: chains(shape)[name]}}
        check(engine, witness, policies, device, Output(torch.bfloat16, last))

    every: dict[str, Callable[[], Any]] = {
        f"{name}, {shape.name}{', channels last' * last}": partial(compared, shape, name, last)
        for shape, name, last in chosen
    }
    # The longest stand apart: not two of them in one process.
    every |= (alone := compiling(device, quick=options.quick))
    found: dict[str, str] = {}
    for key in [*every][which::count]:
        begun = time.perf_counter()
        try:
            every[key]()
            outcome = "compiled" if key in alone else "agrees"
        except Exception as error:  # the other chains are compiled
            outcome = f"failed: {type(error).__name__}: {error}"[:2000]
        found[key] = f"{outcome} ({time.perf_counter() - begun:.1f} s)"
        print(key, found[key], flush=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(text.startswith("failed") for text in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
