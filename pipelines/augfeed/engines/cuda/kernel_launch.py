"""Launches of Triton's kernels at little cost for the host.

For every launch Triton looks at all arguments, compares what a kernel takes from its module with
what it was compiled for, and puts a text together: 50 to 100 us, as long as a GPU takes for a batch
of small images. Here a kernel is looked up by what it was compiled for, in 10.
"""

import threading
from collections.abc import Mapping
from typing import Any

import torch

LOCK = threading.Lock()  # Triton compiles and interprets one kernel at a time
ALIGNED = 16  # bytes, and whole numbers, whose multiples Triton compiles for
INT32 = 1 << 31

# Compiled kernels, and the values of their compile-time arguments in the order of parameters.
_COMPILED: dict[tuple[Any, ...], tuple[Any, tuple[Any, ...]]] = {}


class Words:
    """The memory of a contiguous tensor as int32 for a kernel, without an operation of PyTorch."""

    __slots__ = ("tensor",)
    dtype = torch.int32

    def __init__(self, tensor: torch.Tensor) -> None:
        """Take a tensor of a multiple of 4 bytes, or more than are read."""
        self.tensor = tensor

    @property
    def device(self) -> torch.device:
        """Return the device."""
        return self.tensor.device

    def data_ptr(self) -> int:
        """Return the address."""
        return self.tensor.data_ptr()

    def view(self) -> torch.Tensor:
        """Return the memory as a tensor."""
        return self.tensor.view(-1).view(torch.int32)


def launch_kernel(
    kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...], constants: Mapping[str, Any]
) -> None:
    """Launch a kernel on the current stream and device, from any thread.

    `args` are the run-time arguments, in order and before all others: tensors or `Words`, the first
    of which says the device, whole numbers and floats. `constants` are compile-time arguments and
    options by name.
    """
    # A compiled kernel is loaded for one device.
    key = (id(kernel), args[0].device, *map(_kind, args), *constants.items())
    if (found := _COMPILED.get(key)) is None:
        _first(key, kernel, grid, args, constants)
        return
    compiled, tail = found
    compiled[(*grid, 1, 1)[:3]](*args, *tail)


def _kind(arg: Any) -> Any:
    # What Triton compiles an argument for, or finer.
    if type(arg) is int:
        return 0 if arg == 1 else 1 + (arg % ALIGNED == 0) + 2 * (not -INT32 <= arg < INT32)
    if type(arg) is float:
        return float
    return (arg.dtype, arg.data_ptr() % ALIGNED == 0)


def _first(
    key: tuple[Any, ...], kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...],
    constants: Mapping[str, Any],
) -> None:  # fmt: skip
    given = [arg.view() if isinstance(arg, Words) else arg for arg in args]
    with LOCK:
        compiled = kernel[grid](*given, **constants)
    if compiled is None:  # it is interpreted
        return
    names = [parameter.name for parameter in kernel.params][len(args) :]
    _COMPILED[key] = compiled, tuple(constants[name] for name in names)
