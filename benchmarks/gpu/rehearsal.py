"""Runs a module without a GPU: Triton is interpreted, and CUDA's calls have stand-ins.

`python -m benchmarks.gpu.rehearsal MODULE [arguments]`. A rehearsal finds what is wrong with a
script before a GPU's minutes are spent on it; its figures mean nothing.
"""

import runpy
import sys
from contextlib import nullcontext
from typing import Any

import torch


class Stream:
    """Stands in for a stream: everything is done at once."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def synchronize(self) -> None: ...


def install() -> None:
    """Put the stand-ins in the places of CUDA's calls."""
    from tests.interpreted import interpret_kernels

    interpret_kernels()  # before anything imports Triton
    from augfeed.bench import clock
    from benchmarks import kernel_contest

    clock.WARM, clock.COPIES, clock.COPY = 0.0, 3, {"cpu": 1 << 16}
    clock.SHORTEST = {"cpu": 1e-5}
    kernel_contest.SHORTEST = 1e-5
    cuda: Any = torch.cuda
    cuda.Stream, cuda.stream = Stream, lambda _: nullcontext()
    cuda.synchronize = cuda.set_sync_debug_mode = lambda *_: None
    cuda.memory_stats = lambda *_: {"num_device_alloc": 0}
    cuda.memory_allocated = cuda.memory_reserved = cuda.max_memory_allocated = lambda *_: 0
    cuda.device_count = lambda: 1


def main() -> None:
    """Run the module that is named."""
    if torch.cuda.is_available():
        raise SystemExit("there is a GPU: leave out --rehearse")
    install()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
