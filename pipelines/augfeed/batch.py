"""What a pipeline gives out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """An augmented batch; unpacks as `images, targets = batch`.

    `images` `[B, C, H, W]`; `targets` int64 `[B]`, float32 `[B, K]`, sparse `Targets`, or None for
    data without labels; `ids` int64 `[B]` names the samples; `drawn` is the plan, or draws it.
    """

    images: torch.Tensor
    targets: Any
    ids: torch.Tensor
    epoch: int
    step: int
    drawn: Any

    @property
    def plan(self) -> Any:
        """Every decision about the batch; drawn again where it was made along with others."""
        return self.drawn() if callable(self.drawn) else self.drawn

    def __iter__(self) -> Iterator[Any]:
        return iter((self.images, self.targets))

    def __len__(self) -> int:
        return len(self.ids)
