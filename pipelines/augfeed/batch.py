"""What a pipeline gives out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """An augmented batch; unpacks as `images, targets = batch`.

    `images` `[B, C, H, W]`; `targets` int64 `[B]`, float32 `[B, K]`, sparse `Targets`, or None for
    data without labels; `ids` int64 `[B]` names the samples; `drawn` is the plan, or draws it.
    `views` are `ViewBatch` by the name of their tensor; `images` are those of the first one then.
    """

    images: torch.Tensor
    targets: Any
    ids: torch.Tensor
    epoch: int
    step: int
    drawn: Any
    views: Mapping[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> Any:
        """What stands for the images of a sample: a tensor, or tensors by name."""
        if list(self.views) in ([], [""]):
            return self.images
        return {name: view.images for name, view in self.views.items()}

    @property
    def plan(self) -> Any:
        """Every decision about the batch; drawn again where it was made along with others."""
        return self.drawn() if callable(self.drawn) else self.drawn

    def __iter__(self) -> Iterator[Any]:
        return iter((self.given, self.targets))

    def __len__(self) -> int:
        return len(self.ids)
