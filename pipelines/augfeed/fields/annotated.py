"""Annotations of a batch's images, moved as its plan says, and put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.boxes import move_boxes
from augfeed.fields.dense import move_dense
from augfeed.fields.follows import blends, check_moves
from augfeed.fields.keypoints import move_keypoints
from augfeed.fields.kinds import Boxes, Dense, Field, Keypoints, Mask
from augfeed.fields.masks import MixedMask, fill_of, mixed_mask, moved_mask
from augfeed.fields.spatial_map import SpatialMap, maps_of
from augfeed.plan import Plan
from augfeed.policy import LabelSmoothing, Policy

Parts = dict[str, Any]
Indices = NDArray[np.int64]
AREAS = ("area", "areas")


@dataclass(frozen=True, slots=True)
class Placed:
    """The parts that belong to an image of `size` (height, width); `name` is for messages."""

    parts: Parts
    size: tuple[int, int]
    name: str


def check_fields(policy: Policy, fields: Mapping[str, Field]) -> None:
    """Raise `InputError` if annotations cannot follow an operation of a policy."""
    check_moves(policy, " and ".join(map(repr, fields)))
    if reason := beyond_threads(policy, fields):
        raise InputError(
            f"{reason}: give augfeed.DataLoader the dataset itself, as "
            "augfeed.datasets.YOLODetection(path), whose samples worker processes can take"
        )
    for name, field in fields.items():
        if isinstance(field, Keypoints) and field.flip_pairs is None:
            _check_flips(policy, name)
    if policy.find(LabelSmoothing):
        raise InputError(
            f"label_smoothing is for classes of images, and here are {' and '.join(fields)}: give "
            "it to the loss"
        )


def beyond_threads(policy: Policy, fields: Mapping[str, Field]) -> str:
    """Return why samples must be taken one by one, not read by threads; "" if they need not."""
    if policy.needs_fields:
        return f"{policy.needs_fields} needs the boxes or masks of samples"
    for name, field in fields.items():
        mixed = not isinstance(field, Mask) or any(isinstance(f, Boxes) for f in fields.values())
        if mixed and policy.mixer is not None:
            return f"{policy.mixer.op} mixes {name!r} of samples"
        if isinstance(field, Boxes) and (field.max_occlusion is not None or field.from_masks):
            return f"max_occlusion and from_masks of {name!r} look at whole samples"
    return ""


def _check_flips(policy: Policy, name: str) -> None:
    for item in policy.parts:
        if item.op in ("horizontal_flip", "vertical_flip") and item.chance:
            raise InputError(
                f"{item.op!r} mirrors images, and it is not said which points of {name!r} change "
                f"places: give fields={{{name!r}: Keypoints(flip_pairs=((1, 2), (3, 4)))}}, or "
                "flip_pairs=() for none"
            )


class AnnotationMover:
    """Moves the annotations of rows of one plan, whose `placed` says what belongs to a row."""

    def __init__(
        self, plan: Plan, fields: Mapping[str, Field], placed: Callable[[int], Placed],
        channels: int = 3,
    ) -> None:  # fmt: skip
        """Draw no map yet."""
        self.plan, self.fields, self.placed, self.channels = plan, fields, placed, channels
        self._blends = blends(plan.policy)

    def moved(self, rows: Indices) -> list[Parts]:
        """Return what belongs to some rows of the batch, as their images are moved.

        Of a mixed one the partner is looked at, too.
        """
        needed = self.plan.mixes.needed(rows)
        placed = {row: self.placed(row) for row in needed.tolist()}
        sizes = np.array([one.size for one in placed.values()], np.int64).reshape(-1, 2)
        maps = maps_of(self.plan, sizes, self.channels, rows=needed)
        where = dict(zip(placed, maps, strict=True))
        return [self._moved(row, placed, where) for row in rows.tolist()]

    def _moved(
        self, row: int, placed: Mapping[int, Placed], where: Mapping[int, SpatialMap]
    ) -> Parts:
        made = moved_parts(placed[row], where[row], self.fields)
        mixes = self.plan.mixes
        mixed = bool(mixes.mode[row])
        if not mixed and not self._blends:
            return made
        other = int(mixes.partner[row])
        for name, field in self.fields.items():
            if isinstance(field, Mask):
                own = made[name]
                partner = own
                if mixed:
                    partner = _mask(placed[other], where[other], name, field)
                    own, partner = _alike(own, partner)
                made[name] = mixed_mask(own, partner, mixes, row, blends=self._blends)
        return made


def _alike(own: Any, partner: Any) -> tuple[Any, Any]:
    # Files of 8 and of 16 bits may lie side by side.
    kind = np.result_type(own, partner)
    return own.astype(kind, copy=False), partner.astype(kind, copy=False)


def moved_parts(placed: Placed, where: SpatialMap, fields: Mapping[str, Field]) -> Parts:
    """Return what belongs to an image as the image is moved.

    Entries beside boxes with one entry for each, whose names are in their `follow`, lose those of
    boxes that are dropped.
    """
    made = dict(placed.parts)
    for name, field in fields.items():
        part = made[name]
        if isinstance(field, Mask):
            made[name] = _mask(placed, where, name, field)
        elif isinstance(field, Keypoints):
            made[name] = move_keypoints(part, where, field, placed.name).astype(np.float32)
        elif isinstance(field, Dense):
            made[name] = move_dense(part, where, field, placed.name)
    for name, field in fields.items():
        if isinstance(field, Boxes):
            _drop(made, placed.parts[name], where, name, field)
    return made


def _mask(placed: Placed, where: SpatialMap, name: str, field: Mask) -> NDArray[Any]:
    mask = placed.parts[name]
    fill = fill_of(mask, field, placed.name)
    return moved_mask(mask, where, fill)


def _drop(made: Parts, boxes: Any, where: SpatialMap, name: str, field: Boxes) -> None:
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    moves = move_boxes(corners, where, field)
    kept, count = moves.kept, len(corners)
    made[name] = moves.boxes[kept].astype(np.float32)
    for key, value in made.items():
        if key == name or key not in field.follow or _length(value) != count:
            continue
        made[key] = value[kept]
        if key in AREAS:
            made[key] = (made[key] * moves.growth[kept]).astype(value.dtype)
    if field.pad is not None:
        _pad(made, name, field, len(kept), count)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, np.ndarray) and value.ndim else -1


def _pad(made: Parts, name: str, field: Boxes, count: int, given: int) -> None:
    assert field.pad is not None
    if count > field.pad:
        raise InputError(
            f"{name!r} has {count} boxes in one image, above pad={field.pad}: give a larger number"
        )
    for key, value in made.items():
        if (key == name or key in field.follow) and _length(value) == count:
            rows = np.zeros((field.pad, *value.shape[1:]), value.dtype)
            rows[:count] = value
            made[key] = rows
    made["valid"] = np.arange(field.pad) < count


def ragged_names(fields: Mapping[str, Field]) -> set[str]:
    """Return the names of parts that have another length in every sample."""
    names: set[str] = set()
    for name, field in fields.items():
        if isinstance(field, Boxes) and field.pad is None:
            names |= {name, *field.follow}
    return names


class FieldTargets:
    """What belongs to the images of a batch: lists by name, one entry a sample.

    `value` is what a loader gives out. It is cut by rows, moved and pinned like targets of classes.
    """

    def __init__(self, rows: Sequence[Parts], fields: Mapping[str, Field]) -> None:
        """Take what belongs to each sample."""
        alone = [*fields] == ["mask"] and all(part.keys() == {"mask"} for part in rows)
        names, loose = [*rows[0]], ragged_names(fields)
        made = {name: _column([row[name] for row in rows], ragged=name in loose) for name in names}
        self.value, self._count = made["mask"] if alone else made, len(rows)

    @classmethod
    def of(cls, value: Any, count: int) -> "FieldTargets":
        """Return targets of `count` samples whose value is known."""
        made = cls.__new__(cls)
        made.value, made._count = value, count
        return made

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice | torch.Tensor) -> "FieldTargets":
        chosen = range(self._count)[rows] if isinstance(rows, slice) else rows.tolist()
        made = _each(self.value, lambda part: part[rows], lambda part: [part[k] for k in chosen])
        return FieldTargets.of(made, len(chosen))

    def to(self, device: Any, *, non_blocking: bool = False) -> "FieldTargets":
        """Return the same targets on a device."""
        return self._with(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "FieldTargets":
        """Return the same targets in page-locked memory."""
        return self._with(lambda part: part.pin_memory())

    def clone(self) -> "FieldTargets":
        """Return the same targets in memory of their own."""
        return self._with(torch.clone)

    def _with(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "FieldTargets":
        made = _each(self.value, change, lambda parts: [change(part) for part in parts])
        return FieldTargets.of(made, self._count)


def _each(value: Any, change: Callable[[Any], Any], change_list: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _each(part, change, change_list) for name, part in value.items()}
    if isinstance(value, MixedMask):
        return MixedMask(change(value.own), change(value.partner), change(value.share))
    return change_list(value) if isinstance(value, list) else change(value)


def _column(parts: Sequence[Any], *, ragged: bool) -> Any:
    # Masks and numbers stacked; what has an entry for each object as a list, unless it is padded.
    first = parts[0]
    if isinstance(first, MixedMask):
        share = torch.from_numpy(np.array([part.share for part in parts], np.float32))
        own, partner = (_stacked([part[k] for part in parts]) for k in (0, 1))
        return MixedMask(own, partner, share)
    if not isinstance(first, np.ndarray):
        return torch.tensor(parts)
    if ragged:
        return [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
    return _stacked(parts)


def _stacked(parts: Sequence[NDArray[Any]]) -> torch.Tensor:
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise InputError(f"parts of shapes {sorted(shapes)} do not make one batch: give one shape")
    first = parts[0]
    numbers = first.ndim == 2 and first.dtype.kind in "iu"
    out = np.empty((len(parts), *first.shape), np.int64 if numbers else first.dtype)
    for k, part in enumerate(parts):
        out[k] = part
    return torch.from_numpy(out)


__all__ = [
    "AnnotationMover",
    "FieldTargets",
    "Placed",
    "beyond_threads",
    "check_fields",
    "moved_parts",
    "ragged_names",
]
