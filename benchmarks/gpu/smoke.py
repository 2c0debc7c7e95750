"""The first minute: is everything there, and does one chain on the GPU give the CPU's pixels?"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from augfeed.bench.machine import device_here, machine_here, now, versions_of
from augfeed.bench.work import offsets_of
from augfeed.engines import Output, engine_for
from augfeed.engines.cuda import CudaEngine
from benchmarks.kernel_run import PACKAGES
from tests.cases import CASES, assert_agree, make_images, plan_of, policy_of, usual

MORE = ("lightning", "timm", "simplejpeg", "pydantic", "nvidia-dali-cuda130")


def compared(device: str, engine: str) -> None:
    """Raise `AssertionError` unless the whole chain comes out as another engine has it."""
    shape = usual("cuda")
    plan, images = plan_of(policy_of(CASES["whole chain"], 3), shape), make_images(shape)
    offsets = offsets_of(plan)
    wanted = engine_for("cpu", engine).apply(plan, images, offsets=offsets)
    made = CudaEngine(device).apply(plan, images.to(device), offsets=offsets, output=Output())
    assert_agree(wanted, made.cpu(), plan)


def main() -> int:
    """Look, compare, write what was found after each question; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.smoke")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, Any] = {"date": now()}
    questions: dict[str, Callable[[], Any]] = {
        "versions": lambda: versions_of([*PACKAGES, *MORE]),
        "machine": lambda: machine_here(torch.get_num_threads()).model_dump(),
        "device": lambda: device_here(torch.device(options.device)).model_dump(),
        "as portable": lambda: compared(options.device, "portable"),
        "as cpu": lambda: compared(options.device, "cpu"),
    }
    failed = False
    for name, ask in questions.items():
        begun = time.perf_counter()
        try:
            answer = ask() or "agrees"
        except Exception as error:
            answer, failed = f"failed: {type(error).__name__}: {error}"[:2000], True
        found[name] = answer
        found[f"{name}, s"] = round(time.perf_counter() - begun, 2)
        print(name, answer, flush=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
