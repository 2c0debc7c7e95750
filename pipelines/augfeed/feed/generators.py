"""The generators that decide what a loader gives, and the states that its passes draw from."""

import base64
import binascii
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from augfeed.errors import StateError
from augfeed.feed.shuffle import innermost

Packed = str | None  # the state of a generator, as text; None where it is to be left alone


class Generators:
    """The generators of a loader in one pass.

    What counts is where they stand when the order is about to be drawn: behind the number that
    torch draws for an iterator, which workers that live on do without.
    """

    def __init__(self, found: list[torch.Generator], wanted: Sequence[Packed] | None) -> None:
        """Take the generators, and the states that they are to have when the pass begins."""
        self._found, self._wanted = found, wanted
        self._begun: list[torch.Tensor] | None = None

    def opened(self, sampler: Iterable[Any]) -> Iterator[Any]:
        """Return the iterator of a sampler, which may draw its order at once."""
        put(self._found, self._wanted or ())
        before = self._current()
        iterator: Iterator[Any] = iter(sampler)
        if not all(map(torch.equal, before, self._current())):
            self._wanted, self._begun = None, before
        return iterator

    def begin(self) -> None:
        """Bring the generators to where the order is to be drawn from, and remember where."""
        if self._begun is None:
            put(self._found, self._wanted or ())
            self._wanted, self._begun = None, self._current()

    def _current(self) -> list[torch.Tensor]:
        return [generator.get_state() for generator in self._found]

    @property
    def states(self) -> list[Packed] | None:
        """The states that bring the same pass again; None without generators."""
        if self._wanted is not None:
            return list(self._wanted)
        begun = self._current() if self._begun is None else self._begun
        return [packed(state) for state in begun] or None


def found_in(loader: Sampler[Any] | DataLoader[Any]) -> list[torch.Generator]:
    """Return the generators of a loader and its samplers, each once, by whatever name."""
    holders, found = list[Any]([loader]), list[torch.Generator]()
    for holder in holders:  # grows
        named = [getattr(holder, name, None) for name in ("batch_sampler", "sampler", "generator")]
        # A loader of a user's class may hold more that decides on nothing here.
        held = {} if isinstance(holder, DataLoader) else getattr(holder, "__dict__", {})
        others = list(held.values())
        inner = named[:2] + [one for one in others if isinstance(one, Sampler)]
        holders += [one for one in _distinct(inner) if all(one is not h for h in holders)]
        own = [one for one in named[2:] + others if isinstance(one, torch.Generator)]
        found += [one for one in _distinct(own) if all(one is not other for other in found)]
    return found


def _distinct(items: list[Any]) -> list[Any]:
    return list({id(item): item for item in items if item is not None}.values())


def number_of(generator: torch.Generator) -> int:
    """Return the number that torch draws for each iterator of a loader."""
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())


def ahead_of(loader: DataLoader[Any], *, kept: bool) -> tuple[int | None, list[Packed] | None]:
    """Return what the next iterator will draw, and where that leaves the generators.

    Nothing is drawn but from copies. The number is None where no generator decides it; `kept` says
    that workers live on, and nothing will be drawn.
    """
    number, states = None, list[Packed]()
    for generator in found_in(loader):
        state = generator.get_state()
        if generator is loader.generator and not kept:
            copied = torch.Generator(generator.device)
            copied.set_state(state)
            number, state = number_of(copied), copied.get_state()
        states.append(packed(state))
    return number, states or None


def passed_by(loader: DataLoader[Any], wanted: Sequence[Packed] | None) -> None:
    """Leave the generators of a loader as a pass that began with some states would leave them."""
    put(found_in(loader), wanted or ())
    seeded = getattr(innermost(loader), "seed", None) is not None  # draws from none
    if wanted and found_in(loader._index_sampler) and not seeded:
        deque(iter(loader._index_sampler), 0)


def put(generators: list[torch.Generator], states: Sequence[Packed]) -> None:
    """Give generators their states."""
    for generator, state in zip(generators, states, strict=False):
        if state is not None:
            generator.set_state(unpacked(state))


def check_states(loader: DataLoader[Any], state: dict[str, Any]) -> list[Packed] | None:
    """Return what the generators of a loader are to be, by a state of one; raise `StateError`.

    States of before the field `generators` have that of the sampler in `order`, or none at all.
    """
    found, old = found_in(loader), state["order"]
    held: Any = state.get("generators", [None] * len(found)) or []
    if not isinstance(held, list):
        raise StateError(f"the state is broken: generators={held!r} is not a list of their states")
    if len(held) != len(found):
        raise StateError(
            f"the state is of a loader with {len(held)} generators and this one has {len(found)}: "
            "give generator= to the loader, or its sampler, as when the state was taken"
        )
    if isinstance(old, str):
        inner = getattr(innermost(loader), "generator", None)
        if not isinstance(inner, torch.Generator):
            raise StateError(
                "the state has the order of a generator and this loader's sampler has none: "
                "give generator= as when the state was taken"
            )
        held = [old if one is inner else text for one, text in zip(found, held, strict=True)]
    for generator, text in zip(found, held, strict=True):
        _check(generator, text)
    return held or None


def _check(generator: torch.Generator, text: Any) -> None:
    try:
        if text is not None:
            torch.Generator(generator.device).set_state(unpacked(text))
    except (TypeError, ValueError, RuntimeError, zlib.error, binascii.Error) as error:
        raise StateError(
            f"the state is broken: {str(text)[:40]!r} is not the state of a generator on "
            f"device={str(generator.device)!r} ({error})"
        ) from None


def packed(state: torch.Tensor) -> str:
    """Return the state of a generator as text, some 4 KB."""
    # Random words, each beside four zeros: higher levels take 20 times as long for no less.
    return base64.b64encode(zlib.compress(state.numpy().tobytes(), 1)).decode()


def unpacked(text: str) -> torch.Tensor:
    """Return the state of a generator that `packed` made a text of."""
    data = zlib.decompress(base64.b64decode(text, validate=True))
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
