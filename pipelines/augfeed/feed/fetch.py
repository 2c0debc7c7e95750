"""What workers do: fetch the samples of a ticket, cut their images, collate the rest."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import (
    Dataset,
    IterableDataset,
    default_collate,
    default_convert,
    get_worker_info,
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
from augfeed.feed.batch_requests import Ticket, iterable_ids
from augfeed.feed.crop import cut, cut_stack
from augfeed.feed.sample_fields import (
    Path,
    Where,
    describe,
    is_alone,
    keyed,
    like,
    locate,
    odd_one,
    pixels,
    put,
    take,
)
from augfeed.feed.spatial import Still, are_alike
from augfeed.feed.stacked_samples import Columns, collated, column, columns_of, stacked
from augfeed.plan import GROUP, Rows
from augfeed.plan.batch_rows import samples_of
from augfeed.policy import Policy
from augfeed.targets import softens


@dataclass(frozen=True, slots=True)
class Recipe:
    """How samples become frames and a collated rest; `collate` None is torch's default."""

    policy: Policy
    collate: Callable[[list[Any]], Any] | None
    image_key: Any
    label_key: Any
    labelled: bool  # whether targets are made of the labels
    still: Still = Still()  # noqa: RUF009  (frozen)
    uncut: bool = False  # whether images may be given out that the engine is yet to cut


@dataclass(slots=True)
class Fetched:
    """A batch before augmentation: `frames` `[M, H, W, C]` for all rows of the ticket.

    `batch` is collated, the images at `where.image` and the labels at `where.label` yet to be put
    in; `labels` are those of all rows; `seconds` is what fetching took. `uncut` says that frames
    are images which the engine is yet to cut.
    """

    ticket: Ticket
    batch: Any
    where: Where
    frames: torch.Tensor
    labels: Any
    seconds: float
    uncut: bool = False

    def pin_memory(self, device: Any = None) -> "Fetched":
        """Return the batch with its frames in page-locked memory; torch's hook."""
        return replace(self, frames=self.frames.pin_memory())


class Fetching(Dataset[Fetched]):
    """A map-style dataset whose index is a ticket and whose sample is a whole batch."""

    def __init__(self, dataset: Any, recipe: Recipe, *, collated: bool) -> None:
        """Wrap a dataset; `collated` says whether it gives samples, not whole batches."""
        self.dataset, self.recipe, self.collated = dataset, recipe, collated

    def __getitem__(self, ticket: Ticket) -> Fetched:
        begun = time.perf_counter()
        fetched = self._fetch(ticket)
        fetched.seconds = time.perf_counter() - begun
        # The index came from the main process and need not go back.
        fetched.ticket = replace(ticket, index=None)
        return fetched

    def _fetch(self, ticket: Ticket) -> Fetched:
        index = samples_of(ticket.rows.ids).tolist() if ticket.index is None else ticket.index
        if not self.collated and not ticket.single:
            return whole_batch(self.dataset[index], ticket, self.recipe)
        if not isinstance(index, list):
            index = [index]
        if self.collated and getattr(self.dataset, "__getitems__", None):
            samples = _listed(self.dataset.__getitems__(index), index)
        else:
            samples = [self.dataset[i] for i in index]
        return make_batch(samples, ticket, self.recipe)


class Streaming(IterableDataset[Any]):
    """An iterable dataset whose samples come numbered, as `(pass, worker, count, sample)`."""

    def __init__(self, dataset: Any) -> None:
        """Wrap a dataset."""
        self.dataset, self._passes = dataset, 0

    def __iter__(self) -> Iterator[tuple[int, int, int, Any]]:
        worker = get_worker_info()
        number, passed = worker.id if worker else 0, self._passes
        self._passes += 1
        for count, sample in enumerate(self.dataset):
            yield passed, number, count, sample


@dataclass(frozen=True, slots=True)
class Gather:
    """The collate function for `Streaming`: numbered samples to a batch before augmentation."""

    recipe: Recipe
    seed: int
    epoch: int
    rank: int

    def __call__(self, given: Any) -> Fetched:
        """Return the batch of some numbered samples, or of one."""
        begun = time.perf_counter()
        single = isinstance(given, tuple)
        numbered = [given] if single else given
        passed, worker, first, _ = numbered[0]
        ids = iterable_ids(self.rank, worker, first, len(numbered))
        places = np.arange(len(ids), dtype=np.int64)
        # Groups begin with each batch, and no two of an epoch have one name, which decides who is
        # mixed with whom: there are fewer groups than samples.
        groups = ids[0] + places // GROUP
        rows = Rows(ids, groups, places % GROUP, len(ids), int(ids[0]))
        ticket = Ticket(-1, self.epoch + passed, self.seed, None, rows, -1, single=single)
        fetched = make_batch([item[3] for item in numbered], ticket, self.recipe)
        fetched.seconds = time.perf_counter() - begun
        return fetched


