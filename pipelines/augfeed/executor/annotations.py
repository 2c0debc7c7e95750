"""What belongs to the images of a batch: moved by the threads that read them, and put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.annotated import FieldTargets, check_fields
from augfeed.fields.kinds import Field, Mask
from augfeed.fields.mover import FieldMover, RowSamples
from augfeed.memory_pool import Memory
from augfeed.plan import Plan
from augfeed.policy import Policy
from augfeed.policy.check import check_single
from augfeed.read.annotation import Note, is_annotated
from augfeed.read.protocols import Source
from augfeed.read.read_errors import RowSources

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FollowAnnotations:
    """Moves what belongs to images that are read: `fields` of a source of `channels`."""

    fields: Mapping[str, Field]
    channels: int
    memory: Memory = field(default_factory=Memory)  # for stacks of masks

    def mover(self, plan: Plan, rows: Indices, taken: RowSources) -> FieldMover:
        """Return what moves the annotations of some rows, for which all is read that they show."""
        seen = plan.seen(rows)
        notes = {row: taken.notes[row] for row in seen.tolist()}
        sizes = np.ones((len(plan.ids), 2), np.int64)
        sizes[seen] = [note.size for note in notes.values()]
        given = RowSamples(
            self._alike(notes), sizes, lambda row, path: f"{path[0]!r} of {notes[row].where}",
            channels=self.channels, rows=seen,
        )  # fmt: skip
        return FieldMover(plan, given, {(name,): kind for name, kind in self.fields.items()})

    def _alike(self, notes: Mapping[int, Note]) -> dict[int, Any]:
        # Files of 8 and of 16 bits may lie side by side.
        samples = {row: note.parts for row, note in notes.items()}
        for name, one in self.fields.items():
            if not isinstance(one, Mask):
                continue
            types = {parts[name].dtype for parts in samples.values()}
            if len(types) > 1:
                common = np.result_type(*types)
                samples = {row: {**parts, name: parts[name].astype(common, copy=False)}
                           for row, parts in samples.items()}  # fmt: skip
        return samples

    def move(
        self, plan: Plan, rows: Indices, taken: RowSources, mover: FieldMover | None = None
    ) -> None:
        """Move what belongs to some rows of a batch, as far as it is read and not yet moved."""
        ready = [row for row in rows.tolist() if row < plan.count and row not in taken.moved]
        if not all(row in taken.notes for row in plan.seen(np.array(ready, np.int64)).tolist()):
            ready = [row for row in ready if all(one in taken.notes for one in _seen(plan, row))]
        if ready:
            mover = mover or self.mover(plan, np.array(ready), taken)
            taken.moved.update((row, mover.sample(row, tensors=False)) for row in ready)

    def together(self, plan: Plan, taken: RowSources) -> FieldTargets:
        """Return what belongs to all images of a batch."""
        if taken.unread.any():
            # A file may have turned out to be broken later, and another one taken its place.
            for row in range(plan.count):
                if taken.unread[_seen(plan, row)].any():
                    taken.moved.pop(row, None)
        self.move(plan, np.arange(plan.count), taken)
        made = FieldTargets(
            [taken.moved[row] for row in range(plan.count)], self.fields, self.memory
        )
        taken.notes.clear()
        taken.moved.clear()
        return made


def following(
    source: Source, policy: Policy, form: str, memory: Memory
) -> FollowAnnotations | None:
    """Return what moves the annotations of a source, None for one without.

    Raises `InputError` or `PolicyError` for a policy that they cannot follow, or that needs some.
    """
    if not is_annotated(source):
        check_single(policy)
        return None
    check_fields(policy, source.fields)
    if form != "auto":
        raise InputError(
            f"targets={form!r} is for classes of images, and {source!r} gives "
            f"{' and '.join(source.fields)}: use targets='auto'"
        )
    return FollowAnnotations(source.fields, source.channels, memory)


def _seen(plan: Plan, row: int) -> list[int]:
    seen: list[int] = plan.seen(np.array([row], np.int64)).tolist()
    return seen


__all__ = ["FollowAnnotations", "following"]
