"""Random numbers as a function of key and counter: no state, nothing global.

`Philox4x32-10` with key = seed (64 bits) and counter = (sample id, epoch, stream, block): bits 0 to
31 of the id; the epoch; the stream in bits 0 to 9, the view (bits 48 to 53 of the id) in bits 10 to
15 and bits 32 to 47 of the id above it; the block. Each block gives four 32-bit words.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.whole_number import whole_number


class Stream(IntEnum):
    """What a draw is for that is not one operation's own; those have numbers in `augfeed.ops`.

    A number is never used again, so that operations do not disturb each other's draws.
    """

    ORDER = 1
    PARTNER = 2
    MIX = 3
    MIX_LAMBDA = 4
    CROP = 5
    ERASE_PIXELS = 20
    NOISE_PIXELS = 22
    SALT_PIXELS = 24
    REPLACE = 25
    KORNIA = 26
    SPLIT = 27
    ELASTIC_PIXELS = 48
    PROGRAMS = 64  # and those above it, one for each program of a policy
    FILTER = 130
    CHAINS = 192  # likewise


def check_key(seed: int, epoch: int) -> None:
    """Raise `InputError` unless the seed fits 64 bits and the epoch 32 bits, both unsigned."""
    for name, value, bits in (("seed", seed, 64), ("epoch", epoch, 32)):
        if not 0 <= whole_number(name, value) < 2**bits:
            raise InputError(
                f"{name}={value!r} is not in [0, 2**{bits}): give a non-negative integer"
            )


def words(
    seed: int, epoch: int, ids: NDArray[np.int64], requests: Sequence[tuple[int, int]]
) -> NDArray[np.uint32]:
    """Return uint32 `[K, 4, N]`: for each `(stream, block)` the four words of every sample id."""
    from augfeed.kernels.philox import fill_words

    out = np.empty((len(requests), 4, len(ids)), np.uint32)
    wanted = np.array(requests, np.int64).reshape(-1, 2)
    fill_words(np.uint64(seed), epoch, np.ascontiguousarray(ids, np.int64), wanted, out)
    return out


def uniforms(drawn: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return words as float64 in [0, 1): multiples of 2**-24."""
    result: NDArray[np.float64] = (drawn >> np.uint32(8)) * np.float64(2.0**-24)
    return result


def draw(
    seed: int, epoch: int, ids: NDArray[np.int64], requests: Sequence[tuple[int, int, int]]
) -> NDArray[np.float64]:
    """Return float64 `[V, N]`: for each `(stream, first block, count)` as many `uniforms` a sample.

    They come from the words of consecutive blocks, in order; `V` is the sum of the counts.
    """
    from augfeed.kernels.philox import fill_uniforms

    out = np.empty((sum(count for _, _, count in requests), len(ids)), np.float64)
    wanted = np.array(requests, np.int64).reshape(-1, 3)
    fill_uniforms(np.uint64(seed), epoch, np.ascontiguousarray(ids, np.int64), wanted, out)
    return out


def beta(
    seed: int, epoch: int, ids: NDArray[np.int64], stream: int, alpha: float
) -> NDArray[np.float64]:
    """Return float64 `[N]` in [0, 1] from Beta(alpha, alpha), one for every sample id."""
    from augfeed.kernels.philox import fill_beta

    out = np.empty(len(ids), np.float64)
    ids = np.ascontiguousarray(ids, np.int64)
    fill_beta(np.uint64(seed), epoch, ids, int(stream), float(alpha), out)
    return out


def dirichlet(
    seed: int, epoch: int, ids: NDArray[np.int64], stream: int, first: int, alpha: float, count: int
) -> NDArray[np.float64]:
    """Return float64 `[count, N]`, weights from Dirichlet(alpha, ...) that add up to 1.

    They are made of the Gammas number `first` to `first + count - 1` of the stream.
    """
    from augfeed.kernels.philox import fill_dirichlet

    out = np.empty((count, len(ids)), np.float64)
    ids = np.ascontiguousarray(ids, np.int64)
    fill_dirichlet(np.uint64(seed), epoch, ids, int(stream), first, float(alpha), out)
    return out


@cache
def normal_quantiles() -> NDArray[np.float32]:
    """Return float32 `[65536]`: the standard normal quantile of `(k + 0.5) / 65536` at `k`.

    Pixel noise takes 16 bits a value and looks its normal number up here, so that every engine
    has the same one. The largest is 4.33.
    """
    import torch

    middle = (torch.arange(65536, dtype=torch.float64) + 0.5) / 65536
    values: Any = torch.special.ndtri(middle).to(torch.float32).numpy()
    values.setflags(write=False)
    return values  # type: ignore[no-any-return]
