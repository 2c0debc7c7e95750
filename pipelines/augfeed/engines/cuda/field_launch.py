"""Fields of displacements on a device, by the kernels that move images by them."""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.async_copy import copied
from augfeed.engines.cuda import elastic
from augfeed.engines.cuda.kernel_launch import launch_kernel
from augfeed.engines.cuda.shifted_masks import PLANES
from augfeed.engines.cuda.spatial import BLOCK, FIELDS, OPTIONS
from augfeed.engines.cuda.table import HEAD
from augfeed.plan.shifts import DISPLACEMENTS, READS

BYTES = 64 << 20  # of planes that are smoothed at a time
ROW, NUMBERS = 8, 2  # words of a row of the table: one that is not read, the code, and the numbers


def draw_fields(
    numbers: NDArray[np.float32], size: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """Return float32 `[J, 2, height, width]`: fields along x and y, before they are scaled.

    `numbers` `[J, 5]` are what the steps read. They are queued on the current stream.
    """
    count, (height, width) = len(numbers), size
    out = torch.empty((count, PLANES.value, height, width), device=device)
    most = max(1, BYTES // (4 * FIELDS * height * width))
    sums = torch.empty((min(most, count), FIELDS, height, width), device=device)
    table = np.zeros(HEAD + count * ROW, np.int32)
    rows = table[HEAD:].reshape(count, ROW)
    rows[:, 1], rows[:, NUMBERS : NUMBERS + READS] = min(DISPLACEMENTS), numbers.view(np.int32)
    words, pitch = copied(table, device), FIELDS * height * width
    for begin in range(0, count, most):
        here = min(most, count - begin)
        grid = (here, -(-height * width // BLOCK), PLANES.value)
        given = (words, sums, begin, pitch, height, width)
        launch_kernel(elastic.fill_fields, grid, given, field_constants())
        for down in (0, 1):
            launch_kernel(elastic.smooth_fields, grid, given, {"DOWN": down, **field_constants()})
        out[begin : begin + here] = sums[:here, : PLANES.value]
    return out


@cache
def field_constants() -> dict[str, Any]:
    """Return the compile-time arguments of `elastic.fill_fields`."""
    return {"ROW": ROW, "MADE": 0, "SLOT": 0, "CODE": min(DISPLACEMENTS), "NUMBERS": NUMBERS,
            "C": 1, "BLOCK": BLOCK, **OPTIONS}  # fmt: skip
