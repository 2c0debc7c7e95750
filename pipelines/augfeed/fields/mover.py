"""Fields of a batch's samples, moved as the plan moves their images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.constants import CUTMIX
from augfeed.errors import InputError
from augfeed.fields.box_sets import BoxSet, beside_boxes, hulls, length_of
from augfeed.fields.boxes import from_corners, to_corners
from augfeed.fields.follows import blends
from augfeed.fields.kinds import Boxes, Field, FurtherImage, Mask
from augfeed.fields.masks import checked_mask
from augfeed.fields.part_types import as_array, as_given, box_format, check_canvas
from augfeed.fields.placements import placements
from augfeed.fields.sample_parts import Path, put, take, take_as_first
from augfeed.fields.spatial_map import UNMOVED, SpatialMap, maps_of
from augfeed.fields.values import (
    Values,
    alone,
    blended,
    gathered,
    masks_of,
    pasted,
    patched,
)
from augfeed.plan import Plan, Windows
from augfeed.plan.box_windows import boxed_windows, by_boxes, centers_inside
from augfeed.policy import RandomIouCrop

Fields = dict[Path, Field]
Indices = NDArray[np.int64]
Name = Callable[[int, Path], str]  # of a part of a sample, for messages
# Names of what an image has once, however long it is.
_PER_IMAGE = frozenset((
    "image_id", "id", "idx", "index", "size", "orig_size", "original_size", "image_size", "shape",
    "file_name", "filename", "path",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowSamples:
    """The samples of rows of a plan, whose images have `sizes` `[M, 2]` and `channels`.

    `name` names a part of a row, for messages; `image` is where the image of a sample is, if it is
    there. `rows` are those whose samples are known; None: all.
    """

    samples: Mapping[int, Any] | Sequence[Any]
    sizes: NDArray[Any]
    name: Name
    image: Path | None = None
    channels: int = 3
    rows: Indices | None = None


class FieldMover:
    """Moves the fields of the samples of one plan, as their images are moved, joined and mixed."""

    def __init__(self, plan: Plan, given: RowSamples, fields: Fields) -> None:
        """Draw the maps; nothing is moved yet."""
        self.plan, self.samples, self.sizes = plan, given.samples, given.sizes
        self.fields = {path: field for path, field in fields.items()
                       if not isinstance(field, FurtherImage)}  # fmt: skip
        self.image, self.name = given.image, given.name
        self._given: dict[int, Values] = {}
        rows = np.arange(len(plan.ids)) if given.rows is None else given.rows
        self.windows = self._windows(rows)
        maps = maps_of(plan, self.sizes[rows], given.channels, self.windows, rows)
        self.maps = dict(zip(rows.tolist(), maps, strict=True))
        self._blends = blends(plan.policy)
        self._frames: dict[int, Values] = {}
        self._pasted: dict[int, tuple[Values, NDArray[np.bool_]]] = {}
        self._moved: dict[int, Values] = {}

    def sample(self, k: int, *, tensors: bool) -> Any:
        """Return sample `k` with its fields moved; `tensors` turns PIL images into int64."""
        values = self._mixed(k)
        sample = self.samples[k]
        changed = self._joins(k)
        for path, field in self.fields.items():
            if isinstance(field, Boxes):
                sample, values = self._with_boxes(sample, values, k, path, changed=changed)
        for path, field in self.fields.items():
            if not isinstance(field, Boxes):
                part = self._part(self.samples[k], k, path)
                made = as_given(values.parts[path], part, self.plan.size, tensors=tensors)
                sample = put(sample, path, self._padded(made, values, path))
        return sample

    def where_pasted(self, k: int) -> NDArray[np.bool_] | None:
        """Return bool `[H, W]`: where the frame of row `k` shows objects of its donor, or None."""
        scenes = self.plan.scenes
        if scenes is None or scenes.donor[k] == k:
            return None
        return self._with_pasted(k)[1]

    # From what is given to values of the output

    def _windows(self, rows: Indices) -> Windows | None:
        # Those that are drawn by the boxes of samples; others follow from sizes.
        if by_boxes(self.plan.policy) is None:
            return None
        path = next(path for path, field in self.fields.items() if isinstance(field, Boxes))
        boxes = [self._values(k).parts[path].corners for k in rows.tolist()]
        windows = boxed_windows(self.plan.window.take(rows), self.sizes[rows], boxes)
        if self.plan.policy.find(RandomIouCrop) is not None:
            for k, corners, box in zip(rows.tolist(), boxes, windows.box.tolist(), strict=True):
                kept = np.flatnonzero(centers_inside(corners, box))
                self._given[k] = self._values(k).take(path, kept)
        return windows

    def _values(self, k: int) -> Values:
        if k not in self._given:
            parts = {path: self._read(k, path, field) for path, field in self.fields.items()}
            self._given[k] = Values.of(parts, self.fields)
        return self._given[k]

    def _read(self, k: int, path: Path, field: Field) -> Any:
        part, name, size = (
            self._part(self.samples[k], k, path),
            self.name(k, path),
            tuple(self.sizes[k].tolist()),
        )
        check_canvas(part, size, name)
        given = as_array(part)
        if isinstance(field, Mask):
            return checked_mask(given, size, name)
        if not isinstance(field, Boxes):
            return given
        form = box_format(part, field)
        corners = to_corners(given, form, size, normalized=field.normalized, name=name)
        holder = take(self.samples[k], path[:-1]) if path else None
        return BoxSet.of(corners, beside_boxes(holder, path, field, len(corners), self.fields))

    def _part(self, sample: Any, k: int, path: Path) -> Any:
        return take_as_first(sample, path, lambda: self.name(k, path))

    def _named(self, k: int) -> Callable[[Path], str]:
        return lambda path: self.name(k, path)

    def _frame(self, k: int) -> Values:
        # As the frame shows them, before objects are pasted and before geometry.
        if k not in self._frames:
            self._frames[k] = self._framed(k)
        return self._frames[k]

    def _framed(self, k: int) -> Values:
        scenes, size, name = self.plan.scenes, self.plan.size, self._named(k)
        if scenes is None or not scenes.mosaics[k]:
            still = replace(self.maps[k], inverse=UNMOVED, warped=False, earlier=())
            return self._values(k).moved(still, self.fields, name)
        cells = [
            (place, self._values(place.row).moved(
                place.where, self.fields, self._named(place.row), (place.top, place.left)))
            for place in placements(scenes, k, size, self.sizes)
        ]  # fmt: skip
        return gathered(cells, size, self._values(k), self.fields, name)

    def _with_pasted(self, k: int) -> tuple[Values, NDArray[np.bool_]]:
        if k not in self._pasted:
            scenes, name = self.plan.scenes, self._named(k)
            assert scenes is not None
            own, donor = self._frame(k), self._frame(int(scenes.donor[k]))
            boxes = next(path for path, field in self.fields.items() if isinstance(field, Boxes))
            chosen = np.flatnonzero(scenes.pasted(k, len(donor.parts[boxes])))
            self._pasted[k] = pasted(own, donor, boxes, chosen, self.fields, name)
        return self._pasted[k]

    def _joins(self, k: int) -> bool:
        # Whether the image shows more than one sample.
        scenes, mixes = self.plan.scenes, self.plan.mixes
        rows = [k, int(mixes.partner[k])] if mixes.mode[k] else [k]
        joins = scenes is not None and any(
            scenes.mosaics[row] or scenes.donor[row] != row for row in rows
        )
        return joins or len(rows) > 1

    def _alone(self, k: int) -> Values:
        # As the output would show them, were the sample not mixed.
        if k not in self._moved:
            scenes, name, where = self.plan.scenes, self._named(k), self.maps[k]
            if scenes is None:
                values = self._values(k)
            else:
                values = self._with_pasted(k)[0] if scenes.donor[k] != k else self._frame(k)
                where = _of_frame(where)
            self._moved[k] = values.moved(where, self.fields, name)
        return self._moved[k]

    def _mixed(self, k: int) -> Values:
        mixes, name = self.plan.mixes, self._named(k)
        own = self._alone(k)
        if not mixes.mode[k]:
            made = alone(own, self.fields) if self._blends else own
        else:
            partner = self._alone(int(mixes.partner[k]))
            if mixes.mode[k] == CUTMIX:
                top, left, bottom, right = mixes.patch[k].tolist()
                made = patched(own, partner, (top, left, bottom, right), self.fields, name)
                made = alone(made, self.fields) if self._blends else made
            else:
                made = blended(own, partner, float(mixes.lam[k]), self.fields, name)
        return self._concealed(made, k)

    def _concealed(self, values: Values, k: int) -> Values:
        # What cutout and erasing hide counts where boxes ask for it.
        patches = [self.plan.cutout[k].tolist(), *self.plan.all_erased[k].tolist()]
        patches = [one for one in patches if one[2] > one[0] and one[3] > one[1]]
        if not patches:
            return values
        parts = {
            path: part.concealed(patches) if isinstance(part, BoxSet) else part
            for path, part in values.parts.items()
        }
        return Values(parts, values.owners)

    # From values to what is given out

    def boxes(self, k: int, path: Path) -> BoxSet:
        """Return all boxes in the image of row `k`, before any is dropped by a field."""
        return self._boxes(self._mixed(k), k, path)

    def _boxes(self, values: Values, k: int, path: Path) -> BoxSet:
        field, boxes = self.fields[path], values.parts[path]
        assert isinstance(field, Boxes) and isinstance(boxes, BoxSet)
        if not field.from_masks:
            return boxes
        masks = values.parts[masks_of(values, path, self.fields, self._named(k))]
        return replace(boxes, corners=hulls(masks != 0))

    def _with_boxes(
        self, sample: Any, values: Values, k: int, path: Path, *, changed: bool
    ) -> tuple[Any, Values]:
        field, name, size = self.fields[path], self.name(k, path), self.plan.size
        assert isinstance(field, Boxes)
        boxes = self._boxes(values, k, path)
        kept = boxes.kept(field)
        given = length_of(as_array(self._part(self.samples[k], k, path)))
        holder = take(sample, path[:-1]) if path else None
        if changed or len(kept) < given:
            self._check_left(holder, k, path, field, given)
        parts = {**values.parts, path: boxes}
        values = Values(parts, values.owners).take(path, kept)
        left: BoxSet = values.parts[path]
        part = take(sample, path)
        form = box_format(part, field)
        rows = from_corners(left.corners, form, size, normalized=field.normalized)
        made, count = left.scaled(), len(kept)
        if field.pad is not None:
            if not isinstance(holder, Mapping):
                raise InputError(f"{name}: pad={field.pad} needs a sample that is a dict")
            if count > field.pad:
                raise InputError(
                    f"{name} has {count} boxes, above pad={field.pad}: give a larger number"
                )
            rows = _padded(rows, field.pad)
            made = {key: _padded_like(value, field.pad) for key, value in made.items()}
            made["valid"] = torch.arange(field.pad) < count
        sample = put(sample, path, as_given(rows, part, size, tensors=False))
        for key, value in made.items():
            sample = _set(sample, (*path[:-1], key), value)
        return sample, values

    def _padded(self, made: Any, values: Values, path: Path) -> Any:
        owner = values.owners.get(path)
        pad = None if owner is None else getattr(self.fields[owner], "pad", None)
        return made if pad is None else _padded_like(made, pad)

    def _check_left(self, holder: Any, k: int, path: Path, field: Boxes, count: int) -> None:
        # What has an entry for each box, and would keep those of boxes that are dropped.
        keys = holder if isinstance(holder, Mapping) else range(len(holder) if path else 0)
        for key in keys:
            place, value = (*path[:-1], key), holder[key]
            if place in (self.image, path) or key in _PER_IMAGE or length_of(value) != count:
                continue
            named = isinstance(holder, Mapping)
            if not (named and key in field.follow) and (place not in self.fields or not named):
                cure = f"Boxes(follow=({key!r}, ...))" if named else "samples that are dicts"
                raise InputError(
                    f"{self.name(k, path)} loses boxes that leave the image, and {key!r} beside it "
                    f"has {count} entries, too: say with {cure} that they go along"
                )


def _of_frame(where: SpatialMap) -> SpatialMap:
    # What geometry does to the frame, which is there.
    size = where.size
    return replace(where, box=(0, 0, *size), resized=size, offset=(0, 0), source=size)


def _padded(rows: NDArray[Any], count: int) -> NDArray[Any]:
    made = np.zeros((count, *rows.shape[1:]), rows.dtype)
    made[: len(rows)] = rows
    return made


def _padded_like(value: Any, count: int) -> Any:
    if isinstance(value, torch.Tensor):
        made = value.new_zeros((count, *value.shape[1:]))
        made[: len(value)] = value
        return made
    if isinstance(value, np.ndarray):
        return _padded(value, count)
    return type(value)([*value, *[0] * (count - len(value))])


def _set(sample: Any, path: Path, value: Any) -> Any:
    # As `put`, also for a key that is not there yet.
    holder = take(sample, path[:-1])
    if path[-1] in holder:
        return put(sample, path, value)
    return put(sample, path[:-1], {**holder, path[-1]: value})
