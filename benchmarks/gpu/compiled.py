"""Compiles the kernels of the benchmark's chains in one of several processes, and compares them.

Later steps find the machine code in Triton's cache, so that no minute of a GPU is spent on waiting
for one compiler.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from augfeed.bench.chains import chains
from augfeed.bench.check import check
from augfeed.bench.result import Shape
from augfeed.engines import Output, engine_for
from augfeed.engines.cuda import CudaEngine
from augfeed.errors import CheckError
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
    every = [
        (shape, name, last)
        for shape in map(Shape.parse, shapes)
        for name in CHAINS[: 3 if options.quick else None]
        for last in (False, True)
    ]
    engine, witness = CudaEngine(device), engine_for("cpu", "cpu")
    found: dict[str, str] = {}
    for shape, name, last in every[which::count]:
        begun, policy = time.perf_counter(), chains(shape)[name]
        try:
            output = Output(torch.bfloat16, last)
            check(engine, witness, {shape: {name: policy}}, device, output)
            outcome = "agrees"
        except CheckError as error:
            outcome = str(error)
        key = f"{name}, {shape.name}{', channels last' * last}"
        found[key] = f"{outcome} ({time.perf_counter() - begun:.1f} s)"
        print(key, found[key], flush=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(not all(text.startswith("agrees") for text in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
