"""What workers do: fetch the samples of a request, cut their images, collate the rest."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import (
    Dataset,
    default_collate,
    default_convert,
)

from augfeed.errors import InputError, InputTypeError
from augfeed.feed.batch_fields import (
    check_cut,
    check_labels,
    find_frames,
    find_labels,
    first_of,
    pixels_of_batch,
)
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.crop import CutViews, cut, cut_stack, cut_views
from augfeed.feed.field_moves import FieldMover, Fields, collated_with
from augfeed.feed.fields import FieldOptions, check_boxes, check_followed
from augfeed.feed.sample_fields import (
    FieldPaths,
    Path,
    describe,
    is_alone,
    keyed,
    like,
    locate,
    odd_one,
    parts_of,
    pixels,
    put,
    take,
)
from augfeed.feed.sample_parts import alike, field_name, name_of, part_at
from augfeed.feed.spatial import SpatialCheck, are_alike
from augfeed.feed.stacked_samples import Columns, collated, column, columns_of, stacked
from augfeed.plan import GROUP, draw_plan
from augfeed.plan.batch_rows import samples_of
from augfeed.policy import Policy
from augfeed.views import Views


@dataclass(frozen=True, slots=True)
class Recipe:
    """How samples become frames and a collated rest; `collate` None is torch's default."""

    policy: Policy
    collate: Callable[[list[Any]], Any] | None
    image_key: Any
    label_key: Any
    labelled: bool  # whether targets are made of the labels
    still: SpatialCheck = SpatialCheck()  # noqa: RUF009  (frozen)
    fields: FieldOptions = FieldOptions()  # noqa: RUF009  (frozen)
    uncut: bool = False  # whether images may be given out that the engine is yet to cut
    views: Views | None = None

    def find(self, samples: Sequence[Any]) -> Fields:
        """Return the fields of samples that follow their images, which the policy must allow."""
        found = self.fields.find(samples[0], self.image_key, self.still)
        if found:
            check_followed(self.policy, found)
            check_boxes(samples, found, set(self.fields.paths(samples[0])))
        return found

    def check_labels(self, sample: Any, where: FieldPaths, fields: Fields) -> None:
        """Raise `InputError` if labels are to be mixed, and it is not clear where they are.

        There may be none in a sample of nothing but its image, fields that follow it, and parts
        that are said to stay.
        """
        rest = (path for path, _ in parts_of(sample) if path != where.image and path not in fields)
        if self.labelled and any(not self.still.may_stay(sample, path) for path in rest):
            check_labels(sample, where.label)


@dataclass(slots=True)
class Fetched:
    """A batch before augmentation: `frames` `[M, H, W, C]` for all rows of the request.

    `batch` is collated, the images at `where.image` and the labels at `where.label` yet to be put
    in; `labels` are those of all rows; `seconds` is what fetching took. `listed` is the kind of
    list in which images come one by one, as detection models take them. `uncut` says that frames
    are images which the engine is yet to cut. `views` hold the frames of views; `frames` are empty
    then.
    """

    request: BatchRequest
    batch: Any
    where: FieldPaths
    frames: torch.Tensor
    labels: Any
    seconds: float
    listed: type[Any] | None = None
    uncut: bool = False
    views: CutViews | None = None

    def pin_memory(self, device: Any = None) -> "Fetched":
        """Return the batch with its frames in page-locked memory; torch's hook."""
        views = self.views
        if views is not None:
            views = replace(views, frames=tuple(part.pin_memory() for part in views.frames))
        return replace(self, frames=self.frames.pin_memory(), views=views)


