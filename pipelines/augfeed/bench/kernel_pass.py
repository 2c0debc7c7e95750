"""One kernel of a prediction: how often its instructions are carried out for a pixel."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from augfeed.bench.pipes import PIPES, cost
from augfeed.bench.result import Model
from augfeed.bench.sass import Listing


class Pass(Model):
    """One kernel of a chain; numbers are those of a thread's work for a pixel of the output.

    `instructions` by the plan of the batch, `most` if all branches were taken; `kinds` are
    instructions by their class and `cycles` those of a scheduler, by what they keep busy.
    `programs` are those of the whole batch; `unknown` are lines of branches that the model does not
    know, which it takes as taken.
    """

    kernel: str
    programs: int
    instructions: float
    most: float
    kinds: dict[str, float]
    cycles: dict[str, float]
    unknown: tuple[str, ...]
    unknown_opcodes: tuple[str, ...]
    share: float = 1.0  # of rows whose turn it is: of the kernels that carry out programs
    turn: float = 0.0  # instructions for a pixel of such a row
    moves: float = 0.0  # bytes of frames for a pixel


class Grid(NamedTuple):
    """Programs of a kernel, threads of each, and the pixels of the output that they are for."""

    programs: int
    threads: int
    pixels: int


def pass_of(
    kernel: str, listing: Listing, shares: Mapping[str, float], grid: Grid, trips: float
) -> Pass:
    """Return what a kernel takes whose branches are taken as often as `shares` say."""
    from augfeed.bench.branches import odds_of

    odds, all_taken = odds_of(listing, shares), odds_of(listing, {})
    rounds = {loop.head: trips for loop in listing.loops}
    scale = grid.programs * grid.threads / grid.pixels
    counts = listing.counts(rounds, odds.taken) * scale
    most = listing.counts(rounds, all_taken.taken) * scale
    kinds: Counter[str] = Counter()
    cycles: Counter[str] = Counter()
    for block, count in zip(listing.blocks, counts, strict=True):
        for instruction in block:
            kind, busy = cost(instruction)
            kinds[kind] += count
            for pipe, taken in busy.items():
                cycles[pipe] += count * taken
    return Pass(
        kernel=kernel,
        programs=grid.programs,
        instructions=cycles["issue"],
        most=float(most @ np.array([len(block) for block in listing.blocks])),
        kinds=dict(kinds),
        cycles={pipe: cycles[pipe] for pipe in PIPES},
        unknown=odds.unknown,
        unknown_opcodes=tuple(sorted({
            each.name for b in listing.reached for each in listing.blocks[b]
            if cost(each).kind == "other"
        })),
    )  # fmt: skip
