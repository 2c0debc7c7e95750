"""Who is mixed with whom, how, and by how much."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.philox import Stream, beta, uniforms, words
from augfeed.plan.draws import Draws, index
from augfeed.plan.rows import Rows
from augfeed.policy import CutMix, Mixer, Mixup, OneOf

NONE, MIXUP, CUTMIX = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Mixes:
    """The mixing of every row: mode uint8, partner's row int32, share of the own label float32.

    `patch` int32 `[N, 4]` is CutMix's (top, left, bottom, right).
    """

    mode: NDArray[np.uint8]
    partner: NDArray[np.int32]
    lam: NDArray[np.float32]
    patch: NDArray[np.int32]


def unmixed(count: int) -> Mixes:
    """Return the mixing of rows that nobody mixes."""
    return Mixes(
        np.zeros(count, np.uint8),
        np.arange(count, dtype=np.int32),
        np.ones(count, np.float32),
        np.zeros((count, 4), np.int32),
    )


def draw_mixes(mixer: Mixer, draws: Draws, rows: Rows, size: tuple[int, int]) -> Mixes:
    """Return the mixing of every row; a row alone in its group stays unmixed, with lambda 1."""
    u = draws.of(mixer)
    choices = mixer.operations if isinstance(mixer, OneOf) else (mixer,)
    per_batch = choices[0].per == "batch"
    if per_batch:
        u = np.tile(_batch_uniforms(draws, rows), (1, len(rows)))
    mixes = unmixed(len(rows))
    mixes.partner[:], paired = partners(draws.seed, draws.epoch, rows)
    free = (u[0] < mixer.p) & paired
    chosen = _choose(mixer, u[1])
    for k, choice in enumerate(choices):
        # The operation's own p within one_of; alone, u[0] has decided already.
        own = u[2] < choice.p if isinstance(mixer, OneOf) else True
        mine = free & (chosen == k) & own
        lam = _lambdas(choice, draws, rows, per_batch=per_batch)
        if isinstance(choice, Mixup):
            mixes.mode[mine], mixes.lam[mine] = MIXUP, lam[mine]
        else:
            patch, share = _patches(choice, lam, u[4:6], size)
            mixes.mode[mine], mixes.lam[mine] = CUTMIX, share[mine]
            mixes.patch[mine] = patch[mine]
    return mixes


def partners(seed: int, epoch: int, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return int64 `[M]`, the row of each row's partner, and bool `[M]`, whether it has one.

    Sattolo's algorithm: one random cycle through all members of a group, so that nobody is their
    own partner where a group has two members or more.
    """
    from augfeed.kernels.philox import fill_partners

    first, last = (int(rows.groups.min()), int(rows.groups.max())) if len(rows) else (0, -1)
    if last - first <= len(rows):  # groups side by side need no sorting
        names, where = np.arange(first, last + 1), rows.groups - first
    else:
        names, where = np.unique(rows.groups, return_inverse=True)
    found = np.empty(len(rows), np.int64)
    fill_partners(np.uint64(seed), epoch, int(Stream.PARTNER), names, where, rows.slots, found)
    return found, found != np.arange(len(rows))


def _batch_uniforms(draws: Draws, rows: Rows) -> NDArray[np.float64]:
    drawn = words(draws.seed, draws.epoch, _batch_name(rows), [(Stream.MIX, 2), (Stream.MIX, 3)])
    return uniforms(drawn).reshape(8, -1)


def _batch_name(rows: Rows) -> NDArray[np.int64]:
    # The place of the batch's first sample in the epoch; nothing for an empty batch.
    return np.array([rows.first] if len(rows) else [], np.int64)


def _choose(mixer: Mixer, u: NDArray[np.float64]) -> NDArray[Any]:
    if not isinstance(mixer, OneOf):
        return np.zeros(len(u), np.int64)
    weights = np.array(mixer.weights or [1.0] * len(mixer.operations))
    edges = np.cumsum(weights / weights.sum())
    return np.searchsorted(edges[:-1], u, side="right")


def _lambdas(
    choice: Mixup | CutMix, draws: Draws, rows: Rows, *, per_batch: bool
) -> NDArray[np.float64]:
    # Mixup and CutMix side by side share the draw: a sample gets only one of them.
    names = _batch_name(rows) if per_batch else rows.ids
    lam = beta(draws.seed, draws.epoch, names, Stream.MIX_LAMBDA, choice.alpha)
    return np.broadcast_to(lam, len(rows))


def _patches(
    choice: CutMix, lam: NDArray[np.float64], u: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    sides = np.array(size)
    # A hair is added so that sqrt cannot round a whole side down.
    cut = np.floor(sides * np.sqrt(1.0 - lam)[:, None] + 1e-9).astype(np.int64)
    start = index(u.T, sides) - cut // 2
    first, last = np.clip(start, 0, sides), np.clip(start + cut, 0, sides)
    patch = np.concatenate([first, last], axis=1)
    share = 1.0 - (last - first).prod(axis=1) / sides.prod()
    return patch, share if choice.correct_lambda else lam
