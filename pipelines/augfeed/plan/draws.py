"""The random numbers of a plan: those of all operations in one call."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.philox import Stream, draw
from augfeed.plan.rows import Ids
from augfeed.policy import (
    ColorJitter,
    CutMix,
    Cutout,
    Equalize,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    Mixup,
    OneOf,
    Perspective,
    Policy,
    Posterize,
    RandomErasing,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)

Uniforms = NDArray[np.float64]
TRIES = 10
# An operation's stream and how many uniforms it draws; windows are drawn when sizes are known.
DRAWN: dict[type[Any], tuple[Stream, int]] = {
    Equalize: (Stream.EQUALIZE, 1),
    GaussianBlur: (Stream.GAUSSIAN_BLUR, 2),
    HorizontalFlip: (Stream.HORIZONTAL_FLIP, 1),
    VerticalFlip: (Stream.VERTICAL_FLIP, 1),
    Rotate: (Stream.ROTATE, 2),
    Translate: (Stream.TRANSLATE, 3),
    Scale: (Stream.SCALE, 2),
    Shear: (Stream.SHEAR, 3),
    Perspective: (Stream.PERSPECTIVE, 9),
    ColorJitter: (Stream.COLOR_JITTER, 5),
    Grayscale: (Stream.GRAYSCALE, 1),
    Invert: (Stream.INVERT, 1),
    Posterize: (Stream.POSTERIZE, 1),
    Solarize: (Stream.SOLARIZE, 1),
    Mixup: (Stream.MIX, 6),
    CutMix: (Stream.MIX, 6),
    OneOf: (Stream.MIX, 6),
    Cutout: (Stream.CUTOUT, 3),
    RandomErasing: (Stream.RANDOM_ERASING, 4 + 4 * TRIES),
    GaussianNoise: (Stream.GAUSSIAN_NOISE, 2),
    SaltAndPepper: (Stream.SALT_AND_PEPPER, 2),
}


class Draws:
    """Uniforms in [0, 1) for every operation of a policy and every sample."""

    def __init__(self, policy: Policy, seed: int, epoch: int, ids: Ids) -> None:
        """Draw for all operations at once."""
        self.seed, self.epoch, self.ids = seed, epoch, ids
        self._rows: dict[type[Any], slice] = {}
        requests: list[tuple[int, int, int]] = []
        first = 0
        for operation in policy.operations:
            if (cls := type(operation)) in DRAWN:
                stream, count = DRAWN[cls]
                self._rows[cls] = slice(first, first + count)
                requests.append((stream, 0, count))
                first += count
        self._values = draw(seed, epoch, ids, requests)

    def of(self, operation: Any) -> Uniforms:
        """Return float64 `[count, N]` of an operation: row 0 decides whether it is applied."""
        return self._values[self._rows[type(operation)]]

    def applied(self, operation: Any) -> NDArray[np.bool_]:
        """Return bool `[N]`: which samples get the operation."""
        result: NDArray[np.bool_] = self.of(operation)[0] < operation.p
        return result


def between(u: Uniforms, low: float, high: float) -> Uniforms:
    """Return uniforms stretched to [low, high)."""
    return low + u * (high - low)


def index(u: Uniforms, count: Any) -> Ids:
    """Return uniform integers from 0 to `count - 1`; `count` is a number or an array."""
    chosen = np.floor(u * count).astype(np.int64)
    result: Ids = np.minimum(chosen, np.asarray(count, np.int64) - 1)
    return result
