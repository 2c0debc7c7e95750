"""Copies to a device that the host does not wait for."""

from typing import Any

import torch
from numpy.typing import NDArray


def copied(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array on a device; to a GPU it goes through page-locked memory.

    On the CPU the tensor has the memory of the array.
    """
    host = torch.from_numpy(array)
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)
