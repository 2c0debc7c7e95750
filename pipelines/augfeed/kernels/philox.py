"""Philox4x32-10, compiled (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; SC 2011)."""

from typing import Any

import numpy as np
from numba import njit

from augfeed.kernels import compiled, compiled_by_size
from augfeed.kernels.types import Floats, Ints, Words

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_16 = np.uint64(16)
ATTEMPTS = 65  # blocks of a Gamma: its boost, and as many as are tried
CHUNK = 512  # samples whose words are held in the nearest cache

Key = tuple[Any, Any, Any, Any]


@njit(nogil=True, inline="always")
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return the four 32-bit words, as uint64, of one counter and key (32-bit words as uint64)."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(nogil=True)
def stream_word(sample: np.uint64, stream: np.uint64) -> np.uint64:
    """Return the counter's third word: the stream, and above it bits 32 to 47 of the sample id."""
    return stream | ((sample >> _32) << _16)


@njit(nogil=True)
def key_of(seed: Any, epoch: int, stream: int) -> Key:
    """Return the key of a stream: seed's lower word, its upper one, epoch, stream, as uint64."""
    return np.uint64(seed) & _LOW, np.uint64(seed) >> _32, np.uint64(epoch), np.uint64(stream)


@njit(nogil=True, inline="always")
def _block(
    sample: np.uint64, key: Key, block: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    return philox(sample & _LOW, key[2], stream_word(sample, key[3]), block, key[0], key[1])


@njit(nogil=True)
def fill_blocks(
    ids: Ints, key: Key, block: int, w0: Words, w1: Words, w2: Words, w3: Words
) -> None:
    """Write the words of one block of every sample to four arrays `[N]`.

    Each is without gaps, and nothing else is in the loop, so that it is vectorised.
    """
    for i in range(ids.size):
        w0[i], w1[i], w2[i], w3[i] = _block(np.uint64(ids[i]), key, np.uint64(block))


@compiled(nogil=False)
def fill_words(seed: Any, epoch: int, ids: Ints, requests: Ints, out: Words) -> None:
    """Write the words of every sample for each `(stream, block)` of `requests` to `[K, 4, N]`."""
    for k in range(requests.shape[0]):
        key = key_of(seed, epoch, requests[k, 0])
        fill_blocks(ids, key, requests[k, 1], out[k, 0], out[k, 1], out[k, 2], out[k, 3])


@compiled_by_size
def fill_uniforms(seed: Any, epoch: int, ids: Ints, requests: Ints, out: Floats) -> None:
    """Write the uniforms of every sample for each `(stream, first block, count)` to `[V, N]`.

    A multiple of 2**-24 from every word, of as many blocks as the count takes; `V` is the sum of
    the counts.
    """
    held = np.empty((4, min(CHUNK, ids.size)), np.uint32)
    for first in range(0, ids.size, CHUNK):
        part, row = ids[first : first + CHUNK], 0
        for k in range(requests.shape[0]):
            key = key_of(seed, epoch, requests[k, 0])
            for value in range(requests[k, 2]):
                if value % 4 == 0:
                    block = requests[k, 1] + value // 4
                    fill_blocks(part, key, block, held[0], held[1], held[2], held[3])
                words = held[value % 4]
                for i in range(part.size):
                    out[row, first + i] = _uniform(words[i])
                row += 1


@njit(nogil=True)
def _uniform(word: np.uint32) -> float:
    return float(word >> np.uint32(8)) * 2.0**-24


@njit(nogil=True)
def _open(word: np.uint64) -> float:
    return (float(word) + 0.5) * 2.0**-32


@njit(nogil=True)
def beta_law(alpha: float) -> tuple[float, float, float, float]:
    """Return Beta(alpha, alpha) for `draw_beta`: alpha, and the constants of its Gammas."""
    alpha = max(alpha, 1e-300)  # below 1e-307, log(uniform) / alpha is infinite for both Gammas
    d = (alpha + 1.0 if alpha < 1.0 else alpha) - 1.0 / 3.0
    return alpha, d, 1.0 / np.sqrt(9.0 * d), np.log(d)


@njit(nogil=True)
def _log_gamma(
    law: tuple[float, float, float, float], sample: np.uint64, key: Key, first: int,
    boost: np.uint64,
) -> float:  # fmt: skip
    # Marsaglia and Tsang (2000) for alpha + 1 if alpha < 1, then the boost U ** (1 / alpha), all
    # in logarithms so that a small alpha does not underflow.
    alpha, d, c, log_d = law
    for attempt in range(64):
        w = _block(sample, key, np.uint64(first + attempt))
        radius = np.sqrt(-2.0 * np.log(_open(w[0])))
        normal = radius * np.cos(2.0 * np.pi * _open(w[1]))
        v = (1.0 + c * normal) ** 3
        if v > 0.0 and np.log(_open(w[2])) < 0.5 * normal * normal + d - d * v + d * np.log(v):
            break
    value = log_d + np.log(v)
    return value + np.log(_open(boost)) / alpha if alpha < 1.0 else value


@njit(nogil=True)
def draw_beta(law: tuple[float, float, float, float], sample: np.uint64, key: Key) -> float:
    """Return a draw of a `beta_law` for a sample, as a ratio of two Gammas."""
    w = _block(sample, key, np.uint64(0))
    if law[0] == 1.0:
        return _open(w[0])
    own = _log_gamma(law, sample, key, 1, w[0])
    other = _log_gamma(law, sample, key, 65, w[1])
    return 1.0 / (1.0 + np.exp(other - own))


@compiled_by_size
def fill_beta(seed: Any, epoch: int, ids: Ints, stream: int, alpha: float, out: Floats) -> None:
    """Write a draw of Beta(alpha, alpha) for every sample to `[N]`."""
    key, law = key_of(seed, epoch, stream), beta_law(alpha)
    for i in range(ids.size):
        out[i] = draw_beta(law, np.uint64(ids[i]), key)


@compiled(nogil=False)
def fill_dirichlet(
    seed: Any, epoch: int, ids: Ints, stream: int, first: int, alpha: float, out: Floats
) -> None:
    """Write weights from Dirichlet(alpha, ...) of every sample to `[count, N]`.

    Gamma number g of the stream has blocks `ATTEMPTS * g` and behind.
    """
    key, law = key_of(seed, epoch, stream), beta_law(alpha)
    for i in range(ids.size):
        most, total, sample = -np.inf, 0.0, np.uint64(ids[i])
        for g in range(out.shape[0]):
            block = (first + g) * ATTEMPTS
            boost = _block(sample, key, np.uint64(block))[0]
            out[g, i] = _log_gamma(law, sample, key, block + 1, boost)
            most = max(most, out[g, i])
        for g in range(out.shape[0]):
            out[g, i] = np.exp(out[g, i] - most)
            total += out[g, i]
        for g in range(out.shape[0]):
            out[g, i] /= total


@njit(nogil=True)
def block_key(key: tuple[Any, Any, Any, int]) -> tuple[Any, Any, Any, Any, Any]:
    """Return what `philox` takes of (seed, epoch, sample id, stream), but for the block: the key's
    two words, then the counter's first three."""
    seed, epoch, sample = np.uint64(key[0]), np.uint64(key[1]), np.uint64(key[2])
    stream = stream_word(sample, np.uint64(key[3]))
    return seed & _LOW, seed >> _32, sample & _LOW, epoch, stream


@njit(nogil=True)
def fill_plane(
    key: tuple[Any, Any, Any, int], first: int, w0: Words, w1: Words, w2: Words, w3: Words
) -> None:
    """Write the words of blocks `first`, `first + 1`, ... of one sample to four uint32 `[n]`.

    `key` is (seed, epoch, sample id, stream). Four arrays, each without gaps, so that the loop is
    vectorised.
    """
    k0, k1, c0, epoch, c2 = block_key(key)
    for i in range(w0.size):
        w0[i], w1[i], w2[i], w3[i] = philox(c0, epoch, c2, np.uint64(first + i), k0, k1)


@compiled_by_size
def fill_partners(
    seed: Any, epoch: int, stream: int, names: Ints, where: Ints, slots: Ints, partner: Ints
) -> None:
    """Write the row of each row's partner to `partner` int64 `[M]`, its own if it has none.

    Sattolo's algorithm: one random cycle through the members of each group. Row r stands in group
    `names[where[r]]`, at place `slots[r]` of 8.
    """
    key = np.uint64(seed)
    k0, k1 = key & _LOW, key >> _32
    members, after = np.full((names.size, 8), -1, np.int64), np.zeros((names.size, 8), np.int64)
    for r in range(where.size):
        members[where[r], slots[r]] = r
    u = np.empty(8)
    for g in range(names.size):
        count = 0
        while count < 8 and members[g, count] >= 0:
            after[g, count] = count
            count += 1
        name = np.uint64(names[g])
        for block in range(2):
            w = philox(name & _LOW, np.uint64(epoch), stream_word(name, np.uint64(stream)),
                       np.uint64(block), k0, k1)  # fmt: skip
            for k in range(4):
                u[4 * block + k] = float(w[k] >> np.uint64(8)) * 2.0**-24
        for last in range(count - 1, 0, -1):
            picked = min(int(u[last - 1] * last), last - 1)
            after[g, picked], after[g, last] = after[g, last], after[g, picked]
    for r in range(where.size):
        slot = after[where[r], slots[r]]
        found = members[where[r], slot]
        partner[r] = r if slot == slots[r] or found < 0 else found
