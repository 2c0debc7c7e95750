"""Policies whose images are larger than a person is shown them, made smaller."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from augfeed.errors import AugfeedError, InputError
from augfeed.pipeline import Pipeline
from augfeed.policy import (
    CenterCrop,
    Cutout,
    Letterbox,
    Policy,
    RandomCrop,
    RandomResizedCrop,
    Resize,
)
from augfeed.read.annotation import is_annotated

LONGEST = 448  # pixels of a side: twice what is shown
MOST_PIXELS = 1 << 25  # of one image, where it cannot be made smaller
Sides = tuple[int, int]


def reduced(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline of images with sides of at most 448 pixels that show what this one does.

    Its decisions are the same. Sizes in pixels (of resize, crops, their padding, cutout) become
    smaller by one factor; noise, and the kernels of Kornia's stages, stay as they are, so that they
    look coarser. A crop of images of unknown size, without a resize before it, is made as it is;
    raises `InputError` if that has more than 2**25 pixels.
    """
    size, policy = pipeline.size, pipeline.policy
    if max(size) <= LONGEST:
        return pipeline
    smaller = None
    if not is_annotated(pipeline.source):  # boxes are dropped by their size in pixels
        smaller = _smaller(policy, LONGEST / max(size), pipeline.source.sizes)
    if smaller is not None:
        try:
            return Pipeline(
                pipeline.source, smaller, order=pipeline.order, seed=pipeline.seed,
                output=pipeline.output, targets=pipeline.form, place=pipeline.place,
                reading=pipeline.reading,
            )  # fmt: skip
        except AugfeedError:
            pass  # a side that rounds to what cannot be cut: as it is, then
    if math.prod(size) > MOST_PIXELS:
        raise InputError(
            f"images of {size[0]} x {size[1]} pixels are above the {MOST_PIXELS:,} pixels that "
            "are made to be shown: give a smaller size, or resize before the crop"
        )
    return pipeline


def _smaller(policy: Policy, factor: float, source: Sides | None) -> Policy | None:
    # None: without a resize, what a crop shows of an image depends on the image's own size.
    def least(side: int) -> int:
        return max(1, math.floor(side * factor))

    # What is cut from is rounded up, and what is cut out of it down, so that it still fits.
    def most(side: int) -> int:
        return math.ceil(side * factor)

    given: list[Any] = [*policy.operations]
    resizes = any(map(policy.find, (RandomResizedCrop, Resize, Letterbox)))
    if not resizes:
        if source is None:
            return None
        given.append(Resize(source))
    made: list[Any] = []
    for operation in given:
        match operation:
            case Resize():
                made.append(replace(operation, size=_each(most, operation.size)))
            case RandomCrop():
                padding = most(operation.padding)
                size = _each(least, operation.size)
                made.append(replace(operation, size=size, padding=padding))
            case RandomResizedCrop() | CenterCrop() | Letterbox() | Cutout():
                made.append(replace(operation, size=_each(least, operation.size)))
            case _:
                made.append(operation)
    return Policy(made, invariances=policy.invariances, name=policy.name)


def _each(change: Callable[[int], int], size: int | Sides) -> int | Sides:
    return change(size) if isinstance(size, int) else (change(size[0]), change(size[1]))
