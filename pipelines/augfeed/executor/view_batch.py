"""The views of a batch: their images, and on demand where each of them lies in its image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ViewBatch:
    """The images of one tensor: `[V * B, C, H, W]`, those of its first view, then of the next.

    `plans` are their decisions, in order, and `sizes` int64 `[S, 2]` height and width of the
    images that they were cut of (a cache may hold them smaller than their files), of which `kept`
    `[B]` are there.
    """

    images: torch.Tensor
    plans: Sequence[Any]
    sizes: NDArray[np.int64]
    kept: NDArray[np.int64]

    @property
    def windows(self) -> torch.Tensor:
        """Int32 `[V * B, 4]`: top, left, height, width of what is cut of each image, in pixels."""
        found = [plan.window.at(*self._sides(plan)).box for plan in self.plans]
        return self._of_kept(torch.from_numpy(np.concatenate(found)))

    @property
    def matrices(self) -> torch.Tensor:
        """Float32 `[V * B, 3, 3]`: edges of a view (x, y, 1) -> edges of its image, in pixels."""
        from augfeed.fields import maps_of

        found = [where.to_source for plan in self.plans
                 for where in maps_of(plan, np.stack(self._sides(plan), axis=1))]  # fmt: skip
        return self._of_kept(torch.from_numpy(np.array(found, np.float32).reshape(-1, 3, 3)))

    def _of_kept(self, rows: torch.Tensor) -> torch.Tensor:
        return of_samples(rows, self.kept, len(self.sizes))

    def _sides(self, plan: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        views = np.tile(self.sizes, (len(plan.ids) // max(1, len(self.sizes)), 1))
        return views[:, 0], views[:, 1]


def of_samples(rows: torch.Tensor, kept: NDArray[np.int64], count: int) -> torch.Tensor:
    """Return the rows `[V * K, ...]` of some of `count` samples, of `[V * count, ...]`."""
    if len(kept) == count:
        return rows
    there = torch.from_numpy(kept).to(rows.device)
    views = rows.view(-1, count, *rows.shape[1:])
    return views.index_select(1, there).flatten(0, 1)
