"""What the definition of a color operation in torch is written with: the oracle of the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """The samples that an operation changes: their columns `[n]`, and their mean grays.

    `mean` float32 `[n, 1, 1, 1]`, of images that are not RGB `[n, C, 1, 1]`, is that of the frame,
    before geometry. `quantized` says whether
    the values of a frame are levels, multiples of 1 / 255, and have to stay such.
    """

    columns: Mapping[str, NDArray[Any]]
    mean: "Tensor"
    quantized: bool = False

    def column(self, name: str) -> "Tensor":
        """Return a column as float32 `[n, 1, 1, 1]`, on the device of the images."""
        return self.tensor(self.columns[name])

    def tensor(self, numbers: NDArray[Any]) -> "Tensor":
        """Return numbers `[n]` as float32 `[n, 1, 1, 1]`, on the device of the images."""
        import torch

        column: Tensor = torch.from_numpy(np.ascontiguousarray(numbers.astype(np.float32)))
        moved: Tensor = column.to(self.mean.device).view(-1, 1, 1, 1)
        return moved

    def blend(self, one: "Tensor", other: "Tensor | float", name: str) -> "Tensor":
        """Return `one` by the share that a column holds, and `other` by the rest."""
        share = self.columns[name].astype(np.float32)
        rest = self.tensor(np.float32(1) - share)
        return self.tensor(share) * one + rest * other


def levels_of(values: "Tensor") -> "Tensor":
    """Return the nearest of 256 levels of values, int64; what is not a number is black."""
    import torch

    whole: Tensor = (values * 255.0 + 0.5).floor().nan_to_num(0.0).clamp(0.0, 255.0)
    return whole.to(torch.int64)


def correlated(values: "Tensor", kernels: NDArray[np.float32], dim: int) -> "Tensor":
    """Return `[n, C, H, W]`, along one dimension weighed by kernels `[n, taps]`, each its own.

    Sums of shifted images, one tap after another, not convolutions: those of a library add in an
    order that depends on the batch. Borders reflect without repeating the edge.
    """
    import torch

    length, reach = values.shape[dim], kernels.shape[1] // 2
    at = np.arange(-reach, length + reach) % max(2 * (length - 1), 1)
    at = np.minimum(at, 2 * (length - 1) - at)
    wide = values.index_select(dim, torch.from_numpy(at).to(values.device))
    weights = torch.from_numpy(kernels).to(values.device)
    total = torch.zeros_like(values)
    for k in range(kernels.shape[1]):
        total = total + weights[:, k].view(-1, 1, 1, 1) * wide.narrow(dim, k, length)
    return total


def weighted(values: "Tensor", weights: Any) -> "Tensor":
    """Return `[n, 1, H, W]`, the sum of three channels by their weights, from first to last."""
    first, second, third = values[:, 0:1], values[:, 1:2], values[:, 2:3]
    total: Tensor = first * weights[0] + second * weights[1] + third * weights[2]
    return total
