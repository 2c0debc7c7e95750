"""Images moved by a smooth random field, in torch: the oracle of the engines.

Each pixel has two numbers, uniform from -1 to 1, for x and y; each plane of them is smoothed by a
Gaussian of `int(8 sigma + 1)` taps, one more if that is even, whose borders reflect without
repeating the edge. Half the strength times a plane is how far a pixel looks for its value.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from augfeed.operation.reference import SampleColumns, correlated
from augfeed.philox import Stream, words

if TYPE_CHECKING:
    from torch import Tensor

KEY = 24  # bits of each of the two numbers that are the key of the numbers of pixels


def reach_of(sigma: float) -> int:
    """Return how far the Gaussian reaches from its middle, in pixels."""
    return (int(np.floor(8 * np.float32(sigma))) + 1) // 2


def displaced(
    values: "Tensor", given: SampleColumns, reads: tuple[NDArray[np.float32], ...]
) -> "Tensor":
    """Return float32 `[n, C, H, W]`, of which each pixel is looked for at another place."""
    import torch

    strength, sigma, fill, first, second = reads
    height, width = values.shape[2:]
    keys = first.astype(np.int64) + (second.astype(np.int64) << KEY)
    field = torch.from_numpy(np.stack([_numbers(int(key), height, width) for key in keys]))
    kernels = _kernels(sigma)
    field = correlated(correlated(field.to(values.device), kernels, 3), kernels, 2)
    field = field * given.tensor(strength * np.float32(0.5))
    x = torch.arange(width, device=values.device, dtype=torch.float32)
    y = torch.arange(height, device=values.device, dtype=torch.float32)[:, None]
    at_x = (x + field[:, 0]).clamp(-1.0, float(width))
    at_y = (y + field[:, 1]).clamp(-1.0, float(height))
    left, top = at_x.floor(), at_y.floor()
    right_share, low_share = (at_x - left)[:, None], (at_y - top)[:, None]
    wide = torch.nn.functional.pad(values, (1, 2, 1, 2))
    inside = torch.nn.functional.pad(torch.ones_like(values[:, :1]), (1, 2, 1, 2))
    wide = torch.where(inside > 0, wide, given.tensor(fill)).flatten(2)
    place = (top.long() + 1) * (width + 3) + left.long() + 1
    corners = [
        wide.gather(2, (place + step).flatten(1)[:, None].expand(-1, wide.shape[1], -1)).view(
            values.shape
        )
        for step in (0, 1, width + 3, width + 4)
    ]
    upper = corners[0] + right_share * (corners[1] - corners[0])
    lower = corners[2] + right_share * (corners[3] - corners[2])
    made: Tensor = upper + low_share * (lower - upper)
    return made


def _numbers(key: int, height: int, width: int) -> NDArray[np.float32]:
    # [2, H, W] from -1 to 1, of 16 bits each; see `augfeed.kernels.noise`.
    count = height * width
    blocks = -(-count // 8)
    ids, wanted = np.zeros(1, np.int64), range(2 * blocks)
    drawn = words(key, 0, ids, [(int(Stream.ELASTIC_PIXELS), block) for block in wanted])[..., 0]
    halves = np.stack([drawn & 0xFFFF, drawn >> 16], axis=2).reshape(2, blocks, 8)
    whole = halves.swapaxes(1, 2).reshape(2, -1)[:, :count].reshape(2, height, width)
    unit, half, one = np.float32(1 / 32768), np.float32(0.5), np.float32(1)
    return (whole.astype(np.float32) + half) * unit - one


def _kernels(sigma: NDArray[np.float32]) -> NDArray[np.float32]:
    # [n, taps], from the first to the last; those of a narrower one have zeros around them.
    reach = np.array([reach_of(float(each)) for each in sigma])
    at = np.arange(-reach.max(initial=0), reach.max(initial=0) + 1)
    weights = np.exp(-(at**2) / (2 * sigma[:, None].astype(np.float64) ** 2))
    weights[np.abs(at) > reach[:, None]] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)
