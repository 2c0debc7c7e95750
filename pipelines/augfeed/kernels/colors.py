"""Color maps of all rows of a plan at once, for an engine that knows gray means only later."""

from typing import Any

import numpy as np

from augfeed.kernels import SOURCES, compiled
from augfeed.kernels.color import Look, color_matrix
from augfeed.kernels.types import Floats


def _compile(sources: int) -> Any:
    # See `augfeed.kernels` for what `sources` is good for.
    @compiled(nogil=True)
    def fill_color_maps(
        looks: Floats, about_half: bool, scale: float, statistics: Floats, chroma: Floats,
        maps: Floats,
    ) -> int:  # fmt: skip
        """Write the color map of every row to `maps`, float32 `[M, 16]`.

        A row is the matrix (9, of three channels), the offset (3), what the image's mean gray
        in [0, 1] adds to the offset when multiplied by it (3), and whether anything is changed.
        `looks` float64 `[M, 6]` is brightness, contrast, saturation, hue, gray, inverted;
        `statistics` float32 `[2, C]` mean and standard deviation; `chroma` float64 `[2, 3, 3]`.
        """
        channels = statistics.shape[1]
        base, spare = np.empty((channels, channels + 1)), np.empty((2, 3, 4))
        about = np.empty((channels, channels + 1))
        for r in range(looks.shape[0]):
            brightness, contrast, saturation = looks[r, 0], looks[r, 1], looks[r, 2]
            hue, gray, inverted = looks[r, 3], looks[r, 4] != 0.0, looks[r, 5] != 0.0
            middle = 0.5 if about_half else 0.0
            look = Look(brightness, contrast, middle, saturation, hue, gray, inverted)
            maps[r, 15] = color_matrix(look, chroma, base, spare)
            needs_mean = contrast != 1.0 and not about_half
            if needs_mean:
                look = Look(brightness, contrast, brightness, saturation, hue, gray, inverted)
                color_matrix(look, chroma, about, spare)
            for c in range(channels):
                mean, std = statistics[0, c], statistics[1, c]
                for k in range(channels):
                    maps[r, 3 * c + k] = base[c, k] / (scale * std)
                maps[r, 9 + c] = (base[c, channels] - mean) / std
                if needs_mean:
                    maps[r, 12 + c] = (about[c, channels] - base[c, channels]) / std
        return sources

    return fill_color_maps


fill_color_maps = _compile(SOURCES)
