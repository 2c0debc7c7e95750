"""The fields of one sample as values that are moved, joined, pasted and mixed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields import (
    Boxes,
    Dense,
    Field,
    Keypoints,
    Mask,
    MixedMask,
    SpatialMap,
    move_dense,
    move_keypoints,
)
from augfeed.fields.box_sets import BoxSet, joined
from augfeed.fields.masks import fill_of, moved_mask
from augfeed.fields.placements import Placement
from augfeed.fields.sample_parts import Path

Fields = Mapping[Path, Field]
Name = Callable[[Path], str]  # of a part of a sample, for messages
Patch = tuple[int, int, int, int]  # top, left, bottom, right


@dataclass(frozen=True, slots=True)
class Values:
    """Arrays and boxes by their paths; `owners` are the boxes of masks and keypoints that have an
    entry for each box."""

    parts: dict[Path, Any]
    owners: dict[Path, Path]

    @classmethod
    def of(cls, parts: dict[Path, Any], fields: Fields) -> "Values":
        """Return the values of one sample."""
        owners = {}
        for boxes, field in fields.items():
            if isinstance(field, Boxes):
                for path in parts:
                    beside = path[:-1] == boxes[:-1] and path != boxes and path[-1] in field.follow
                    if beside and _entries(parts[path]) == len(parts[boxes]):
                        owners[path] = boxes
        return cls(parts, owners)

    def moved(
        self, where: SpatialMap, fields: Fields, name: Name, origin: tuple[int, int] = (0, 0)
    ) -> "Values":
        """Return the values as their image is moved; `origin` (top, left) is added to places."""
        made: dict[Path, Any] = {}
        shown: NDArray[np.int64] | None = None
        for path, part in self.parts.items():
            field = fields[path]
            warped = where.warped or bool(where.earlier)
            if shown is None and (isinstance(field, Dense) or (isinstance(field, Mask) and warped)):
                shown = where.indices()
            if isinstance(field, Mask):
                fill = fill_of(part, field, name(path))
                made[path] = moved_mask(part, where, fill, shown)
            elif isinstance(field, Dense):
                made[path] = move_dense(part, where, field, name(path), shown)
            elif isinstance(field, Keypoints):
                made[path] = _shifted(move_keypoints(part, where, field, name(path)), origin)
            elif isinstance(field, Boxes):
                made[path] = part.moved(where, origin)
        return Values(made, self.owners)

    def take(self, boxes: Path, kept: NDArray[np.int64]) -> "Values":
        """Return the values with some of the boxes at a path, and what belongs to these."""
        parts = dict(self.parts)
        for path in (boxes, *(one for one, owner in self.owners.items() if owner == boxes)):
            part = parts[path]
            parts[path] = part.take(kept) if isinstance(part, BoxSet) else part[kept]
        return Values(parts, self.owners)


def gathered(
    cells: Sequence[tuple[Placement, Values]], size: tuple[int, int], like: Values, fields: Fields,
    name: Name,
) -> Values:  # fmt: skip
    """Return the values of a frame of `size` that shows those of several images, each moved into
    its place; `like` are values of the row that the frame is of."""
    made: dict[Path, Any] = {}
    for path, own in like.parts.items():
        field = fields[path]
        found = [(place, values.parts[path]) for place, values in cells]
        owned = [values.owners.get(path) for _, values in cells] + [like.owners.get(path)]
        belongs = all(owner is not None for owner in owned)
        parts = [part for _, part in found]
        if isinstance(field, Boxes):
            made[path] = joined(parts, name(path)) if parts else own.take(_NONE)
        elif isinstance(field, Keypoints):
            if not belongs:
                raise InputError(
                    f"{name(path)} has keypoints that belong to no boxes, and several images are "
                    "shown in one: give points [N, K, 3] beside N boxes, or leave mosaic out"
                )
            made[path] = np.concatenate([own[:0], *parts])
        else:
            made[path] = _canvas(found, size, own, fields[path], name(path), stacked=belongs)
    return Values(made, like.owners)


_NONE = np.zeros(0, np.int64)


def _canvas(
    cells: list[tuple[Placement, Any]], size: tuple[int, int], own: Any, field: Field, name: str,
    *, stacked: bool,
) -> Any:  # fmt: skip
    # Masks and dense values side by side; those of objects one after another.
    fill = fill_of(own, field, name) if isinstance(field, Mask) else _fill(field)
    count = sum(len(part) for _, part in cells) if stacked else 0
    lead = (count,) if stacked else own.shape[:-2]
    dtype = np.float32 if isinstance(field, Dense) else own.dtype
    made, first = np.full((*lead, *size), fill, dtype), 0
    for place, part in cells:
        if (part.shape[:-2] != own.shape[:-2] and not stacked) or part.dtype != dtype:
            raise InputError(
                f"{name} is {own.dtype} {list(own.shape)}, and that of a sample in the same frame "
                f"{part.dtype} {list(part.shape)}: give samples of one form"
            )
        rows, columns = place.part
        if stacked:
            made[first : first + len(part), rows, columns] = part
            first += len(part)
        else:
            made[..., rows, columns] = part
    return made


def _fill(field: Field) -> float:
    return field.fill if isinstance(field, Dense) else 0.0


def pasted(own: Values, donor: Values, boxes: Path, chosen: NDArray[np.int64], fields: Fields,
           name: Name) -> tuple[Values, NDArray[np.bool_]]:  # fmt: skip
    """Return values after the chosen objects of a donor were pasted, and bool `[H, W]` where."""
    masks = masks_of(own, boxes, fields, name)
    if donor.owners.get(masks) != boxes:
        masks_of(donor, boxes, fields, name)
    other = donor.take(boxes, chosen)
    where: NDArray[np.bool_] = (other.parts[masks] != 0).any(axis=0)
    made: dict[Path, Any] = {}
    for path, part in own.parts.items():
        theirs = other.parts[path]
        if path == boxes:
            made[path] = part  # once the masks are known
        elif isinstance(fields[path], Keypoints) and own.owners.get(path) == boxes:
            made[path] = np.concatenate([part, theirs])
        elif isinstance(fields[path], Mask | Dense):
            left = part.copy()
            belongs = own.owners.get(path) == boxes
            left[..., where] = 0 if belongs else theirs[..., where]
            made[path] = np.concatenate([left, theirs]) if belongs else left
        else:
            made[path] = part
    count = len(own.parts[boxes])
    rest = own.parts[boxes].masked(own.parts[masks] != 0, made[masks][:count] != 0)
    made[boxes] = joined([rest, other.parts[boxes]], name(boxes))
    return Values(made, own.owners), where


def masks_of(values: Values, boxes: Path, fields: Fields, name: Name) -> Path:
    """Return the path of the masks of objects, one for each box; raise `InputError` without."""
    for path, owner in values.owners.items():
        if owner == boxes and isinstance(fields[path], Mask):
            return path
    raise InputError(
        f"{name(boxes)} has boxes without a mask of each, which are needed to paste objects and to "
        "take boxes from masks: give integers or bool [N, H, W] beside N boxes, as 'masks', and "
        "name them in fields= and in Boxes(follow=...)"
    )


def patched(own: Values, partner: Values, patch: Patch, fields: Fields, name: Name) -> Values:
    """Return the values of an image in which a rectangle of a partner's is pasted, as by CutMix."""
    top, left, bottom, right = patch
    made: dict[Path, Any] = {}
    for path, part in own.parts.items():
        theirs, belongs = partner.parts[path], path in own.owners
        if isinstance(part, BoxSet):
            made[path] = joined([part.covered(patch), theirs.clipped(*patch)], name(path))
        elif isinstance(fields[path], Keypoints):
            rest, shown = _unseen(part, patch, inside=True), _unseen(theirs, patch, inside=False)
            made[path] = _both(rest, shown, name(path), belongs=belongs)
        elif belongs:
            rest, shown = part.copy(), np.zeros_like(theirs)
            rest[..., top:bottom, left:right] = 0
            shown[..., top:bottom, left:right] = theirs[..., top:bottom, left:right]
            made[path] = np.concatenate([rest, shown])
        else:
            _check_alike(part, theirs, name(path))
            made[path] = part.copy()
            made[path][..., top:bottom, left:right] = theirs[..., top:bottom, left:right]
    return Values(made, own.owners)


