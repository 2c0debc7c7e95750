"""What workers do: fetch the samples of a request, cut their images, collate the rest."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
    channels_first,
    check_cut,
    check_labels,
    collated_with,
    find_frames,
    find_labels,
    first_of,
    pixels_of_batch,
)
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.crop import cut, cut_stack, cut_views, sizes_of
from augfeed.feed.recipe import Fetched, Recipe
from augfeed.feed.sample_fields import FieldPaths, is_alone, keyed, like, locate, odd_one, pixels
from augfeed.feed.spatial import are_alike
from augfeed.feed.stacked_samples import Columns, collated, column, columns_of, stacked
from augfeed.fields.mover import FieldMover, Fields, RowSamples
from augfeed.fields.sample_parts import Path, describe, put, take, take_as_first
from augfeed.plan import GROUP, draw_plan
from augfeed.plan.batch_rows import samples_of
from augfeed.read.scene_frames import paste


class Fetching(Dataset[Fetched]):
    """A map-style dataset whose index is a request and whose sample is a whole batch."""

    def __init__(self, dataset: Any, recipe: Recipe, *, collated: bool) -> None:
        """Wrap a dataset; `collated` says whether it gives samples, not whole batches."""
        self.dataset, self.recipe, self.collated = dataset, recipe, collated

    def __getitem__(self, request: BatchRequest) -> Fetched:
        begun = time.perf_counter()
        try:
            fetched = self._fetch(request)
        except StopIteration as error:  # a `for` over the loader would end at it
            raise InputError(
                f"a StopIteration came out of the {type(self.dataset).__name__}, or out of "
                "collate_fn, and would end the epoch early: give the next() in it a default"
            ) from error
        fetched.seconds = time.perf_counter() - begun
        fetched.bright = self.recipe.white.found
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
    recipe = recipe.at(request.epoch)
    if recipe.collate is not None and not request.single:
        return _collated_by(recipe.collate, samples, request, recipe)
    if recipe.collate is not None:
        # As torch does: it sees the one sample, and what it makes of it is the sample.
        samples = [recipe.collate(sample) for sample in samples]
    recipe = recipe.for_sample(samples[0])
    fields = recipe.find(samples)
    where = locate(samples[0], recipe.image_key, recipe.label_key, fields)
    columns, mover, views = columns_of(samples), None, None
    frames: torch.Tensor | None = torch.empty(0)
    uncut = False
    if recipe.views is not None:
        views = cut_views(
            _arrays(samples, where, fields, request, recipe)[1], request, recipe.views
        )
    else:
        frames, uncut = _stack_cut(samples, columns, where, fields, request, recipe)
    if frames is None:
        _, frames, mover = _cut_of(samples, where, fields, request, recipe)
    recipe.check_labels(samples[0], where, fields)
    recipe.named.check(samples)
    labels = _labels(samples, columns, where, request) if recipe.labels_of(fields) else None
    count = request.rows.count
    if columns is not None and not (fields or request.single) and len(where.image) == 1:
        known = {where.image, where.label if labels is not None else None}
        batch = _emptied(collated(columns, samples[0], count, known), where, labels)
        return Fetched(request, batch, where, frames, labels, 0.0, uncut=uncut, views=views)
    moved = samples[:count]
    if mover is not None:
        moved = [mover.sample(k, tensors=True) for k in range(count)]
    more = _further(samples, fields, request, recipe, mover)
    rest = [_without(sample, (where.image, *more)) for sample in moved]
    if not request.single:
        # A sample that is nothing but its image leaves nothing to collate.
        batch = collated_with(default_collate, rest, fields) if where.image else 0
    elif recipe.collate is not None:
        batch = rest[0]
    else:
        batch = _converted(rest[0], where.image)
    batch = _emptied(batch, where, labels)
    return Fetched(request, batch, where, frames, labels, 0.0, uncut=uncut, more=more, views=views)


def _without(sample: Any, paths: Sequence[Path]) -> Any:
    for path in paths:
        sample = put(sample, path, 0)
    return sample


def _further(
    samples: Sequence[Any], fields: Fields, request: BatchRequest, recipe: Recipe,
    mover: FieldMover | None,
) -> dict[Path, torch.Tensor]:  # fmt: skip
    # The frames of further images, cut as the first of each sample.
    made = {}
    for path in recipe.more:
        assert mover is not None, "further images are fields"
        name = partial(_field_name, request)
        given = [_part(sample, path, k, request) for k, sample in enumerate(samples)]
        recipe.check_wide(given)
        arrays = [pixels(one, partial(name, k, path)) for k, one in enumerate(given)]
        for k, (array, size) in enumerate(zip(arrays, mover.sizes.tolist(), strict=True)):
            if list(array.shape[:2]) != size:
                raise InputError(
                    f"{name(k, path)} has {array.shape[0]} x {array.shape[1]} pixels, and the "
                    f"first image of its sample {size[0]} x {size[1]}: give images of one size"
                )
        made[path] = _composed(_alike(arrays, request), request, recipe, mover)
    return made


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
        recipe.still.check(sample, where.image, images.shape[1:3], partial(_name, request, k),
                           softened=where.label if recipe.labelled else None)  # fmt: skip
    return cut_stack(images, request, recipe.policy, uncut=recipe.uncut)


def _cut_of(
    samples: Sequence[Any], where: FieldPaths, fields: Fields, request: BatchRequest, recipe: Recipe
) -> tuple[list[Any], torch.Tensor, FieldMover | None]:
    given, arrays = _arrays(samples, where, fields, request, recipe)
    if not fields:
        return given, cut(arrays, request, recipe.policy), None
    sizes, size = sizes_of(arrays, recipe.policy)
    plan = draw_plan(recipe.policy, request.rows, seed=request.seed, epoch=request.epoch, size=size)
    named = partial(_field_name, request)
    mover = FieldMover(plan, RowSamples(samples, sizes, named, where.image), fields)
    return given, _composed(arrays, request, recipe, mover), mover


def _arrays(
    samples: Sequence[Any], where: FieldPaths, fields: Fields, request: BatchRequest, recipe: Recipe
) -> tuple[list[Any], list[NDArray[Any]]]:
    # The images of samples, as they are and as arrays of one kind.
    given = [_part(sample, where.image, k, request) for k, sample in enumerate(samples)]
    labelled = recipe.labels_of(fields)
    recipe.check_wide(given)
    arrays = [pixels(picture, partial(_name, request, k))
              for k, picture in enumerate(given)]  # fmt: skip
    for k, (sample, array) in enumerate(zip(samples, arrays, strict=True)):
        recipe.still.check(sample, where.image, array.shape[:2], partial(_name, request, k),
                           softened=where.label if labelled else None,
                           followed=fields)  # fmt: skip
    return given, _alike(arrays, request)


def _composed(
    arrays: list[NDArray[Any]], request: BatchRequest, recipe: Recipe, mover: FieldMover
) -> torch.Tensor:
    # Frames with the objects that are pasted on them. A collate function sees all rows.
    scenes, rows, count = mover.plan.scenes, np.arange(len(arrays)), request.rows.count
    if scenes is None:
        return cut(arrays, request, recipe.policy, windows=mover.windows)
    shown = rows if recipe.collate else mover.plan.mixes.needed(rows[:count])
    frames = cut(arrays, request, recipe.policy, scenes, scenes.shown(shown), mover.windows)
    where = {k: mover.where_pasted(k) for k in shown.tolist()}
    paste(frames.numpy(), rows, scenes, {k: one for k, one in where.items() if one is not None})
    return frames


def _field_name(request: BatchRequest, k: int, path: Path) -> str:
    return _name(request, k, f"part {path[0] if len(path) == 1 else path!r}")


def _collated_by(
    collate: Callable[[list[Any]], Any],
    samples: Sequence[Any],
    request: BatchRequest,
    recipe: Recipe,
) -> Fetched:
    recipe = recipe.for_sample(samples[0])
    fields = recipe.find(samples)
    where = _located(samples[0], recipe, fields)
    given, frames, mover = _cut_of(samples, where, fields, request, recipe)
    recipe.named.check(samples)
    labelled = recipe.labels_of(fields)
    if fields and where.label is None and recipe.label_key is None:
        recipe.check_labels(samples[0], where, fields)
        labelled = False
    if mover is not None:
        samples = [mover.sample(k, tensors=False) for k in range(len(samples))]
    framed = [put(sample, where.image, like(frame.numpy(), picture))
              for sample, frame, picture in zip(samples, frames, given, strict=True)]  # fmt: skip
    count = request.rows.count
    parts = [collate(part) for part in (framed[:count], framed[count:]) if part]
    own = replace(recipe, labelled=labelled)
    return _from_parts(parts, where, request, own, before=frames, given=given[0])


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
    count, total, recipe = request.rows.count, len(request.rows), recipe.at(request.epoch)
    if recipe.views is not None:
        raise InputError(
            "a dataset that gives whole batches has no samples to make views of: let it give one "
            "sample for an index"
        )
    if recipe.policy.needs_fields or isinstance(recipe.image_key, list):
        raise InputError(
            f"{recipe.policy.needs_fields or recipe.image_key!r} is for samples one by one, and "
            "this dataset gives whole batches: give it a batch_size, and let it return samples"
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
    recipe.check_wide([tensor])
    pictures = list(pixels_of_batch(tensor).numpy())
    first = first_of(batch, count)
    recipe.still.check(first, image, pictures[0].shape[:2], partial(_name, request, 0))
    recipe.named.check([first])
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


def _part(sample: Any, path: Path, k: int, request: BatchRequest, what: str = "image") -> Any:
    return take_as_first(sample, path, lambda: _name(request, k, what))


def _alike(arrays: list[NDArray[Any]], request: BatchRequest) -> list[NDArray[Any]]:
    channels = [array.shape[2] for array in arrays]
    if len(set(channels)) > 1:
        odd = next(k for k, number in enumerate(channels) if number != channels[0])
        raise InputError(
            f"{_name(request, odd)} has {channels[odd]} channels and {_name(request, 0)} "
            f"{channels[0]}: give images alike, as "
            "image.convert('RGB') does"
        )
    if len({array.dtype for array in arrays}) > 1:
        return [a if a.dtype != np.uint8 else (a / np.float32(255)).astype(np.float32)
                for a in arrays]  # fmt: skip
    return arrays


def _name(request: BatchRequest, k: int, what: str = "image") -> str:
    index = request.index
    if index is not None:
        return f"the {what} of sample {index[k] if isinstance(index, list) else index!r}"
    own = request.rows.ids[k : k + 1]
    return f"the {what} of sample {(own if request.end < 0 else samples_of(own))[0]}"


def _labels(
    samples: Sequence[Any], columns: Columns | None, where: FieldPaths, request: BatchRequest
) -> Any:
    if where.label is None:
        return None
    given = column(samples, columns, where.label)
    if given is None:
        given = [
            _part(sample, where.label, k, request, "label") for k, sample in enumerate(samples)
        ]
    try:
        labels = default_collate(list(given))
    except (TypeError, RuntimeError):
        labels = None
    if not isinstance(labels, torch.Tensor):
        odd = odd_one(given)
        raise InputTypeError(
            f"{_name(request, odd, 'label')} is {describe(given[odd])} ({str(given[odd])[:40]!r}), "
            "and this policy, or targets=, makes soft targets of labels: give class numbers from "
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
    parts: list[Any], where: FieldPaths, request: BatchRequest, recipe: Recipe, *,
    before: torch.Tensor, given: Any,
) -> Fetched:  # fmt: skip
    rows, frames, labels, places = request.rows, [], [], []
    counts = (rows.count, len(rows) - rows.count)
    for part, count in zip(parts, counts, strict=False):
        found, tensor = _found(part, where, count, recipe, planes=before.shape[3] == 1)
        frames.append(
            pixels_of_batch(channels_first(tensor, before, given), " that collate_fn made")
        )
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
