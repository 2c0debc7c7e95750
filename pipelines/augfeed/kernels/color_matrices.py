"""Color maps of all rows of a plan at once, for an engine that knows gray means only later."""

from typing import Any

import numpy as np

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels._linear import compose, needs_mean
from augfeed.kernels.types import Array, Floats


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled(nogil=True)
    def fill_color_maps(
        colors: Array, scale: float, statistics: Floats, maps: Floats
    ) -> int:  # fmt: skip
        """Write the color map of every row to `maps`, float32 `[M, 16]`.

        A row is the matrix (9, of three channels), the offset (3), what the image's mean gray
        in [0, 1] adds to the offset when multiplied by it (3), and whether anything is changed.
        `colors` `[M]` of `COLORS`; `statistics` float32 `[2, C]` mean and standard deviation.
        """
        channels = statistics.shape[1]
        base, about = np.empty((channels, channels + 1)), np.empty((channels, channels + 1))
        spare = np.empty((3, 4))
        for r in range(colors.size):
            row = colors[r]
            maps[r, 15] = compose(row, 0.0, base, spare)
            mean_counts = needs_mean(row)
            if mean_counts:
                compose(row, 1.0, about, spare)
            for c in range(channels):
                mean, std = statistics[0, c], statistics[1, c]
                for k in range(channels):
                    maps[r, 3 * c + k] = base[c, k] / (scale * std)
                maps[r, 9 + c] = (base[c, channels] - mean) / std
                if mean_counts:
                    maps[r, 12 + c] = (about[c, channels] - base[c, channels]) / std
        return sources

    return fill_color_maps


fill_color_maps = _compile(SOURCES)