def blended(own: Values, partner: Values, share: float, fields: Fields, name: Name) -> Values:
    """Return the values of an image that is blended with a partner's, as by Mixup."""
    made: dict[Path, Any] = {}
    for path, part in own.parts.items():
        theirs, belongs = partner.parts[path], path in own.owners
        if isinstance(part, BoxSet):
            made[path] = joined([part, theirs], name(path))
        elif belongs or isinstance(fields[path], Keypoints):
            made[path] = _both(part, theirs, name(path), belongs=belongs)
        else:
            _check_alike(part, theirs, name(path))
            made[path] = MixedMask(part, theirs, np.float32(share))
    return Values(made, own.owners)


def alone(own: Values, fields: Fields) -> Values:
    """Return the values of an image that Mixup leaves as it is, in the form of those it mixes."""
    parts = {path: MixedMask(part, part, np.float32(1))
             if isinstance(fields[path], Mask) and path not in own.owners else part
             for path, part in own.parts.items()}  # fmt: skip
    return Values(parts, own.owners)


def _both(one: Any, other: Any, name: str, *, belongs: bool) -> NDArray[Any]:
    if not belongs:
        raise InputError(
            f"{name} has points that belong to no boxes, and images are mixed: give points "
            "[N, K, 3] beside N boxes, or leave mixing out"
        )
    return np.concatenate([one, other])


def _check_alike(own: Any, partner: Any, name: str) -> None:
    if partner.shape != own.shape or partner.dtype != own.dtype:
        raise InputError(
            f"{name} is {own.dtype} {list(own.shape)} and that of its partner {partner.dtype} "
            f"{list(partner.shape)}: give masks of one form to mixup and cutmix"
        )


def _unseen(points: NDArray[Any], patch: Patch, *, inside: bool) -> NDArray[Any]:
    # Points inside, or outside, of a rectangle get visibility 0.
    if points.shape[-1] < 3:
        return points
    top, left, bottom, right = patch
    x, y, made = points[..., 0] + 0.5, points[..., 1] + 0.5, points.copy()
    within = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    made[..., 2] = np.where(within == inside, 0, made[..., 2])
    return made


def _shifted(points: NDArray[np.float64], origin: tuple[int, int]) -> NDArray[np.float64]:
    points[..., 0] += origin[1]
    points[..., 1] += origin[0]
    return points


def _entries(part: Any) -> int:
    # Of what may have one for each box: masks [N, H, W], points [N, K, 2 or 3].
    return len(part) if isinstance(part, np.ndarray) and part.ndim == 3 else -1
