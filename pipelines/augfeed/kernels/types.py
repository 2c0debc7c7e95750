"""Types of the compiled code: arrays, and the plan as the loops see it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
Floats = NDArray[Any]
Ints = NDArray[Any]
Flags = NDArray[np.bool_]
Words = NDArray[Any]


class Columns(NamedTuple):
    """The plan's arrays, one row a sample (see `augfeed.plan.Plan`)."""

    ids: Ints  # int64 [M]
    place: Ints  # int64 [M]
    offset: Ints  # int32 [M, 2]
    flip_x: Flags
    flip_y: Flags
    warped: Flags
    inverse: Floats  # float32 [M, 3, 3]
    factors: Floats  # float32 [4, M] brightness, contrast, saturation, hue
    gray: Flags
    inverted: Flags
    bits: Ints  # uint8 [M]
    threshold: Floats  # float32 [M]
    mode: Ints  # uint8 [M]
    partner: Ints  # int32 [M]
    lam: Floats  # float32 [M]
    patch: Ints  # int32 [M, 4]
    cutout: Ints  # int32 [M, 4]
    erased: Ints  # int32 [M, 4]
    sigma: Floats  # float32 [M]
    salt: Ints  # uint32 [M]
    pepper: Ints  # uint32 [M]


class Setup(NamedTuple):
    """What is the same for all samples (see `augfeed.plan.fixed.Fixed`)."""

    seed: Any  # uint64
    epoch: Any  # uint64
    pad_mode: int
    pad_fill: float
    border_mode: int
    border_fill: float
    about_half: bool
    normalized: bool
    erase_noise: bool
    cutout_fill: float
    erase_fill: float
    mean: Floats  # float32 [C]
    std: Floats  # float32 [C]
    sigma_scale: Floats  # float32 [C]
    yiq: Floats  # float64 [3, 3]
    rgb: Floats  # float64 [3, 3], its inverse
    quantiles: Floats  # float32 [65536]
