"""Fields of a batch's samples, moved as the plan moves their images."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from augfeed.errors import InputError
from augfeed.feed.sample_fields import Path, describe, put, take
from augfeed.feed.spatial import tv_kind
from augfeed.fields import (
    Boxes,
    Dense,
    Field,
    Keypoints,
    Mask,
    maps_of,
    move_boxes,
    move_dense,
    move_keypoints,
)
from augfeed.fields.boxes import from_corners, to_corners
from augfeed.fields.follows import blends
from augfeed.fields.masks import MixedMask, mixed_mask, moved_by
from augfeed.plan import Plan

Fields = dict[Path, Field]
Name = Callable[[int, Path], str]  # of a part of a sample, for messages
# Names of what an image has once, however long it is.
_PER_IMAGE = frozenset((
    "image_id", "id", "idx", "index", "size", "orig_size", "original_size", "image_size", "shape",
    "file_name", "filename", "path",
))  # fmt: skip


class FieldMover:
    """Moves the fields of the samples of one plan, whose images have `sizes` `[M, 2]`."""

    def __init__(
        self, plan: Plan, sizes: NDArray[Any], fields: Fields, image: Path, name: Name
    ) -> None:
        """Draw the maps; nothing is moved yet. `image` is where the image of a sample is."""
        self.plan, self.fields, self.image, self.name = plan, fields, image, name
        self.maps = list(maps_of(plan, sizes))
        self._indices: dict[int, NDArray[np.int64]] = {}
        self._blends = blends(plan.policy)

    def all_moved(self, samples: Sequence[Any], count: int, *, tensors: bool) -> list[Any]:
        """Return the first `count` samples with their fields moved; `tensors` turns PIL images
        into int64."""
        return [self._moved(samples, k, tensors=tensors) for k in range(count)]

    def _moved(self, samples: Sequence[Any], k: int, *, tensors: bool) -> Any:
        sample = samples[k]
        for path, field in self.fields.items():
            part = self._part(sample, k, path)
            if isinstance(field, Mask):
                made = self._mask(samples, k, path, field)
            elif isinstance(field, Dense):
                made = move_dense(
                    _array(part), self.maps[k], field, self.name(k, path), self._at(k)
                )
            elif isinstance(field, Keypoints):
                made = move_keypoints(_array(part), self.maps[k], field, self.name(k, path))
            else:
                continue
            sample = put(sample, path, _like(made, part, self.maps[k].size, tensors=tensors))
        for path, field in self.fields.items():
            if isinstance(field, Boxes):
                sample = self._boxes(sample, k, path, field)
        return sample

    def _part(self, sample: Any, k: int, path: Path) -> Any:
        try:
            return take(sample, path)
        except (KeyError, IndexError, TypeError, AttributeError):
            raise InputError(
                f"{self.name(k, path)} is not where that of the first one of its batch is: the "
                f"sample is {describe(sample)}; give samples of one form"
            ) from None

    def _at(self, k: int) -> NDArray[np.int64]:
        if k not in self._indices:
            self._indices[k] = self.maps[k].indices()
        return self._indices[k]

    def _mask(self, samples: Sequence[Any], k: int, path: Path, field: Mask) -> Any:
        own = self._moved_mask(samples, k, path, field)
        mixes = self.plan.mixes
        if not mixes.mode[k]:
            return MixedMask(own, own, np.float32(1)) if self._blends else own
        partner = self._moved_mask(samples, int(mixes.partner[k]), path, field)
        if partner.shape != own.shape or partner.dtype != own.dtype:
            raise InputError(
                f"{self.name(k, path)} is {own.dtype} {list(own.shape)} and that of its partner "
                f"{partner.dtype} {list(partner.shape)}: give masks of one form to mixup and cutmix"
            )
        return mixed_mask(own, partner, mixes, k, blends=self._blends)

    def _moved_mask(self, samples: Sequence[Any], k: int, path: Path, field: Mask) -> NDArray[Any]:
        mask = _array(self._part(samples[k], k, path))
        return moved_by(mask, self.maps[k], field, self.name(k, path), self._at(k))

    def _boxes(self, sample: Any, k: int, path: Path, field: Boxes) -> Any:
        part, where, name = take(sample, path), self.maps[k], self.name(k, path)
        given = _array(part)
        corners = to_corners(
            given, field.format, where.source, normalized=field.normalized, name=name
        )
        moves = move_boxes(corners, where, field)
        kept = from_corners(
            moves.boxes[moves.kept], field.format, where.size, normalized=field.normalized
        )
        holder = take(sample, path[:-1]) if path else None
        beside = _beside(holder, path, field, len(corners))
        if len(moves.kept) < len(corners):
            self._check_left(holder, k, path, field, len(corners))
        areas = _areas(moves.boxes) / np.maximum(_areas(corners), 1e-12)
        made: dict[Any, Any] = {}
        for key, value in beside.items():
            scaled = areas if key in ("area", "areas") else None
            made[key] = _rows(value, moves.kept, scaled, name)
        count = len(moves.kept)
        if field.pad is not None:
            if not isinstance(holder, Mapping):
                raise InputError(f"{name}: pad={field.pad} needs a sample that is a dict")
            if count > field.pad:
                raise InputError(
                    f"{name} has {count} boxes, above pad={field.pad}: give a larger number"
                )
            kept = _padded(kept, field.pad)
            made = {key: _padded_like(value, field.pad) for key, value in made.items()}
            made["valid"] = torch.arange(field.pad) < count
        sample = put(sample, path, _like(kept, part, where.size, tensors=False))
        for key, value in made.items():
            sample = _set(sample, (*path[:-1], key), value)
        return sample

    def _check_left(self, holder: Any, k: int, path: Path, field: Boxes, count: int) -> None:
        # What has an entry for each box, and would keep those of boxes that are dropped.
        keys = holder if isinstance(holder, Mapping) else range(len(holder) if path else 0)
        for key in keys:
            place, value = (*path[:-1], key), holder[key]
            if place in (self.image, path) or key in _PER_IMAGE or _length(value) != count:
                continue
            named = isinstance(holder, Mapping)
            if not (named and key in field.follow) and (place not in self.fields or not named):
                cure = f"Boxes(follow=({key!r}, ...))" if named else "samples that are dicts"
                raise InputError(
                    f"{self.name(k, path)} loses boxes that leave the image, and {key!r} beside it "
                    f"has {count} entries, too: say with {cure} that they go along"
                )


def collated_with(collate: Callable[[list[Any]], Any], samples: list[Any], fields: Fields) -> Any:
    """Return moved samples collated; boxes, and what follows them, come as lists of tensors."""
    ragged = _ragged(samples[0], fields)
    if not ragged:
        return collate(samples)
    parts = {path: [_tensor(take(sample, path)) for sample in samples] for path in ragged}
    for path in ragged:
        samples = [put(sample, path, 0) for sample in samples]
    batch = collate(samples)
    for path, part in parts.items():
        batch = put(batch, path, part)
    return batch


def _tensor(part: Any) -> Any:
    return torch.from_numpy(part) if isinstance(part, np.ndarray) else part


def _ragged(sample: Any, fields: Fields) -> list[Path]:
    # The parts of a moved sample that have another length in every sample.
    found: list[Path] = []
    for path, field in fields.items():
        if isinstance(field, Boxes) and field.pad is None:
            holder = take(sample, path[:-1]) if path else None
            names = _beside(holder, path, field, len(take(sample, path)))
            found += [path, *((*path[:-1], key) for key in names)]
    return found


def _beside(holder: Any, path: Path, field: Boxes, count: int) -> dict[Any, Any]:
    # Entries beside the boxes with one entry for each of them.
    if not isinstance(holder, Mapping):
        return {}
    return {
        key: value
        for key, value in holder.items()
        if key != path[-1] and key in field.follow and _length(value) == count
    }


def _length(value: Any) -> int:
    if isinstance(value, torch.Tensor | np.ndarray):
        return int(value.shape[0]) if value.ndim else -1
    return len(value) if isinstance(value, list | tuple) else -1


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return made


def _rows(value: Any, kept: NDArray[np.int64], scaled: Any, name: str) -> Any:
    if isinstance(value, torch.Tensor):
        made = value[torch.from_numpy(kept)]
        return made if scaled is None else (made * torch.from_numpy(scaled[kept])).to(value.dtype)
    if isinstance(value, np.ndarray):
        return value[kept] if scaled is None else (value[kept] * scaled[kept]).astype(value.dtype)
    rows = [value[k] for k in kept]
    if scaled is not None:
        rows = [row * float(scaled[k]) for row, k in zip(rows, kept, strict=True)]
    return type(value)(rows)


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


def _array(part: Any) -> NDArray[Any]:
    if isinstance(part, torch.Tensor):
        values: NDArray[Any] = part.detach().cpu().as_subclass(torch.Tensor).numpy()
        return values
    return np.asarray(part)


def _like(made: Any, part: Any, size: tuple[int, int], *, tensors: bool) -> Any:
    # What was made, in the kind and type that the part came in.
    if isinstance(made, MixedMask):
        own, partner = (_like(one, part, size, tensors=tensors) for one in made[:2])
        return MixedMask(own, partner, made.share)
    if isinstance(part, torch.Tensor):
        plain = torch.from_numpy(np.ascontiguousarray(made)).to(_kept_type(made, part.dtype))
        return _wrapped(plain, part, size) if tv_kind(type(part)) else plain
    if isinstance(part, Image.Image):
        if tensors:
            return torch.from_numpy(made.astype(np.int64))
        image = Image.fromarray(made) if part.mode != "1" else Image.fromarray(made > 0)
        if part.mode == "P":
            image = image.convert("L")
            image.putpalette(part.getpalette() or [])
        return image
    if isinstance(part, list | tuple):
        return type(part)(made.tolist())
    whole = part.dtype.kind in "iu" and made.dtype.kind == "f"
    return made.astype(np.float32 if whole else part.dtype, copy=False)


def _kept_type(made: NDArray[Any], dtype: torch.dtype) -> torch.dtype:
    # Corners and points of whole numbers come to lie between them: truncated, they would be off.
    return torch.float32 if made.dtype.kind == "f" and not dtype.is_floating_point else dtype


def _wrapped(plain: torch.Tensor, part: Any, size: tuple[int, int]) -> Any:
    module: Any = sys.modules["torchvision.tv_tensors"]
    more = {"canvas_size": size} if hasattr(part, "canvas_size") else {}
    return module.wrap(plain, like=part, **more)