class Fetching(Dataset[Fetched]):
    """A map-style dataset whose index is a request and whose sample is a whole batch."""

    def __init__(self, dataset: Any, recipe: Recipe, *, collated: bool) -> None:
        """Wrap a dataset; `collated` says whether it gives samples, not whole batches."""
        self.dataset, self.recipe, self.collated = dataset, recipe, collated

    def __getitem__(self, request: BatchRequest) -> Fetched:
        begun = time.perf_counter()
        fetched = self._fetch(request)
        fetched.seconds = time.perf_counter() - begun
        # The index came from the main process and need not go back.
        fetched.request = replace(request, index=None)
        return fetched

    def _fetch(self, request: BatchRequest) -> Fetched:
        index = samples_of(request.rows.ids).tolist() if request.index is None else request.index
        if not self.collated and not request.single:
            return whole_batch(self.dataset[index], request, self.recipe)
        if not isinstance(index, list):
            index = [index]
        if self.collated and getattr(self.dataset, "__getitems__", None):
            samples = _listed(self.dataset.__getitems__(index), index)
        else:
            samples = [self.dataset[i] for i in index]
        return make_batch(samples, request, self.recipe)


def as_is(fetched: Any) -> Any:
    """Collate what is collated already."""
    return fetched


def make_batch(samples: Sequence[Any], request: BatchRequest, recipe: Recipe) -> Fetched:
    """Return samples, those of all rows of a request, as a batch before augmentation."""
    if recipe.collate is not None and not request.single:
        return _collated_by(recipe.collate, samples, request, recipe)
    if recipe.collate is not None:
        # As torch does: it sees the one sample, and what it makes of it is the sample.
        samples = [recipe.collate(sample) for sample in samples]
    fields = recipe.find(samples)
    where = locate(samples[0], recipe.image_key, recipe.label_key, fields)
    columns, mover, uncut = columns_of(samples), None, False
    views = _views_of(samples, where, request, recipe)
    frames = torch.empty(0) if views else None
    if views is None:
        frames, uncut = _stack_cut(samples, columns, where, fields, request, recipe)
    if frames is None:
        _, frames, mover = _cut_of(samples, where, fields, request, recipe)
    recipe.check_labels(samples[0], where, fields)
    labels = _labels(samples, columns, where, recipe, request)
    count = request.rows.count
    if columns is not None and not (fields or request.single) and len(where.image) == 1:
        known = {where.image, where.label if labels is not None else None}
        batch = _emptied(collated(columns, samples[0], count, known), where, labels)
        return Fetched(request, batch, where, frames, labels, 0.0, uncut=uncut, views=views)
    moved = samples if mover is None else mover.all_moved(samples, count, tensors=True)
    rest = [put(sample, where.image, 0) for sample in moved[:count]]
    if not request.single:
        # A sample that is nothing but its image leaves nothing to collate.
        batch = collated_with(default_collate, rest, fields) if where.image else 0
    elif recipe.collate is not None:
        batch = rest[0]
    else:
        batch = _converted(rest[0], where.image)
    batch = _emptied(batch, where, labels)
    return Fetched(request, batch, where, frames, labels, 0.0, uncut=uncut, views=views)


def _views_of(
    samples: Sequence[Any], where: FieldPaths, request: BatchRequest, recipe: Recipe
) -> CutViews | None:
    if recipe.views is None:
        return None
    arrays = _arrays(samples, where, {}, request, recipe)
    return cut_views(alike(arrays, request), request, recipe.views)


def _stack_cut(
    samples: Sequence[Any], columns: Columns | None, where: FieldPaths, fields: Fields,
    request: BatchRequest, recipe: Recipe,
) -> tuple[torch.Tensor | None, bool]:  # fmt: skip
    # Frames, if the images of all samples can be stacked, and whether they are uncut.
    images = None if fields else stacked(column(samples, columns, where.image))
    if images is None:
        return None, False
    alike = not where.image or (columns is not None and are_alike(columns, where.image))
    for k, sample in enumerate(samples[:1] if alike else samples):
        recipe.still.check(sample, where.image, images.shape[1:3], partial(name_of, request, k),
                           softened=where.label if recipe.labelled else None)  # fmt: skip
    return cut_stack(images, request, recipe.policy, uncut=recipe.uncut)


