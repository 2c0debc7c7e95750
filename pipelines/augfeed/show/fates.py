"""What became of each box of a sample: where it is, or why it was dropped."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from augfeed.executor.annotations import FollowAnnotations
from augfeed.fields.box_sets import BoxSet
from augfeed.fields.kinds import Boxes
from augfeed.plan import Plan
from augfeed.plan.batch_rows import samples_of
from augfeed.plan.box_windows import by_boxes
from augfeed.read.annotation import Annotated, Note, is_annotated, pixel_parts
from augfeed.read.decode import picture_size
from augfeed.read.protocols import EncodedSource
from augfeed.read.read_errors import RowSources
from augfeed.show.labels import class_name

NUMBER = "number of a box in its sample"  # beside boxes; -1 in other samples
_ALL = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class BoxFate:
    """What became of a box: where it was and is, xyxy in pixels, and why it was dropped, if so."""

    number: int
    name: str
    before: tuple[float, ...]
    after: tuple[float, ...] | None
    reason: str

    @property
    def text(self) -> str:
        """The fate in words."""
        begun = f"{self.name} at {_told(self.before)}"
        if self.after is not None:
            return f"{begun} is at {_told(self.after)}"
        return f"{begun} is dropped: {self.reason}"


def _told(box: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.1f}".removesuffix(".0") for value in box) + ")"


def fates_of(plan: Plan, source: Annotated, index: int) -> list[BoxFate]:
    """Return what becomes of each box of the sample in the first row of a plan, whose image is
    `index` of a source, in the image that it comes out in, whatever else is shown there."""
    made: list[BoxFate] = []
    for name, field in source.fields.items():
        if isinstance(field, Boxes):
            parts, boxes = _moved(plan, source, index, name, field)
            labels, classes = parts.get("labels"), getattr(source, "classes", None)
            for k, box in enumerate(parts[name].tolist()):
                called = f"box {k}" if labels is None else class_name(int(labels[k]), classes)
                after, reason = _fate(boxes, k, field)
                made.append(BoxFate(k, called, tuple(box), after, reason))
    return made


def _moved(
    plan: Plan, source: Annotated, index: int, name: str, field: Boxes
) -> tuple[dict[str, Any], BoxSet]:
    # What belongs to the sample, and all boxes that its image shows.
    taken = RowSources.of(plan.ids)
    for row, note in _notes(plan, source, index).items():
        numbers = np.arange(len(note.parts[name]))
        note.parts[NUMBER] = numbers if row == 0 else np.full_like(numbers, -1)
        taken.notes[row] = note
    counted = replace(field, follow=(*field.follow, NUMBER))
    follow = FollowAnnotations({**source.fields, name: counted}, source.channels)
    return taken.notes[0].parts, follow.mover(plan, np.zeros(1, np.int64), taken).boxes(0, (name,))


def _notes(plan: Plan, source: Annotated, index: int) -> dict[int, Note]:
    # Of all that the first row shows.
    assert isinstance(source, EncodedSource)
    found, samples = {}, samples_of(plan.ids).tolist()
    boxes = next((name for name, field in source.fields.items() if isinstance(field, Boxes)), "")
    for row in plan.seen(np.zeros(1, np.int64)).tolist():
        sample = samples[row] if row else index
        note, path = source.annotation(sample), source.path(sample)
        size = note.size or picture_size(source.read(sample), path)
        parts = pixel_parts(note, source.fields, size)
        found[row] = Note(sample, parts, size, note.where, boxes)
    return found


def with_boxes(plan: Plan, source: Any, index: int) -> Plan:
    """Return the plan of a sample, `index` of a source, that knows the boxes which draw windows."""
    if by_boxes(plan.policy) is None or not is_annotated(source):
        return plan
    boxes = [np.zeros((0, 4)) for _ in plan.ids]
    for row, note in _notes(plan, source, index).items():
        boxes[row] = note.corners
    return replace(plan, window=replace(plan.window, boxes=boxes))


def _fate(boxes: BoxSet, number: int, field: Boxes) -> tuple[tuple[float, ...] | None, str]:
    # A sample that is alone in its group may be seen several times.
    seen = np.flatnonzero(np.asarray(boxes.beside[NUMBER]) == number)
    kept = [k for k in boxes.kept(field).tolist() if k in seen]
    if kept:
        return tuple(boxes.corners[kept[0]].tolist()), ""
    if not len(seen):
        return None, "its center lies outside of what is shown"
    most = seen[np.argmax(boxes.shares[seen])]
    return None, _why(boxes.take(most[None]), field)


def _why(one: BoxSet, field: Boxes) -> str:
    box, share, hidden = one.corners[0], float(one.shares[0]), float(one.hidden[0])
    width, height = max(0.0, box[2] - box[0]), max(0.0, box[3] - box[1])
    if hidden >= _ALL and share > 0:
        return "it is hidden as a whole"
    if not width or not height:
        return "it lies outside of what is shown"
    if share < field.min_share:
        return f"{share:.0%} of it is inside, below min_share={field.min_share:g}"
    if min(width, height) < field.min_side:
        return f"{width:.1f} x {height:.1f} pixels are left, below min_side={field.min_side:g}"
    if field.max_occlusion is not None and hidden > field.max_occlusion:
        return f"{hidden:.0%} of it is hidden, above max_occlusion={field.max_occlusion:g}"
    longest, least = max(width, height), min(width, height)
    return f"its sides are {longest / least:.1f} to 1, above max_aspect={field.max_aspect}"


__all__ = ["BoxFate", "fates_of", "with_boxes"]
