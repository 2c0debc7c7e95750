"""Images of other than 1 or 3 channels, by the kernel for these, a few channels at a time."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, check_images, check_places
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants, channels_together, policy_of_channels
from augfeed.policy.images import draws_for_values

if TYPE_CHECKING:
    from augfeed.engines.cuda import CudaEngine


def apply_by_channels(
    engine: "CudaEngine", plan: Plan, images: torch.Tensor, *,
    places: NDArray[np.int64] | None, offsets: NDArray[np.int32] | None, output: Output,
) -> torch.Tensor:  # fmt: skip
    """Return the batch of a plan; see `CudaEngine.apply`.

    The kernel draws numbers for the values of a first, a second and a third channel alone, so that
    what needs them for more is made by the engine `portable`, on the same device.
    """
    channels, device = images.shape[3], engine.device
    if draws_for_values(plan.policy):
        from augfeed.engines.portable import PortableEngine

        other = PortableEngine(device)
        return other.apply(plan, images, places=places, offsets=offsets, output=output)
    check_images(images, plan.count if places is None else 0)
    output.check(plan.policy)
    PolicyConstants.of(plan.policy, channels)
    which = np.arange(len(plan.ids)) if places is None else np.asarray(places, np.int64)
    check_places(which, len(images))
    index = torch.from_numpy(which)
    if device.type == "cuda":
        index = index.pin_memory()
    seen = images.to(device, non_blocking=True)[index.to(device, non_blocking=True)]
    layout = torch.channels_last if output.channels_last else torch.contiguous_format
    out = torch.empty((plan.count, channels, *plan.size), dtype=output.dtype, device=device,
                      memory_format=layout)  # fmt: skip
    for first, end in channels_together(plan.policy, channels):
        own = replace(plan, policy=policy_of_channels(plan.policy, first, end))
        part = seen[..., first:end].contiguous()
        out[:, first:end] = engine.load(
            own, part, offsets=offsets, output=Output(output.dtype)
        ).run()
    return out