def _cut_of(
    samples: Sequence[Any], where: FieldPaths, fields: Fields, request: BatchRequest, recipe: Recipe
) -> tuple[list[Any], torch.Tensor, FieldMover | None]:
    given = [part_at(sample, where.image, k, request) for k, sample in enumerate(samples)]
    arrays = _arrays(samples, where, fields, request, recipe)
    frames = cut(alike(arrays, request), request, recipe.policy)
    if not fields:
        return given, frames, None
    plan = draw_plan(recipe.policy, request.rows, seed=request.seed, epoch=request.epoch,
                     size=(frames.shape[1], frames.shape[2]))  # fmt: skip
    sizes = np.array([array.shape[:2] for array in arrays], np.int64)
    return (
        given,
        frames,
        FieldMover(plan, sizes, fields, where.image, partial(field_name, request)),
    )


def _arrays(
    samples: Sequence[Any], where: FieldPaths, fields: Fields, request: BatchRequest, recipe: Recipe
) -> list[NDArray[Any]]:
    given = (part_at(sample, where.image, k, request) for k, sample in enumerate(samples))
    arrays = [pixels(picture, partial(name_of, request, k))
              for k, picture in enumerate(given)]  # fmt: skip
    for k, (sample, array) in enumerate(zip(samples, arrays, strict=True)):
        recipe.still.check(sample, where.image, array.shape[:2], partial(name_of, request, k),
                           softened=where.label if recipe.labelled else None,
                           followed=fields)  # fmt: skip
    return arrays


def _collated_by(
    collate: Callable[[list[Any]], Any],
    samples: Sequence[Any],
    request: BatchRequest,
    recipe: Recipe,
) -> Fetched:
    fields = recipe.find(samples)
    where = _located(samples[0], recipe, fields)
    given, frames, mover = _cut_of(samples, where, fields, request, recipe)
    if mover is not None:
        samples = mover.all_moved(samples, len(samples), tensors=False)
    framed = [put(sample, where.image, like(frame.numpy(), picture))
              for sample, frame, picture in zip(samples, frames, given, strict=True)]  # fmt: skip
    count = request.rows.count
    parts = [collate(part) for part in (framed[:count], framed[count:]) if part]
    return _from_parts(parts, where, request, recipe, frames)


def _located(sample: Any, recipe: Recipe, fields: Fields) -> FieldPaths:
    where = locate(sample, recipe.image_key, None, fields)
    if recipe.label_key is None:
        return where
    try:
        return replace(where, label=keyed(sample, recipe.label_key, "label_key"))
    except InputError:
        return replace(where, label=None)  # it may be a key of what collate_fn makes


def whole_batch(batch: Any, request: BatchRequest, recipe: Recipe) -> Fetched:
    """Return a batch that the dataset made for the request's list of indices."""
    count, total = request.rows.count, len(request.rows)
    if recipe.views is not None:
        raise InputError(
            "a dataset that gives whole batches has no samples to make views of: let it give one "
            "sample for an index"
        )
    if count != total:
        raise InputError(
            f"a dataset that gives whole batches cannot mix across their borders: use a batch "
            f"size that is a multiple of {GROUP}, not {count}"
        )
    batch = batch if recipe.collate is None else recipe.collate(batch)
    key, label_key = recipe.image_key, recipe.label_key
    path = () if key is None else keyed(batch, key, "image_key")
    image, tensor = find_frames(batch, path, count, maker="the dataset", planes=key is not None)
    if key is not None and image != path:
        raise InputTypeError(
            f"image_key={key!r} leads to {describe(take(batch, path))}, which is not a stack of "
            f"{count} images: give the key of one; the batch is {describe(batch)}"
        )
    pictures = list(pixels_of_batch(tensor).numpy())
    first = first_of(batch, count)
    recipe.still.check(first, image, pictures[0].shape[:2], partial(name_of, request, 0))
    label = None if label_key is None else keyed(batch, label_key, "label_key")
    label = find_labels(batch, label, count, image)
    if recipe.labelled and not is_alone(batch, image):
        check_labels(batch, label)
    frames = cut(pictures, request, recipe.policy)
    labels = None if label is None or not recipe.labelled else torch.as_tensor(take(batch, label))
    where = FieldPaths(image, label)
    return Fetched(request, _emptied(batch, where, labels), where, frames, labels, 0.0)


