"""The random numbers of a plan: all blocks of all operations in one call."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.philox import Stream, uniforms, words
from augfeed.plan.rows import Ids
from augfeed.policy import (
    ColorJitter,
    CutMix,
    Cutout,
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
# Blocks of four uniforms that an operation draws; windows are drawn when sizes are known.
BLOCKS: dict[type[Any], tuple[Stream, int]] = {
    HorizontalFlip: (Stream.HORIZONTAL_FLIP, 1),
    VerticalFlip: (Stream.VERTICAL_FLIP, 1),
    Rotate: (Stream.ROTATE, 1),
    Translate: (Stream.TRANSLATE, 1),
    Scale: (Stream.SCALE, 1),
    Shear: (Stream.SHEAR, 1),
    Perspective: (Stream.PERSPECTIVE, 3),
    ColorJitter: (Stream.COLOR_JITTER, 2),
    Grayscale: (Stream.GRAYSCALE, 1),
    Invert: (Stream.INVERT, 1),
    Posterize: (Stream.POSTERIZE, 1),
    Solarize: (Stream.SOLARIZE, 1),
    Mixup: (Stream.MIX, 2),
    CutMix: (Stream.MIX, 2),
    OneOf: (Stream.MIX, 2),
    Cutout: (Stream.CUTOUT, 1),
    RandomErasing: (Stream.RANDOM_ERASING, 1 + TRIES),
    GaussianNoise: (Stream.GAUSSIAN_NOISE, 1),
    SaltAndPepper: (Stream.SALT_AND_PEPPER, 1),
}


class Draws:
    """Uniforms in [0, 1) for every operation of a policy and every sample."""

    def __init__(self, policy: Policy, seed: int, epoch: int, ids: Ids) -> None:
        """Draw the blocks of all operations at once."""
        self.seed, self.epoch, self.ids = seed, epoch, ids
        self._first: dict[type[Any], tuple[int, int]] = {}
        requests: list[tuple[int, int]] = []
        for operation in policy.operations:
            if (cls := type(operation)) in BLOCKS:
                stream, blocks = BLOCKS[cls]
                self._first[cls] = (len(requests), len(requests) + blocks)
                requests += [(stream, block) for block in range(blocks)]
        self._values = uniforms(words(seed, epoch, ids, requests))

    def of(self, operation: Any) -> Uniforms:
        """Return float64 `[4 * blocks, N]` of an operation: row 0 decides whether it is applied."""
        first, last = self._first[type(operation)]
        return self._values[first:last].reshape(4 * (last - first), len(self.ids))

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
