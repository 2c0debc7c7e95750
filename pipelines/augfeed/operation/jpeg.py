"""What an image loses as a JPEG, in whole numbers of torch: the law of `augfeed.ops.jpeg`."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from augfeed.jpeg_tables import (
    COLORS,
    COSINES,
    FROM_BLUE,
    FROM_RED,
    GRAY,
    GREEN_BLUE,
    GREEN_RED,
    TO_BLUE,
    TO_GRAY,
    TO_RED,
)
from augfeed.operation.reference import levels_of

if TYPE_CHECKING:
    from torch import Tensor


def scale_of(quality: Any) -> Any:
    """Return by how many hundredths libjpeg scales the tables at qualities from 1 to 100."""
    return np.where(quality < 50, 5000 // np.maximum(quality, 1), 200 - 2 * quality)


def compressed(values: "Tensor", quality: NDArray[np.int64]) -> "Tensor":
    """Return float32 `[n, C, H, W]`, from 0 to 1, as it comes back out of JPEG files.

    `quality` `[n]` is from 1 to 100.
    """
    import torch

    levels, (height, width) = levels_of(values), values.shape[2:]
    if values.shape[1] != 3:
        each = np.repeat(quality, values.shape[1])
        made = _transformed(levels.flatten(0, 1), each, GRAY).view(levels.shape)
    else:
        gray = (_mixed(levels, TO_GRAY) + 32768) >> 16
        planes = [_transformed(gray, quality, GRAY)]
        for weights in (TO_BLUE, TO_RED):
            color = (_mixed(levels, weights) + (128 << 16) + 32767) >> 16
            halved = _transformed(_halved(color), quality, COLORS)
            planes.append(_enlarged(halved, height, width) - 128)
        y, blue, red = planes
        green = (GREEN_BLUE * blue + GREEN_RED * red + 32768) >> 16
        made = torch.stack([y + ((FROM_RED * red + 32768) >> 16), y + green,
                            y + ((FROM_BLUE * blue + 32768) >> 16)], dim=1)  # fmt: skip
    return made.clamp(0, 255).to(torch.float32) / 255.0


def _mixed(levels: "Tensor", weights: tuple[int, int, int]) -> "Tensor":
    red, green, blue = levels.unbind(dim=1)
    mixed: Tensor = weights[0] * red + weights[1] * green + weights[2] * blue
    return mixed


def _taken(plane: "Tensor", y: NDArray[np.int64], x: NDArray[np.int64]) -> "Tensor":
    # Lines and columns of planes [n, h, w], those outside the nearest ones inside.
    import torch

    lines, columns = (torch.from_numpy(np.clip(at, 0, length - 1)).to(plane.device)
                      for at, length in ((y, plane.shape[1]), (x, plane.shape[2])))  # fmt: skip
    return plane[:, lines][:, :, columns]


def _halved(plane: "Tensor") -> "Tensor":
    # Means of 2 x 2, of which every other is rounded up at a half; eight columns more at the end
    # are made of the last column alone, for the last block.
    import torch

    height, width = -(-plane.shape[1] // 2), -(-plane.shape[2] // 2) + 8
    y, x = 2 * np.arange(height), 2 * np.arange(width)
    total: Tensor = torch.zeros((), dtype=torch.int64, device=plane.device)
    for down in (0, 1):
        for across in (0, 1):
            total = total + _taken(plane, y + down, x + across)
    half = torch.from_numpy(1 + np.arange(width) % 2).to(plane.device)
    whole: Tensor = (total + half) >> 2
    return whole


def _transformed(plane: "Tensor", quality: NDArray[np.int64], table: NDArray[np.int32]) -> "Tensor":
    # Planes [n, h, w] of levels after their blocks were transformed, rounded, and brought back.
    import torch

    n, height, width = plane.shape
    y, x = np.arange(-(-height // 8) * 8), np.arange(-(-width // 8) * 8)
    blocks = _taken(plane, y, x).view(n, len(y) // 8, 8, len(x) // 8, 8).transpose(2, 3) - 128
    scaled = (table[None] * scale_of(quality)[:, None, None].astype(np.int64) + 50) // 100
    steps = torch.from_numpy(np.clip(scaled, 1, 255)).to(plane.device)[:, None, None]
    cosines = torch.from_numpy(COSINES.astype(np.int64)).to(plane.device)
    found = _shifted(_product(cosines, _shifted(_product(blocks, cosines.T), 11)), 15)
    kept = ((found.abs() + 4 * steps) // (8 * steps)) * found.sign() * steps
    back = _shifted(_product(_shifted(_product(cosines.T, kept), 11), cosines), 18)
    made = back.transpose(2, 3).reshape(n, len(y), len(x)) + 128
    return made.clamp(0, 255)[:, :height, :width]


def _product(left: "Tensor", right: "Tensor") -> "Tensor":
    # Of whole numbers, which devices have no product of matrices for.
    made: Tensor = (left[..., :, :, None] * right[..., None, :, :]).sum(dim=-2)
    return made


def _shifted(values: "Tensor", bits: int) -> "Tensor":
    return (values + (1 << (bits - 1))) >> bits


def _enlarged(plane: "Tensor", height: int, width: int) -> "Tensor":
    # Twice as large: three parts of the nearest and one of the next, each way.
    import torch

    ys, xs = np.arange(height), np.arange(width)
    y, x = ys // 2, xs // 2
    if -(-width // 2) <= 2:
        return _taken(plane, y, x)
    real = plane[:, : -(-height // 2), : -(-width // 2)]
    over, beside = y - 1 + 2 * (ys % 2), x - 1 + 2 * (xs % 2)
    near = 3 * _taken(real, y, x) + _taken(real, over, x)
    far = 3 * _taken(real, y, beside) + _taken(real, over, beside)
    half = torch.from_numpy(8 - xs % 2).to(plane.device)
    return (3 * near + far + half) >> 4
