"""The engine for NVIDIA GPUs: the whole pass in one Triton kernel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, check_images
from augfeed.engines.cuda.by_channels import apply_by_channels
from augfeed.engines.cuda.graph import CudaGraphPass, pinned
from augfeed.engines.cuda.launch import launch, means_for
from augfeed.engines.cuda.program_launch import ProgramScratch
from augfeed.engines.cuda.scratch import Scratch
from augfeed.engines.cuda.spec import Spec
from augfeed.engines.cuda.table import Layout, fill_table
from augfeed.errors import InputError
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants

COMPILED = (1, 3)  # channels


@dataclass(frozen=True, slots=True)
class BoundPlan:
    """A plan and its images on the device, ready to be carried out any number of times.

    `images` `[N, h, w, C]` and `table` int32 lie on the device; the rest says what is to be made of
    them. `means` is scratch for gray means, `scratch` for frames that are made before, `programs`
    for what their programs need; None where no operation asks for them.
    """

    spec: Spec
    images: torch.Tensor
    table: torch.Tensor
    rows: int
    count: int
    size: tuple[int, int]
    output: Output
    means: tuple[torch.Tensor, torch.Tensor] | None
    scratch: Scratch | None
    programs: ProgramScratch | None

    def empty(self) -> torch.Tensor:
        """Return uninitialised memory for the batch, `[count, C, H, W]`, on the device."""
        last = self.output.channels_last
        return torch.empty(
            (self.count, self.spec.channels, *self.size),
            dtype=self.output.dtype,
            device=self.images.device,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )

    def run(self, out: torch.Tensor | None = None) -> torch.Tensor:
        """Launch the pass on the current stream, into `out` or a new tensor; nothing waits."""
        out = self.empty() if out is None else out
        if out.numel():
            launch(self, out)
        return out


class CudaEngine:
    """Carries out plans with Triton on one device."""

    name = "cuda"

    def __init__(self, device: Any = "cuda") -> None:
        self.device = torch.device(device)

    def apply(
        self,
        plan: Plan,
        images: torch.Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),  # noqa: B008  (frozen)
    ) -> torch.Tensor:
        """Return the batch `[count, C, H, W]` of a plan; see `augfeed.engines.Engine`.

        Everything is queued on the current stream, and nothing waits for the device. Images of
        other than 1 or 3 channels are made a few channels at a time.
        """
        if images.ndim == 4 and images.shape[3] not in COMPILED:
            return apply_by_channels(
                self, plan, images, places=places, offsets=offsets, output=output
            )
        return self.load(plan, images, places=places, offsets=offsets, output=output).run()

    def load(
        self,
        plan: Plan,
        images: torch.Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),  # noqa: B008  (frozen)
    ) -> BoundPlan:
        """Return a plan and its images on the device: one copy of each, on the current stream."""
        check_images(images, plan.count if places is None else 0)
        output.check(plan.policy)
        if images.shape[3] not in COMPILED:
            raise InputError(
                f"images of {images.shape[3]} channels are not of one kernel: use 1 or 3 channels, "
                "or CudaEngine.apply, which makes others a few channels at a time"
            )
        fixed = PolicyConstants.of(plan.policy, images.shape[3])
        images = images.to(self.device, non_blocking=True).contiguous()
        framed = offsets is None and tuple(images.shape[1:3]) == plan.size
        spec = Spec.of(plan.policy, plan.size, images, output, framed=framed)
        rows = len(plan.ids)
        host = pinned(Layout.of(spec).words(rows), self.device)
        fill_table(host.numpy(), plan, fixed, spec, places=places, offsets=offsets,
                   pictures=tuple(images.shape))  # fmt: skip
        table = host.to(self.device, non_blocking=True, copy=True)
        means = means_for(rows, spec.channels, self.device) if spec.mean else None
        scratch = Scratch.of(spec, rows, plan.size, images)
        programs = ProgramScratch.of(spec, rows, plan.size, images)
        return BoundPlan(spec, images, table, rows, plan.count, plan.size, output, means, scratch,
                         programs)  # fmt: skip

    def record(
        self,
        plan: Plan,
        images: torch.Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),  # noqa: B008  (frozen)
    ) -> CudaGraphPass:
        """Return the pass as a CUDA graph over `images`, which must stay where they are.

        It serves all plans of the same policy and the same numbers of rows; `offsets` must be given
        here if they will be later.
        """
        loaded = self.load(plan, images, places=places, offsets=offsets, output=output)
        return CudaGraphPass(loaded, plan)
