"""Stochastic depth, beside torch's own dropout of elements and channels."""

import torch
from torch import nn


class StochasticDepth(nn.Module):
    """Drops the residual branch of whole samples (1603.09382).

    In training each sample's branch is kept with probability `1 - p`, and then divided by that, so
    that its mean is the same; in evaluation it passes.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Return the branch `[N, ...]` with the rows of some samples set to zero."""
        if not self.training or self.p == 0:
            return branch
        shape = (len(branch), *(1,) * (branch.ndim - 1))
        kept = torch.empty(shape, device=branch.device, dtype=branch.dtype).bernoulli_(1 - self.p)
        return branch * kept / (1 - self.p)

    def extra_repr(self) -> str:
        """Return the probability, for `print(model)`."""
        return f"p={self.p}"


def depths(p: float, count: int) -> list[float]:
    """Return the probabilities of `count` blocks, rising evenly to `p` at the last one."""
    return [p * (k + 1) / count for k in range(count)]
