"""Small networks for pixels and for boxes."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (12, 24, 48)


class UNet(nn.Module):
    """A U-Net of three levels: images `[B, 3, H, W]` -> logits `[B, K, H, W]`; sides of 4 n.

    References:
        Ronneberger et al., U-Net, MICCAI 2015, https://arxiv.org/abs/1505.04597.
    """

    def __init__(self, classes: int) -> None:
        """Make the layers."""
        super().__init__()
        first, second, third = WIDTHS
        self.down = nn.ModuleList([_block(3, first), _block(first, second), _block(second, third)])
        self.up = nn.ModuleList([_block(third + second, second), _block(second + first, first)])
        self.head = nn.Conv2d(first, classes, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of pixels."""
        first = self.down[0](images)
        second = self.down[1](F.max_pool2d(first, 2))
        x = self.down[2](F.max_pool2d(second, 2))
        x = self.up[0](torch.cat([_doubled(x), second], 1))
        x = self.up[1](torch.cat([_doubled(x), first], 1))
        logits: torch.Tensor = self.head(x)
        return logits


class CenterNet(nn.Module):
    """Objects as points: images `[B, 3, H, W]` -> maps at a quarter of the size.

    They are logits of centers `[B, K, h, w]`, and `[B, 4, h, w]`: width and height of the box, and
    the place of its center in its cell, in cells.

    References:
        Zhou et al., Objects as Points, 2019, https://arxiv.org/abs/1904.07850.
    """

    STRIDE = 4

    def __init__(self, classes: int) -> None:
        """Make the layers."""
        super().__init__()
        first, second, third = WIDTHS
        self.down = nn.ModuleList(
            [_block(3, first), _block(first, second), _block(second, third), _block(third, third)]
        )
        self.up = _block(2 * third, third)
        self.centers, self.sides = nn.Conv2d(third, classes, 1), nn.Conv2d(third, 4, 1)
        nn.init.constant_(self.centers.bias, -2.2)  # type: ignore[arg-type]  # a tenth, as theirs

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of centers, and sides and offsets."""
        x = self.down[0](images)
        x = self.down[1](F.max_pool2d(x, 2))
        third = self.down[2](F.max_pool2d(x, 2))
        x = self.down[3](F.max_pool2d(third, 2))
        x = self.up(torch.cat([_doubled(x), third], 1))
        return self.centers(x), self.sides(x)


def _block(given: int, made: int) -> nn.Sequential:
    layers: list[Any] = []
    for width in (given, made):
        layers += [nn.Conv2d(width, made, 3, padding=1, bias=False), nn.GroupNorm(4, made),
                   nn.ReLU(inplace=True)]  # fmt: skip
    return nn.Sequential(*layers)


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


__all__ = ["CenterNet", "UNet"]