def as_is(fetched: Any) -> Any:
    """Collate what is collated already."""
    return fetched


def make_batch(samples: Sequence[Any], ticket: Ticket, recipe: Recipe) -> Fetched:
    """Return samples, those of all rows of a ticket, as a batch before augmentation."""
    if recipe.collate is not None and not ticket.single:
        return _collated_by(recipe.collate, samples, ticket, recipe)
    if recipe.collate is not None:
        # As torch does: it sees the one sample, and what it makes of it is the sample.
        samples = [recipe.collate(sample) for sample in samples]
    where = locate(samples[0], recipe.image_key, recipe.label_key)
    columns = columns_of(samples)
    frames, uncut = _stack_cut(samples, columns, where, ticket, recipe) or (
        _cut_of(samples, where, ticket, recipe)[1], False)  # fmt: skip
    if recipe.labelled and not is_alone(samples[0], where.image):
        check_labels(samples[0], where.label)
    labels = _labels(samples, columns, where, recipe, ticket)
    return Fetched(ticket, _rest(samples, columns, where, recipe, ticket, labels), where, frames,
                   labels, 0.0, uncut)  # fmt: skip


def _rest(
    samples: Sequence[Any], columns: Columns | None, where: Where, recipe: Recipe, ticket: Ticket,
    labels: Any,
) -> Any:  # fmt: skip
    # The batch without its images, and without its labels where they are known.
    if columns is not None and not ticket.single and len(where.image) == 1:
        known = {where.image, where.label if labels is not None else None}
        batch = collated(columns, samples[0], ticket.rows.count, known)
        return _emptied(batch, where, labels)
    rest = [put(sample, where.image, 0) for sample in samples[: ticket.rows.count]]
    if not ticket.single:
        batch = default_collate(rest) if where.image else 0  # else nothing is left to collate
    elif recipe.collate is not None:
        batch = rest[0]
    else:
        batch = _converted(rest[0], where.image)
    return _emptied(batch, where, labels)


def _stack_cut(
    samples: Sequence[Any], columns: Columns | None, where: Where, ticket: Ticket, recipe: Recipe
) -> tuple[torch.Tensor, bool] | None:
    images = stacked(column(samples, columns, where.image))
    if images is None:
        return None
    alike = not where.image or (columns is not None and are_alike(columns, where.image))
    for k, sample in enumerate(samples[:1] if alike else samples):
        recipe.still.check(sample, where.image, images.shape[1:3], partial(_name, ticket, k),
                           softened=where.label if recipe.labelled else None)  # fmt: skip
    return cut_stack(images, ticket, recipe.policy, uncut=recipe.uncut)


def _cut_of(samples: Sequence[Any], where: Where, ticket: Ticket, recipe: Recipe
            ) -> tuple[list[Any], torch.Tensor]:  # fmt: skip
    given = [_part(sample, where.image, k, ticket) for k, sample in enumerate(samples)]
    arrays = [pixels(picture, partial(_name, ticket, k))
              for k, picture in enumerate(given)]  # fmt: skip
    for k, (sample, array) in enumerate(zip(samples, arrays, strict=True)):
        recipe.still.check(sample, where.image, array.shape[:2], partial(_name, ticket, k),
                           softened=where.label if recipe.labelled else None)  # fmt: skip
    return given, cut(_alike(arrays, ticket), ticket, recipe.policy)


def _collated_by(
    collate: Callable[[list[Any]], Any], samples: Sequence[Any], ticket: Ticket, recipe: Recipe
) -> Fetched:
    where = _located(samples[0], recipe)
    given, frames = _cut_of(samples, where, ticket, recipe)
    framed = [put(sample, where.image, like(frame.numpy(), picture))
              for sample, frame, picture in zip(samples, frames, given, strict=True)]  # fmt: skip
    count = ticket.rows.count
    parts = [collate(part) for part in (framed[:count], framed[count:]) if part]
    return _from_parts(parts, where, ticket, recipe, frames)


def _located(sample: Any, recipe: Recipe) -> Where:
    where = locate(sample, recipe.image_key, None)
    if recipe.label_key is None:
        return where
    try:
        return replace(where, label=keyed(sample, recipe.label_key, "label_key"))
    except InputError:
        return replace(where, label=None)  # it may be a key of what collate_fn makes


