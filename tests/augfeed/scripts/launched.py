"""Launches kernels on a GPU that is not there: what would reach it, by Triton and by us, as JSON.

Triton compiles for compute capability 9.0; a stand-in for its driver notes what it is to launch.
"""

import itertools
import json
import sys
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from augfeed.engines.cuda.kernel_launch import Words, launch_kernel

SEEN: list[Any] = []


class Launcher:
    """Notes what is launched: grid, stream, the loaded function, arguments."""

    launch_cooperative_grid = False

    def __init__(self, *_: Any) -> None: ...

    def __call__(self, *given: Any) -> None:
        """Note it; memory by its address."""
        grid, stream, function = given[:3], given[3], given[4]
        args = [arg.data_ptr() if hasattr(arg, "data_ptr") else arg for arg in given[9:]]
        SEEN.append([*grid, stream, function, *args])


class Utils:
    """Loads nothing; every binary gets a number of its own."""

    loaded = itertools.count(1)

    def get_device_properties(self, _: int) -> dict[str, int]:
        """Return those that are asked for."""
        return {"max_shared_mem": 232_448, "warpSize": 32}

    def load_binary(self, *_: Any) -> tuple[int, int, int, int, int]:
        """Return module, function, registers, spills, most threads."""
        number = next(self.loaded)
        return number, number, 32, 0, 1024


class Driver:
    """Stands in for Triton's driver."""

    utils, launcher_cls, binary_ext = Utils(), Launcher, "cubin"

    def get_current_target(self) -> GPUTarget:
        """Return what is compiled for."""
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        """Return the only one."""
        return 0

    def get_current_stream(self, _: int) -> int:
        """Return a number."""
        return 7


@triton.jit  # type: ignore[untyped-decorator]
def kernel(values, out, count, factor, scale, WIDTH: tl.constexpr, ADDED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scale some numbers."""
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    numbers = tl.load(values + at, mask=at < count, other=0)
    tl.store(out + at, (numbers * factor).to(tl.float32) * scale + ADDED, mask=at < count)


def both(
    grid: tuple[int, ...], args: tuple[Any, ...], constants: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """Return what reaches the device by Triton's own launch, by ours, and by ours again."""
    own = [arg.view() if isinstance(arg, Words) else arg for arg in args]
    kernel[grid](*own, **constants)
    launch_kernel(kernel, grid, args, constants)
    launch_kernel(kernel, grid, args, constants)
    found = tuple(SEEN[-3:])
    assert len(found) == 3
    SEEN.clear()
    return found


def main() -> None:
    """Launch every mixture of arguments, twice over, as sizes of batches come again."""
    driver.set_active(Driver())
    memory = torch.zeros(4096, dtype=torch.int32)
    floats, parts = torch.zeros(4096), torch.zeros(4096, dtype=torch.uint8)
    counts = (1, 2, 16, 17, (1 << 31) - 1, 1 << 31, -1, -16)
    sources = (memory[1:], Words(memory), Words(parts), parts, parts[1:])
    options = {"WIDTH": 64, "ADDED": 2, "num_warps": 1}
    calls = [
        *(((3,), (memory, floats, count, 3, 0.5), options) for count in counts),
        *(((3,), (source, floats, 1024, 5, 0.5), options) for source in sources),
        *(((3,), (memory, out, 1024, 5, 0.5), options) for out in (floats, floats[1:], floats[4:])),
        *(((3,), (memory, floats, 1024, factor, 0.25), options) for factor in (1, 4, 16)),
        ((3,), (memory, floats, 1024, 5, 0.5), {**options, "WIDTH": 128}),
    ]
    rows = [both(*call) for call in (*calls, *calls)]
    twos = both((2, 3), (memory, floats, 5, 5, 1.5), {"WIDTH": 64, "ADDED": 2, "num_warps": 1})
    json.dump({"rows": [*rows, twos], "calls": len(calls)}, sys.stdout)


if __name__ == "__main__":
    main()
