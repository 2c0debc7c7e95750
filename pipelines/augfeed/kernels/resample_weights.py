"""The weights of resizing with antialiasing for a whole batch, as tables."""

from typing import Any

import numpy as np

from augfeed.constants import BICUBIC
from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.filters import blends, fixed_point
from augfeed.kernels.types import Ints
from augfeed.kernels.weigh_rows import BITS


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled()
    def fill_blends(
        lengths: Ints, sizes: Ints, firsts: Ints, filters: Ints, starts: Ints, weights: Ints
    ) -> int:
        """Write by which inputs each output of a side is blended.

        Side `n` of `lengths[n]` inputs is resized to `sizes[n]` by `filters[n]`, and of that
        `count` outputs from `firsts[n]` on are wanted, all inside. Output `j` is the sum over `k`
        of `weights[n, j, k]`, in units of 2^-22, times input `starts[n, j] + k`. `starts` is int32
        `[N, count]`, `weights` int32 `[N, count, taps]` and 0 beyond the last input; `taps` is at
        least `taps_of` every side.
        """
        for n in range(lengths.size):
            length = lengths[n]
            first, shares = blends(
                filters[n], 0.0, float(length), length, sizes[n], firsts[n], starts.shape[1]
            )
            taps = shares.shape[1]
            for j in range(starts.shape[1]):
                starts[n, j] = first[j]
                for k in range(weights.shape[2]):
                    share = shares[j, k] if k < taps else 0.0
                    weights[n, j, k] = fixed_point(share, BITS)
        return sources

    return fill_blends


fill_blends = _compile(SOURCES)


def taps_of(lengths: Ints, sizes: Ints, filters: Ints) -> int:
    """Return the most inputs that any output is blended of."""
    # `blends` reserves more than it fills: at most the filter's width can be other than 0.
    support = np.maximum(lengths / sizes, 1.0) * np.where(filters == BICUBIC, 2.0, 1.0)
    return int(np.ceil(2.0 * support.max())) if len(lengths) else 2
