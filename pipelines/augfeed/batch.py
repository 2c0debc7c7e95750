"""What a pipeline gives out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """An augmented batch; unpacks as `images, targets = batch`.

    `images` `[B, C, H, W]`; `targets` int64 `[B]`, float32 `[B, K]`, sparse `Targets`, or None for
    data without labels; `ids` int64 `[B]` names the samples; `plan` holds every decision.
    """

    images: torch.Tensor
    targets: Any
    ids: torch.Tensor
    epoch: int
    step: int
    plan: Any

    def __iter__(self) -> Iterator[Any]:
        return iter((self.images, self.targets))

    def __len__(self) -> int:
        return len(self.ids)
