"""A pass captured in a CUDA graph: one launch for its kernels, with memory that stays its own."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines.cuda.launch import launch
from augfeed.engines.cuda.table import Layout, fill_table
from augfeed.errors import InputError
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants

if TYPE_CHECKING:
    from augfeed.engines.cuda import BoundPlan


class CudaGraphPass:
    """The pass of one pipeline, replayed for plan after plan over the same images.

    Made by `CudaEngine.record`. Between two replays nothing is allocated and nothing waits. `out`
    is written again by each of them: copy what is to be kept.
    """

    def __init__(self, loaded: "BoundPlan", plan: Plan) -> None:
        """Capture the pass of a loaded plan; where there is no GPU, replaying just runs it."""
        self._loaded, self._policy = loaded, plan.policy
        self._fixed = PolicyConstants.of(plan.policy, loaded.spec.channels)
        self.out = loaded.run()
        self._graph: torch.cuda.CUDAGraph | None = None
        if loaded.images.is_cuda:
            device = loaded.images.device
            torch.cuda.current_stream(device).synchronize()
            self._graph = torch.cuda.CUDAGraph()
            # Other threads, such as those that prefetch, may go on using the device meanwhile.
            captured = torch.cuda.graph(self._graph, capture_error_mode="thread_local")
            with torch.cuda.device(device), captured:
                launch(loaded, self.out)

    def replay(
        self,
        plan: Plan,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
    ) -> torch.Tensor:
        """Return `out`, `[count, C, H, W]`, after a plan of as many rows, on the current stream."""
        loaded = self._loaded
        self._check(plan, offsets)
        host = pinned(Layout.of(loaded.spec).words(loaded.rows), loaded.table.device)
        fill_table(host.numpy(), plan, self._fixed, loaded.spec, places=places, offsets=offsets,
                   pictures=tuple(loaded.images.shape))  # fmt: skip
        loaded.table.copy_(host, non_blocking=True)
        if self._graph is None:
            launch(loaded, self.out)
        else:
            self._graph.replay()
        return self.out

    def _check(self, plan: Plan, offsets: Any) -> None:
        loaded = self._loaded
        if plan.policy != self._policy:
            raise InputError("the plan is of another policy than was recorded: record that one")
        if (len(plan.ids), plan.count, plan.size) != (loaded.rows, loaded.count, loaded.size):
            raise InputError(
                f"a plan of {len(plan.ids)} rows, {plan.count} to come out at {plan.size}, does "
                f"not fit the recorded {loaded.rows}, {loaded.count} at {loaded.size}: use "
                "drop_last=True, and apply for odd batches"
            )
        if offsets is not None and loaded.spec.pad < 0:
            raise InputError("offsets were not given when the pass was recorded: record it again")


def pinned(words: int, device: torch.device) -> torch.Tensor:
    """Return page-locked memory for a table: a copy of it to a GPU waits for nothing."""
    return torch.empty(words, dtype=torch.int32, pin_memory=device.type == "cuda")
