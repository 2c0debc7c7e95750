"""What self-supervised training learns by: SimCLR's loss, and DINO's with a teacher."""

import copy
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

Objective = Literal["simclr", "dino"]
Views = torch.Tensor | Mapping[str, torch.Tensor]


def nt_xent(projections: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    """Return SimCLR's loss (2002.05709) of `[2 * B, D]`: view 0 of all samples, then view 1.

    For each of them, the cross-entropy of finding its other view among all others by the cosine
    divided by `temperature`.
    """
    count = len(projections) // 2
    units = F.normalize(projections, dim=1)
    alike = units @ units.T / temperature
    own = torch.eye(2 * count, dtype=torch.bool, device=alike.device)
    alike = alike.masked_fill(own, -torch.inf)
    other = torch.arange(2 * count, device=alike.device).roll(count)
    return F.cross_entropy(alike, other)


class Encoder(nn.Module):
    """The features of a network, pooled: `[N, D]` of images of any size."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features `[N, D]`."""
        pooled: torch.Tensor = self.features(images).mean((2, 3))
        return pooled


class SimCLR(nn.Module):
    """An encoder with a projection head of two layers, for `nt_xent`."""

    def __init__(self, encoder: nn.Module, features: int, width: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(features, features), nn.BatchNorm1d(features), nn.ReLU(),
            nn.Linear(features, width),
        )  # fmt: skip

    def forward(self, images: Views) -> torch.Tensor:
        """Return the loss of two views `[2 * B, C, H, W]`."""
        assert isinstance(images, torch.Tensor)
        return nt_xent(self.head(self.encoder(images)))

    def after_step(self, progress: float) -> None:
        """Do nothing: there is no teacher."""


class DINO(nn.Module):
    """A student that predicts, from every view, what its own average sees in the large ones.

    The loss of DINO (2104.14294): teacher outputs are centered by their running mean (0.9) and
    sharpened (temperature 0.04), the student's have 0.1; the teacher's weights are averages of the
    student's, by a momentum that goes from 0.99 to 1 along a cosine.
    """

    center: torch.Tensor

    def __init__(self, encoder: nn.Module, features: int, width: int = 256) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(features, 128), nn.GELU(), nn.Linear(128, 64), Normalized(),
            nn.utils.parametrizations.weight_norm(nn.Linear(64, width, bias=False)),
        )  # fmt: skip
        self.teacher = copy.deepcopy(nn.Sequential(self.encoder, self.head)).requires_grad_(False)
        self.register_buffer("center", torch.zeros(width))

    def forward(self, images: Views) -> torch.Tensor:
        """Return the loss of views "global" `[2 * B, ...]` and "local" `[V * B, ...]`."""
        assert not isinstance(images, torch.Tensor)
        seen = [self.head(self.encoder(images[name])) for name in ("global", "local")]
        count = len(images["global"]) // 2
        student = torch.cat(seen).view(-1, count, seen[0].shape[1]).div(0.1).log_softmax(2)
        with torch.no_grad():
            wanted = self.teacher(images["global"])
            shares = ((wanted - self.center) / 0.04).softmax(1).view(2, count, -1)
            self.center.lerp_(wanted.mean(0), 0.1)
        pairs = [-(shares[t] * student[v]).sum(1).mean()
                 for t in range(2) for v in range(len(student)) if v != t]  # fmt: skip
        return torch.stack(pairs).mean()

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the teacher; `progress` goes from 0 to 1 over the training."""
        cosine = float(torch.cos(torch.tensor(torch.pi * progress)))
        momentum = 1 - (1 - 0.99) * (cosine + 1) / 2
        own = nn.Sequential(self.encoder, self.head)
        for mine, theirs in zip(own.parameters(), self.teacher.parameters(), strict=True):
            theirs.lerp_(mine, 1 - momentum)
        for value, kept in zip(own.buffers(), self.teacher.buffers(), strict=True):
            kept.copy_(value)


class Normalized(nn.Module):
    """Brings vectors `[N, D]` to length 1."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return unit vectors."""
        return F.normalize(values, dim=1)
