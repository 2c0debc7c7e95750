"""What belongs to the images of a batch: moved by the threads that read them, and put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.annotated import AnnotationMover, FieldTargets, Placed
from augfeed.fields.kinds import Boxes, Dense, Field, Keypoints, Mask
from augfeed.plan import Plan
from augfeed.read.annotation import Note
from augfeed.read.read_errors import RowSources

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FollowAnnotations:
    """Moves what belongs to images that are read: `fields` of a source of `channels`."""

    fields: Mapping[str, Field]
    channels: int

    def move(self, plan: Plan, rows: Indices, taken: RowSources) -> None:
        """Move what belongs to some rows of a batch, as far as it is read already."""
        notes = taken.notes
        ready = [row for row in rows.tolist()
                 if row < plan.count and self._is_read(plan, row, notes)]  # fmt: skip
        if not ready:
            return
        mover = AnnotationMover(plan, self.fields, lambda row: placed(notes[row], self.fields),
                                self.channels)  # fmt: skip
        samples = [notes[row].sample for row in ready]
        for row, sample, parts in zip(ready, samples, mover.moved(np.array(ready)), strict=True):
            taken.moved[row] = sample, parts

    @staticmethod
    def _is_read(plan: Plan, row: int, notes: Mapping[int, Note]) -> bool:
        return row in notes and (not plan.mixes.mode[row] or int(plan.mixes.partner[row]) in notes)

    def together(self, plan: Plan, taken: RowSources) -> FieldTargets:
        """Return what belongs to all images of a batch."""
        late = [row for row in range(plan.count) if not self._is_moved(plan, row, taken)]
        if late:
            self.move(plan, np.array(late, np.int64), taken)
        made = FieldTargets([taken.moved[row][1] for row in range(plan.count)], self.fields)
        taken.notes.clear()
        taken.moved.clear()
        return made

    @staticmethod
    def _is_moved(plan: Plan, row: int, taken: RowSources) -> bool:
        # A file may have turned out to be broken later, and another one taken its place.
        rows = (row, int(plan.mixes.partner[row])) if plan.mixes.mode[row] else (row,)
        return row in taken.moved and not any(taken.unread[one] for one in rows)


def placed(note: Note, fields: Mapping[str, Field]) -> Placed:
    """Return what belongs to an image in the pixels of the image as it is cut from."""
    parts, given = note.annotation.parts, note.annotation.size
    if given == note.size:
        return Placed(parts, note.size, note.annotation.where)
    height, width = note.size if given is None else (
        note.size[0] / given[0], note.size[1] / given[1])  # fmt: skip
    made: dict[str, Any] = dict(parts)
    for name, field in fields.items():
        part = parts[name]
        if isinstance(field, Boxes):
            made[name] = part * np.array([width, height, width, height], np.float64)
        elif isinstance(field, Keypoints):
            made[name] = _scaled_points(part, height, width, pixels=given is not None)
        elif isinstance(field, Mask):
            made[name] = _nearest(part, note.size)
        elif isinstance(field, Dense):
            raise InputError(
                f"{name!r} is dense, and a cache keeps images smaller than it: leave out cache"
            )
    return Placed(made, note.size, note.annotation.where)


def _scaled_points(part: Any, height: float, width: float, *, pixels: bool) -> Any:
    # Points count from the center of the first pixel; shares from the edge of the image.
    half = 0.5 if pixels else 0.0
    made = np.array(part, np.float64)
    made[..., 0] = (made[..., 0] + half) * width - 0.5
    made[..., 1] = (made[..., 1] + half) * height - 0.5
    return made


def _nearest(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, mask.shape[-2:], strict=True)
    )
    made: NDArray[Any] = mask[..., rows[:, None], columns]
    return made


__all__ = ["FollowAnnotations", "placed"]
