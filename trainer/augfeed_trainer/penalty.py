"""Parameter norm penalties: weights are drawn towards zero, biases and norms are not."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def penalty(weights: Sequence[nn.Parameter], l2: float = 0.0, l1: float = 0.0) -> torch.Tensor:
    """Return `l2 / 2 * sum(w ** 2) + l1 * sum(|w|)` of some weights, a number."""
    total = weights[0].new_zeros(()) if weights else torch.zeros(())
    for weight in weights:
        if l2:
            total = total + l2 / 2 * weight.square().sum()
        if l1:
            total = total + l1 * weight.abs().sum()
    return total


def decay_at_steps(
    optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], factor: float
) -> Any:
    """Have each step of an optimizer first shrink weights: `w -= lr * factor * w` (1711.05101).

    The decay is decoupled: neither momentum nor Adam's scaling sees it. Returns the handle, whose
    `remove()` ends it.
    """

    @torch.no_grad()
    def shrink(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rate = float(optimizer.param_groups[0]["lr"])
        for weight in weights:
            weight.mul_(1 - rate * factor)

    return optimizer.register_step_pre_hook(shrink)
