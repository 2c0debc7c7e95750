"""The reference networks: what they leave out is as plain as what they have."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from augfeed_trainer.models.norms import Norm, norm_1d, norm_2d
from augfeed_trainer.models.stochastic_depth import StochasticDepth, depths


@dataclass(frozen=True, slots=True)
class Shape:
    """What goes in, `channels` x `height` x `width`, and how many classes come out."""

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True, slots=True)
class DropoutRates:
    """Probabilities of dropout: of elements before the classifier (1207.0580), of channels after
    each convolution or block (1411.4280), of residual branches (1603.09382)."""

    element: float = 0.0
    channel: float = 0.0
    depth: float = 0.0


class MLP(nn.Module):
    """Two hidden layers of 256 units, for digits and other small images."""

    def __init__(
        self, shape: Shape, norm: Norm = "none", dropout: DropoutRates = DropoutRates()
    ) -> None:
        super().__init__()
        sizes = (shape.channels * shape.height * shape.width, 256, 256)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), norm_1d(norm, outputs), nn.ReLU()]
            layers += [nn.Dropout(dropout.element)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], shape.classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `[N, K]`."""
        logits: torch.Tensor = self.layers(images)
        return logits


class CNN(nn.Module):
    """Three stages of one convolution each, halved by pooling, for 28 x 28 and 32 x 32.

    `width` is the number of channels of the first stage; each further one has twice as many.
    """

    def __init__(
        self,
        shape: Shape,
        norm: Norm = "none",
        dropout: DropoutRates = DropoutRates(),
        width: int = 16,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = shape.channels
        for outputs in (width, 2 * width, 4 * width):
            layers += [
                nn.Conv2d(inputs, outputs, 3, padding=1), norm_2d(norm, outputs), nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True), nn.Dropout2d(dropout.channel),
            ]  # fmt: skip
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = _head(inputs, shape.classes, dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `[N, K]`."""
        logits: torch.Tensor = self.head(self.features(images))
        return logits


class Block(nn.Module):
    """Two convolutions and a shortcut (1512.03385); a 1 x 1 convolution where shapes change."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm: Norm, dropout: DropoutRates
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=norm == "none"), norm_2d(norm, outputs),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=norm == "none"),
            norm_2d(norm, outputs), nn.Dropout2d(dropout.channel), StochasticDepth(dropout.depth),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=norm == "none"), norm_2d(norm, outputs)
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps of half the size, or the same."""
        return torch.relu(self.shortcut(maps) + self.branch(maps))


class ResNet(nn.Module):
    """Residual blocks in stages of doubled width and halved size.

    `stem` is "small" (one 3 x 3 convolution, for 28 x 28 and 32 x 32) or "large" (7 x 7 with
    stride 2 and pooling, for photographs, as in ResNet-18 with blocks (2, 2, 2, 2)).
    """

    def __init__(
        self, shape: Shape, norm: Norm = "none", dropout: DropoutRates = DropoutRates(),
        *, blocks: tuple[int, ...] = (1, 1, 1), width: int = 16, stem: str = "small",
    ) -> None:  # fmt: skip
        super().__init__()
        large = stem == "large"
        kernel, stride = (7, 2) if large else (3, 1)
        layers: list[nn.Module] = [
            nn.Conv2d(shape.channels, width, kernel, stride, kernel // 2, bias=norm == "none"),
            norm_2d(norm, width), nn.ReLU(),
        ]  # fmt: skip
        layers += [nn.MaxPool2d(3, 2, 1)] if large else []
        rates = iter(depths(dropout.depth, sum(blocks)))
        inputs = width
        for stage, count in enumerate(blocks):
            for k in range(count):
                outputs, stride = width << stage, 2 if stage and k == 0 else 1
                rate = DropoutRates(dropout.element, dropout.channel, next(rates))
                layers.append(Block(inputs, outputs, stride, norm, rate))
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = _head(inputs, shape.classes, dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `[N, K]`."""
        logits: torch.Tensor = self.head(self.features(images))
        return logits


def _head(channels: int, classes: int, dropout: DropoutRates) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout.element),
        nn.Linear(channels, classes),
    )  # fmt: skip