def _listed(samples: Any, index: list[Any]) -> Any:
    if isinstance(samples, Mapping) or not hasattr(samples, "__len__"):
        raise InputTypeError(
            f"__getitems__ gives {describe(samples)}: let it return a list, a sample for each index"
        )
    if len(samples) != len(index):
        raise InputError(
            f"__getitems__ gives {len(samples)} samples for {len(index)} indices: let it return "
            "one for each"
        )
    return samples


def _labels(
    samples: Sequence[Any], columns: Columns | None, where: FieldPaths, recipe: Recipe,
    request: BatchRequest,
) -> Any:  # fmt: skip
    if not recipe.labelled or where.label is None:
        return None
    given = column(samples, columns, where.label)
    if given is None:
        given = [
            part_at(sample, where.label, k, request, "label") for k, sample in enumerate(samples)
        ]
    try:
        labels = default_collate(list(given))
    except (TypeError, RuntimeError):
        labels = None
    if not isinstance(labels, torch.Tensor):
        odd = odd_one(given)
        name, found = name_of(request, odd, "label"), str(given[odd])[:40]
        raise InputTypeError(
            f"{name} is {describe(given[odd])} ({found!r}), and this policy, "
            "or targets=, makes soft targets of labels: give class numbers from "
            "0, or shares [K] as a tensor; or say with label_key where they are"
        )
    return labels


def _emptied(batch: Any, where: FieldPaths, labels: Any) -> Any:
    # What the main process puts in need not travel there.
    batch = put(batch, where.image, None)
    return batch if labels is None or where.label is None else put(batch, where.label, None)


def _converted(sample: Any, path: Path) -> Any:
    return default_convert(sample) if path else 0  # type: ignore[no-untyped-call]


def _from_parts(
    parts: list[Any], where: FieldPaths, request: BatchRequest, recipe: Recipe, before: torch.Tensor
) -> Fetched:
    rows, frames, labels, places = request.rows, [], [], []
    counts = (rows.count, len(rows) - rows.count)
    for part, count in zip(parts, counts, strict=False):
        found, tensor = _found(part, where, count, recipe, planes=before.shape[3] == 1)
        frames.append(pixels_of_batch(tensor, " that collate_fn made"))
        check_cut(frames[-1], before)
        if recipe.labelled and found.label is not None:
            labels.append(torch.as_tensor(take(part, found.label)))
        places.append(found)
    joined = torch.cat(labels) if labels else None
    listed = isinstance(images := take(parts[0], places[0].image), list | tuple)
    batch = _emptied(parts[0], places[0], joined)
    return Fetched(request, batch, places[0], torch.cat(frames), joined, 0.0,
                   type(images) if listed else None)  # fmt: skip


def _found(part: Any, where: FieldPaths, count: int, recipe: Recipe, *, planes: bool
           ) -> tuple[FieldPaths, Any]:  # fmt: skip
    image, tensor = find_frames(part, where.image, count, maker="collate_fn", planes=planes)
    label, key = where.label, recipe.label_key
    if label is None and key is not None:
        label = keyed(part, key, "label_key")
    label = find_labels(part, label, count, image)
    if recipe.labelled and not (where.label is None and is_alone(part, image)):
        check_labels(part, label, "what collate_fn makes, ")
    return FieldPaths(image, label), tensor
