"""Chains of a program, mixed on frames of bytes: see `augfeed.ops._chains`."""

from typing import NamedTuple

import numpy as np
from numba import njit

from augfeed.kernels.place import U
from augfeed.kernels.types import Bytes, Floats, Index

KEEP, ADD, BLEND = 202, 203, 204  # see `augfeed.ops._steps`


class Mixture(NamedTuple):
    """The image that chains start from, and their sum; without chains, of no size."""

    image: Bytes  # uint8 [H * W * C]
    sums: Floats  # float32 [H * W * C]


@njit(nogil=True)
def mixture_of(codes: Bytes, count: int) -> Mixture:
    """Return memory for frames of `count` values, if any of the steps `codes` mixes chains."""
    size = count if (codes == KEEP).any() else 0
    return Mixture(np.empty(size, np.uint8), np.empty(size, np.float32))


@njit(nogil=True)
def is_chain(code: int) -> bool:
    """Return whether `run_chain` carries a step out."""
    return KEEP <= code <= BLEND


@njit(nogil=True)
def run_chain(
    code: int, frame: Bytes, at: Index, count: int, numbers: Floats, mixture: Mixture
) -> None:  # fmt: skip
    """Carry a step out on the `count` values of a frame from `frame[at]` on, in place."""
    image, sums, weight = mixture.image, mixture.sums, numbers[0]
    if code == KEEP:
        for k in range(count):
            image[U(k)] = frame[at + U(k)]
            sums[U(k)] = weight * np.float32(frame[at + U(k)])
    elif code == ADD:
        kept, weight, whole = numbers[0], numbers[1], numbers[2] != 0.0
        for k in range(count):
            made = kept * sums[U(k)] + weight * np.float32(frame[at + U(k)])
            sums[U(k)] = np.floor(made) if whole else made
            frame[at + U(k)] = image[U(k)]
    else:
        for k in range(count):
            level, made = np.float32(image[U(k)]), np.floor(sums[U(k)])
            frame[at + U(k)] = np.int32(level + weight * (made - level))
