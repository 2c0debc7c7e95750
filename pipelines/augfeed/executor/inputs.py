"""What batches are made of: a source, its frames, and its images where an engine cuts them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, check_places
from augfeed.executor import Indices
from augfeed.memory_pool import Memory, writable
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.read.arrays import ArraySource
from augfeed.read.device_frames import DeferredFrame, DeviceFrames
from augfeed.read.frames import Frames
from augfeed.read.read_errors import RowSources
from augfeed.read.sources import Source
from augfeed.stage_costs import Costs


@dataclass(slots=True)
class BatchInputs:
    """What batches are made of: a source, and how its images are cut and given out.

    `pictures` are those of an array source that an engine can cut by itself, else None.
    `device_frames` is None where the host makes all frames.
    """

    source: Source
    fixed: PolicyConstants
    output: Output
    pictures: NDArray[Any] | None
    frames: Frames
    device_frames: DeviceFrames | None
    memory: Memory
    costs: Costs

    def offsets(self, plan: Plan) -> NDArray[np.int32] | None:
        """Return where an engine is to cut; None for frames, which are cut already."""
        if self.pictures is None or self.source.sizes is None:
            return None
        return plan.window.offsets(*self.source.sizes)

    def places(self, taken: RowSources) -> Indices:
        """Return the rows of `pictures` that hold some samples."""
        assert isinstance(self.source, ArraySource)
        return self.source.rows(taken.ids)

    def read(self, plan: Plan, rows: Indices, taken: RowSources) -> NDArray[Any]:
        """Return the frames of some rows of a plan."""
        with self.costs.of("read", len(rows)):
            if self.device_frames is not None:
                return self.device_frames.read(plan, rows, taken, self.memory)
            return self.frames.read(plan, rows, taken)

    def buffer(self, plan: Plan, *, pinned: bool) -> torch.Tensor:
        """Return uninitialised memory for what `fill` makes of all rows of a plan."""
        if self.pictures is not None:
            shape, dtype = self.pictures.shape[1:], self.pictures.dtype
        else:
            shape = (*plan.size, self.fixed.channels)
            floats = isinstance(self.source, ArraySource) and self.source.images.dtype != np.uint8
            dtype = np.dtype(np.float32 if floats else np.uint8)
        element = torch.uint8 if dtype == np.uint8 else torch.float32
        return torch.empty((len(plan.ids), *shape), dtype=element, pin_memory=pinned)

    def fill(
        self, plan: Plan, part: Indices, taken: RowSources, buffer: torch.Tensor
    ) -> list[DeferredFrame]:
        """Write consecutive rows of a plan to their places in `buffer`: frames, or images that
        the engine cuts. Return those that are left for the device."""
        out = buffer[part[0] : part[-1] + 1].numpy()
        if self.pictures is not None:
            places = self.places(taken)[part]
            check_places(places, len(self.pictures))
            # Checked above: "raise" would go through a copy of all that is taken.
            np.take(self.pictures, places, axis=0, out=out, mode="clip")
            return []
        with self.costs.of("read", len(part)):
            if self.device_frames is not None:
                return self.device_frames.prepare(plan, part, taken, out, int(part[0]))
            self.frames.read(plan, part, taken, out)
            return []

    def load(self, waiting: list[DeferredFrame], buffer: torch.Tensor, device: torch.device
             ) -> torch.Tensor:  # fmt: skip
        """Return what `fill` wrote to `buffer`, and what it left, on a device."""
        if waiting and self.device_frames is not None:
            with self.costs.of("read", 0):
                buffer = self.device_frames.join(waiting, buffer)
        return buffer.to(device, non_blocking=True)

    def images(self) -> torch.Tensor:
        """Return `pictures` as a tensor of the same memory, which nothing may write to."""
        assert self.pictures is not None
        return torch.from_numpy(writable(self.pictures))
