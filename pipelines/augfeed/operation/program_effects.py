"""What the programs that may be drawn can do to labels: the union of their parts."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from augfeed.operation.effects import Effect, Setting
from augfeed.operation.program import (
    Chains,
    Choice,
    Entry,
    Graded,
    Law,
    Node,
    Op,
    Series,
    Some,
    parts_of,
    weights_of,
)

# Rules whose effects add up where a sample gets several steps; zooms multiply.
ADDED = ("max_rotation", "max_shear", "max_translation", "max_hue")
MULTIPLIED = ("max_zoom",)


def moves_pixels(node: Node) -> bool:
    """Return whether a part that some sample gets moves pixels."""
    return any(_moves(part) for part, p in parts_of(node) if p)


def moves_in_chains(node: Node) -> bool:
    """Return whether pixels move in a chain that some sample gets, in one of its layers alone."""
    match node:
        case Chains():
            return moves_pixels(node)
        case Choice() | Some():
            done = node.p and getattr(node, "most", 1)
            chosen = zip(node.children, weights_of(node), strict=True)
            return bool(done) and any(moves_in_chains(child) for child, weight in chosen if weight)
        case Series():
            return bool(node.p) and any(map(moves_in_chains, node.children))
    return False


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
        low, high = _bounds(entry, law)
        before = bounds.get(entry.candidate, (low, high, 0.0))
        bounds[entry.candidate] = min(low, before[0]), max(high, before[1]), max(p, before[2])
    for candidate, (low, high, p) in bounds.items():
        found: Callable[..., Iterator[Effect]] = candidate.effects
        for effect in found(low, high, setting):
            yield replace(effect, never=effect.never or p == 0)


def _bounds(entry: Entry, law: Law) -> tuple[float, float]:
    low, high = entry.bounds(law)
    assert entry.candidate is not None
    return (min(low, -high), max(high, -low)) if entry.candidate.signed else (low, high)


def together(node: Node, rule: str, setting: Setting) -> float:
    """Return the most that the steps which one sample may get do together, in the unit of a rule.

    The rule is one of `ADDED` or `MULTIPLIED`; what cannot be determined counts as nothing.
    """
    none = 1.0 if rule in MULTIPLIED else 0.0
    match node:
        case Op(operation=operation):
            return largest(operation.effects(setting), rule)
        case Graded(entries=entries):
            chosen = zip(entries, weights_of(node), strict=True)
            return max(
                [_joined([_of_entry(entry, node.magnitude, rule, setting) for entry in slots], rule)
                 for slots, weight in chosen if weight and node.p], default=none,
            )  # fmt: skip
        case Series(children=children):
            found = [together(child, rule, setting) for child in children]
            return _joined(found, rule) if node.p else none
        case Chains(child=child):  # side by side, not one after another
            return together(child, rule, setting) if node.p else none
    chosen_children = zip(node.children, weights_of(node), strict=True)
    found = sorted(together(child, rule, setting) for child, weight in chosen_children if weight)
    most = {Choice: 1, Some: getattr(node, "most", 1)}[type(node)]
    return _joined(found[max(0, len(found) - most) :], rule) if node.p else none


def _of_entry(entry: Entry, law: Law, rule: str, setting: Setting) -> float:
    if entry.candidate is None or not entry.p:
        return 1.0 if rule in MULTIPLIED else 0.0
    return largest(entry.candidate.effects(*_bounds(entry, law), setting), rule)


def largest(effects: Iterable[Effect], rule: str) -> float:
    """Return the largest effect under a rule that some sample gets."""
    none = 1.0 if rule in MULTIPLIED else 0.0
    worst = (effect.worst for effect in effects if effect.rule == rule and not effect.never)
    return max([float(value) for value in worst if value is not None], default=none)


def _joined(found: list[float], rule: str) -> float:
    return math.prod(found) if rule in MULTIPLIED else math.fsum(found)
