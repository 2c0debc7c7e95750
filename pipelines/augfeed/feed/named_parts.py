"""Names that a caller gives to parts of samples, held against the first samples that come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from augfeed.errors import InputError
from augfeed.feed.spatial import SpatialCheck, parts_within
from augfeed.fields.sample_parts import describe

Wanted = tuple[str, Any]  # the argument, and a name, position or path that it gives


@dataclass(slots=True)
class NamedParts:
    """What `passive=` and `fields=` name and no sample has had yet."""

    wanted: list[Wanted] = field(default_factory=list)

    @classmethod
    def of(cls, passive: Iterable[Any], fields: Iterable[Any]) -> "NamedParts":
        """Return the names of both arguments."""
        named = [("passive", key) for key in passive], [("fields", key) for key in fields]
        return cls([*named[0], *named[1]])

    def check(self, samples: Sequence[Any]) -> None:
        """Raise `InputError` for a name of nothing in the samples of the first batch.

        While parts of them are empty, as the list of objects of an image without any, it is left
        to the next batch.
        """
        for argument, key in tuple(self.wanted):
            is_key, open_ends = SpatialCheck(passive=(key,)), 0
            for sample in samples:
                paths, ends = parts_within(sample)
                open_ends += ends
                if any(is_key.may_stay(sample, path) for path in paths):
                    self.wanted.remove((argument, key))
                    break
            else:
                if not open_ends:
                    raise InputError(
                        f"{argument}={key!r} names no part of {describe(samples[0])}: give a key "
                        "of it, a position, or a tuple of these from the outside in; or leave it "
                        "out"
                    )


__all__ = ["NamedParts"]