def whole_batch(batch: Any, ticket: Ticket, recipe: Recipe) -> Fetched:
    """Return a batch that the dataset made for the ticket's list of indices."""
    count, total = ticket.rows.count, len(ticket.rows)
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
    recipe.still.check(first, image, pictures[0].shape[:2], partial(_name, ticket, 0))
    label = None if label_key is None else keyed(batch, label_key, "label_key")
    label = find_labels(batch, label, count, image)
    if recipe.labelled and not is_alone(batch, image):
        check_labels(batch, label)
    frames = cut(pictures, ticket, recipe.policy)
    labels = None if label is None or not recipe.labelled else torch.as_tensor(take(batch, label))
    where = Where(image, label)
    return Fetched(ticket, _emptied(batch, where, labels), where, frames, labels, 0.0)


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


def _part(sample: Any, path: Path, k: int, ticket: Ticket, what: str = "image") -> Any:
    try:
        return take(sample, path)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InputError(
            f"{_name(ticket, k, what)} is not where that of the first one of its batch is: the "
            f"sample is {describe(sample)}; give samples of one form"
        ) from None


def _alike(arrays: list[NDArray[Any]], ticket: Ticket) -> list[NDArray[Any]]:
    channels = [array.shape[2] for array in arrays]
    if len(set(channels)) > 1:
        odd = next(k for k, number in enumerate(channels) if number != channels[0])
        raise InputError(
            f"{_name(ticket, odd)} has {channels[odd]} channels and {_name(ticket, 0)} "
            f"{channels[0]}: give images alike, as "
            "image.convert('RGB') does"
        )
    if len({array.dtype for array in arrays}) > 1:
        return [a if a.dtype != np.uint8 else (a / np.float32(255)).astype(np.float32)
                for a in arrays]  # fmt: skip
    return arrays


def _name(ticket: Ticket, k: int, what: str = "image") -> str:
    index = ticket.index
    if index is not None:
        return f"the {what} of sample {index[k] if isinstance(index, list) else index!r}"
    own = ticket.rows.ids[k : k + 1]
    return f"the {what} of sample {(own if ticket.end < 0 else samples_of(own))[0]}"


def _labels(
    samples: Sequence[Any], columns: Columns | None, where: Where, recipe: Recipe, ticket: Ticket
) -> Any:
    if not recipe.labelled or where.label is None:
        return None
    given = column(samples, columns, where.label)
    if given is None:
        given = [_part(sample, where.label, k, ticket, "label") for k, sample in enumerate(samples)]
    try:
        labels = default_collate(list(given))
    except (TypeError, RuntimeError):
        labels = None
    if not isinstance(labels, torch.Tensor):
        odd = odd_one(given)
        raise InputTypeError(
            f"{_name(ticket, odd, 'label')} is {describe(given[odd])} ({str(given[odd])[:40]!r}), "
            "and this policy, or targets=, makes soft targets of labels: give class numbers from "
            "0, or shares [K] as a tensor; or say with label_key where they are"
        )
    return labels


def _emptied(batch: Any, where: Where, labels: Any) -> Any:
    # What the main process puts in need not travel there.
    batch = put(batch, where.image, None)
    return batch if labels is None or where.label is None else put(batch, where.label, None)


def _converted(sample: Any, path: Path) -> Any:
    return default_convert(sample) if path else 0  # type: ignore[no-untyped-call]


def _from_parts(
    parts: list[Any], where: Where, ticket: Ticket, recipe: Recipe, before: torch.Tensor
) -> Fetched:
    rows, frames, labels, places = ticket.rows, [], [], []
    counts = (rows.count, len(rows) - rows.count)
    for part, count in zip(parts, counts, strict=False):
        found, tensor = _found(part, where, count, recipe, planes=before.shape[3] == 1)
        frames.append(pixels_of_batch(tensor, " that collate_fn made"))
        check_cut(frames[-1], before)
        if recipe.labelled and found.label is not None:
            labels.append(torch.as_tensor(take(part, found.label)))
        places.append(found)
    joined = torch.cat(labels) if labels else None
    batch = _emptied(parts[0], places[0], joined)
    return Fetched(ticket, batch, places[0], torch.cat(frames), joined, 0.0)


def _found(part: Any, where: Where, count: int, recipe: Recipe, *, planes: bool
           ) -> tuple[Where, Any]:  # fmt: skip
    image, tensor = find_frames(part, where.image, count, maker="collate_fn", planes=planes)
    label, key = where.label, recipe.label_key
    if label is None and key is not None:
        label = keyed(part, key, "label_key")
    label = find_labels(part, label, count, image)
    if recipe.labelled and not (where.label is None and is_alone(part, image)):
        check_labels(part, label, "what collate_fn makes, ")
    return Where(image, label), tensor


__all__ = [
    "Fetched",
    "Fetching",
    "Gather",
    "Recipe",
    "Streaming",
    "as_is",
    "cut",
    "make_batch",
    "softens",
]
