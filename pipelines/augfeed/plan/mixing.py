"""Who is mixed with whom, how, and by how much."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import CUTMIX, MIXUP, NONE
from augfeed.philox import Stream, draw
from augfeed.plan.batch_rows import BatchRows
from augfeed.plan.draws import Draws, has_ended
from augfeed.policy import CutMix, Mixer, Mixup, OneOf


@dataclass(frozen=True, slots=True)
class Mixes:
    """The mixing of every row: mode uint8, partner's row int32, share of the own label float32.

    `patch` int32 `[N, 4]` is CutMix's (top, left, bottom, right).
    """

    mode: NDArray[np.uint8]
    partner: NDArray[np.int32]
    lam: NDArray[np.float32]
    patch: NDArray[np.int32]

    def needed(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows to read for some output rows: themselves, and the partners of those that
        are mixed."""
        wanted = np.zeros(len(self.mode), np.bool_)
        wanted[which] = True
        wanted[self.partner[which[self.mode[which] != NONE]]] = True
        return np.flatnonzero(wanted)


def unmixed(count: int) -> Mixes:
    """Return the mixing of rows that nobody mixes."""
    return Mixes(
        np.zeros(count, np.uint8),
        np.arange(count, dtype=np.int32),
        np.ones(count, np.float32),
        np.zeros((count, 4), np.int32),
    )


def draw_mixes(mixer: Mixer, draws: Draws, rows: BatchRows, size: tuple[int, int]) -> Mixes:
    """Return the mixing of every row; a row alone in its group stays unmixed, with lambda 1."""
    from augfeed.kernels.draw_columns import fill_mixes

    choices = mixer.mixers if isinstance(mixer, OneOf) else (mixer,)
    names, u = rows.ids, draws.of(mixer)
    if choices[0].per == "batch":
        # The place of the batch's first sample in the epoch; nothing for an empty batch.
        names = np.array([rows.first] if len(rows) else [], np.int64)
        u = draw(draws.seed, draws.epoch, names, [(Stream.MIX, 2, 6)])
    mixes = unmixed(len(rows))
    mixes.partner[:], paired = partners(draws.seed, draws.epoch, rows)
    # Mixup and CutMix side by side share the draw of lambda: a sample gets only one of them.
    key = np.uint64(draws.seed), draws.epoch, int(Stream.MIX_LAMBDA)
    table = _table(mixer, choices, draws.epoch)
    fill_mixes(
        key, names, u, paired, mixer.p, table, _edges(mixer), np.array(size), mixes.mode,
        mixes.lam, mixes.patch,
    )  # fmt: skip
    return mixes


def partners(seed: int, epoch: int, rows: BatchRows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
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


def _table(mixer: Mixer, choices: tuple[Mixup | CutMix, ...], epoch: int) -> NDArray[np.float64]:
    # Mode, alpha, p and whether lambda is counted from the patch, of each choice. The operation's
    # own p counts within one_of; alone, it has decided already.
    rows = []
    for choice in choices:
        p = choice.p if isinstance(mixer, OneOf) else 1.0
        p = 0.0 if has_ended(choice, epoch) else p
        if isinstance(choice, CutMix):
            rows.append((CUTMIX, choice.alpha, p, choice.correct_lambda))
        else:
            rows.append((MIXUP, choice.alpha, p, False))
    return np.array(rows, np.float64)


def _edges(mixer: Mixer) -> NDArray[np.float64]:
    # What parts the choices' shares of [0, 1) from each other.
    if not isinstance(mixer, OneOf):
        return np.empty(0)
    weights = np.array(mixer.weights or [1.0] * len(mixer.operations))
    edges: NDArray[np.float64] = np.cumsum(weights / weights.sum())[:-1]
    return edges
