"""What workers need to know, and what they hand on: the recipe, and a batch before augmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from augfeed.errors import InputError
from augfeed.feed.batch_fields import check_labels
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.crop import CutViews
from augfeed.feed.fields import FieldOptions, check_boxes
from augfeed.feed.named_parts import NamedParts
from augfeed.feed.sample_fields import FieldPaths, keyed, leads, parts_of
from augfeed.feed.spatial import SpatialCheck
from augfeed.fields import Boxes
from augfeed.fields.follows import check_followed
from augfeed.fields.mover import Fields
from augfeed.fields.sample_parts import Path
from augfeed.policy import CopyPaste, LabelSmoothing, Policy
from augfeed.policy.images import check_levels
from augfeed.read.sixteen_bits import WhiteCheck, is_uint16
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
    more: tuple[Path, ...] = ()  # where further images are, which share the plan of the first
    views: Views | None = None
    named: NamedParts = field(default_factory=NamedParts, compare=False)
    white: WhiteCheck = field(default_factory=WhiteCheck, compare=False)

    def at(self, epoch: int) -> "Recipe":
        """Return the recipe of an epoch, whose policy may be another one."""
        policy = self.policy.at(epoch)
        return self if policy is self.policy else replace(self, policy=policy)

    def for_sample(self, sample: Any) -> "Recipe":
        """Return the recipe with the keys of several images, if there are, as paths of a sample.

        Several come as a list, or as a tuple that is not a path.
        """
        key = self.image_key
        if not isinstance(key, list) and not (isinstance(key, tuple) and not leads(sample, key)):
            return self
        if not key:
            raise InputError(f"image_key={key!r} names no image: give one key, or some")
        first, *rest = (keyed(sample, one, "image_key") for one in key)
        if self.collate is not None:
            raise InputError(
                f"image_key={key!r} names several images, which a collate_fn would have to keep "
                "apart: leave collate_fn out"
            )
        if self.policy.find(CopyPaste) is not None:
            raise InputError(
                f"'copy_paste' pastes objects by masks of one image, and image_key={key!r} names "
                "several: leave it out"
            )
        return replace(self, image_key=first, more=tuple(rest))

    def find(self, samples: Sequence[Any]) -> Fields:
        """Return the fields of samples that follow their images, which the policy must allow."""
        found = self.fields.find(samples[0], self.image_key, self.still, self.more)
        if self.views is not None:
            _check_views(found)
        if found or self.policy.needs_fields:
            check_followed(self.policy, found)
            check_boxes(samples, found, set(self.fields.paths(samples[0])))
        return found

    def check_labels(self, sample: Any, where: FieldPaths, fields: Fields) -> None:
        """Raise `InputError` if labels are to be mixed, and it is not clear where they are.

        There may be none in a sample of nothing but its image, fields that follow it, and parts
        that are said to stay.
        """
        rest = [path for path, _ in parts_of(sample) if path != where.image and path not in fields]
        smoothed = self.policy.find(LabelSmoothing) is not None
        if fields and smoothed and not (rest and self.labels_of(fields)):
            names = " and ".join(repr(path[-1] if path else path) for path in fields)
            raise InputError(
                f"label_smoothing is for classes of images, and here are {names}: give it to the "
                "loss"
            )
        if self.labels_of(fields) and any(not self.still.may_stay(sample, path) for path in rest):
            check_labels(sample, where.label)

    def check_wide(self, images: Sequence[Any]) -> None:
        """Raise `InputError` for images of 16 bits that the policy would round to 256 levels, and
        for those of a first batch that have no more."""
        if any(map(is_uint16, images)):
            self.white.check(images)
            parts = () if self.views is None else self.views.parts
            for policy in [part.policy for part in parts] or [self.policy]:
                check_levels(policy)

    def labels_of(self, fields: Fields) -> bool:
        """Return whether targets are made of labels: not of those that belong to boxes."""
        return self.labelled and not any(isinstance(field, Boxes) for field in fields.values())


def _check_views(fields: Fields) -> None:
    if fields:
        names = " and ".join(repr(path[0] if len(path) == 1 else path) for path in fields)
        raise InputError(
            f"each view moves the image in a way of its own, and {names} cannot follow all: name "
            "what may stay in passive=, or leave views out"
        )


@dataclass(slots=True)
class Fetched:
    """A batch before augmentation: `frames` `[M, H, W, C]` for all rows of the request.

    `batch` is collated, the images at `where.image` and the labels at `where.label` yet to be put
    in; `labels` are those of all rows; `seconds` is what fetching took. `listed` is the kind of
    list in which images come one by one, as detection models take them. `uncut` says that frames
    are images which the engine is yet to cut, `bright` that uint16 images have been seen to be of
    16 bits. `views` hold the frames of views; `frames` are empty then.
    """

    request: BatchRequest
    batch: Any
    where: FieldPaths
    frames: torch.Tensor
    labels: Any
    seconds: float
    listed: type[Any] | None = None
    uncut: bool = False
    bright: bool = False
    more: dict[Path, torch.Tensor] = field(default_factory=dict)  # frames of further images
    views: CutViews | None = None

    def pin_memory(self, device: Any = None) -> "Fetched":
        """Return the batch with its frames in page-locked memory; torch's hook."""
        more = {path: frames.pin_memory() for path, frames in self.more.items()}
        views = None if self.views is None else self.views.pin_memory()
        return replace(self, frames=self.frames.pin_memory(), more=more, views=views)
