"""What the programs that may be drawn can do to labels: the union of their parts."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from augfeed.operation.effects import Effect, Setting
from augfeed.operation.program import Node, parts_of


def moves_pixels(node: Node) -> bool:
    """Return whether a part that some sample gets moves pixels."""
    return any(_moves(part) for part, p in parts_of(node) if p)


def _moves(part: Any) -> bool:
    if isinstance(part, tuple):
        entry, _ = part
        return bool(entry.candidate.moves)
    return bool(part.moves)


def effects_of(node: Node, setting: Setting) -> Iterator[Effect]:
    """Yield the effects of all parts; the parameter of each is named after its part.

    Of the magnitudes of one candidate, which may stand in many slots, the least and the most count.
    """
    bounds: dict[Any, tuple[float, float, float]] = {}
    for part, p in parts_of(node):
        if not isinstance(part, tuple):
            for effect in part.effects(setting):
                yield replace(effect, parameter=f"{part.op}.{effect.parameter}",
                              never=effect.never or p == 0)  # fmt: skip
            continue
        entry, law = part
        low, high = entry.bounds(law)
        if entry.candidate.signed:
            low, high = min(low, -high), max(high, -low)
        before = bounds.get(entry.candidate, (low, high, 0.0))
        bounds[entry.candidate] = min(low, before[0]), max(high, before[1]), max(p, before[2])
    for candidate, (low, high, p) in bounds.items():
        found: Callable[..., Iterator[Effect]] = candidate.effects
        for effect in found(low, high, setting):
            yield replace(effect, never=effect.never or p == 0)
