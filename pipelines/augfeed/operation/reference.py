"""What the definition of a colour operation in torch is written with: the oracle of the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Given:
    """The samples that an operation changes: their columns `[n]`, and their mean greys.

    `mean` float32 `[n, 1, 1, 1]` is that of the frame, before geometry.
    """

    columns: Mapping[str, NDArray[Any]]
    mean: Tensor

    def column(self, name: str) -> Tensor:
        """Return a column as float32 `[n, 1, 1, 1]`, on the device of the pictures."""
        return self.tensor(self.columns[name])

    def tensor(self, numbers: NDArray[Any]) -> Tensor:
        """Return numbers `[n]` as float32 `[n, 1, 1, 1]`, on the device of the pictures."""
        column: Tensor = torch.from_numpy(np.ascontiguousarray(numbers.astype(np.float32)))
        moved: Tensor = column.to(self.mean.device).view(-1, 1, 1, 1)
        return moved

    def blend(self, one: Tensor, other: Tensor | float, name: str) -> Tensor:
        """Return `one` by the share that a column holds, and `other` by the rest."""
        share = self.columns[name].astype(np.float32)
        rest = self.tensor(np.float32(1) - share)
        return self.tensor(share) * one + rest * other


def weighted(values: Tensor, weights: Any) -> Tensor:
    """Return `[n, 1, H, W]`, the sum of three channels by their weights, from first to last."""
    first, second, third = values[:, 0:1], values[:, 1:2], values[:, 2:3]
    total: Tensor = first * weights[0] + second * weights[1] + third * weights[2]
    return total
