"""Masks: each output pixel takes the value of the pixel that it shows."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augfeed.constants import CUTMIX, MIXUP
from augfeed.errors import InputError, InputTypeError
from augfeed.fields.kinds import Mask
from augfeed.fields.spatial_map import Indices, SpatialMap
from augfeed.memory_pool import Memory, writable
from augfeed.plan import Mixes

IGNORE = 255
MEMORY = Memory()  # of masks that are moved: they are large, and fresh memory is slow


class MixedMask(NamedTuple):
    """The masks of an image that Mixup made: `share` of `own`, the rest of `partner`.

    Class numbers must not be averaged; take the loss of both, weighted by `share`.
    """

    own: Any
    partner: Any
    share: Any


def checked_mask(mask: NDArray[Any], size: tuple[int, int], name: str) -> NDArray[Any]:
    """Return a mask of integers or bool `[H, W]` or `[N, H, W]` of an image's size, or raise."""
    if mask.dtype.kind not in "iub":
        raise InputTypeError(
            f"{name} is a mask of {mask.dtype}, not of integers or bool: convert it, or declare it "
            "as 'dense' if its numbers may be blended"
        )
    if mask.ndim not in (2, 3) or mask.shape[-2:] != size:
        raise InputError(
            f"{name} is a mask of shape {list(mask.shape)} for an image of {size[0]} x {size[1]}: "
            "give [H, W] or [N, H, W] of the size of the image"
        )
    return mask


def fill_of(mask: NDArray[Any], field: Mask, name: str) -> int:
    """Return what lies outside the image; raise `InputError` if the mask's type cannot hold it."""
    if field.ignore_index is None:
        return 0 if mask.ndim == 3 or mask.dtype == np.bool_ else _ignored(mask)
    low, high = (0, 1) if mask.dtype == np.bool_ else (
        int(np.iinfo(mask.dtype).min), int(np.iinfo(mask.dtype).max))  # fmt: skip
    if not low <= field.ignore_index <= high:
        raise InputError(
            f"ignore_index={field.ignore_index!r} is not in [{low}, {high}], which {mask.dtype} of "
            f"{name} can hold: give another number, or a mask of int64"
        )
    return field.ignore_index


def _ignored(mask: NDArray[Any]) -> int:
    return min(IGNORE, int(np.iinfo(mask.dtype).max))


def move_mask(mask: NDArray[Any], indices: Indices, fill: int) -> NDArray[Any]:
    """Return a mask `[..., h, w]` as its image is moved; `indices` is `SpatialMap.indices()`."""
    from augfeed.kernels.nearest import show_places

    values = _whole(mask)
    values = values.reshape(len(values), mask.shape[-2] * mask.shape[-1])
    made = MEMORY.take((*mask.shape[:-2], *indices.shape), mask.dtype)
    show_places(values, indices, _bits(fill, mask, indices), _whole(made))
    return made


def show_mask(mask: NDArray[Any], where: SpatialMap, fill: int) -> NDArray[Any] | None:
    """Return what `move_mask` does where rows and columns of a map stay such, else None."""
    from augfeed.kernels.nearest import show_lines

    lines = where.sides()
    if lines is None:
        return None
    made = MEMORY.take((*mask.shape[:-2], *where.size), mask.dtype)
    show_lines(_whole(mask), *lines, _bits(fill, mask, *lines), _whole(made))
    return made


def _whole(mask: NDArray[Any]) -> NDArray[Any]:
    # As numbers without a sign `[N, H, W]`, so that few types are compiled for.
    kind = np.dtype(f"u{mask.dtype.itemsize}")
    count = math.prod(mask.shape[:-2])
    values = np.ascontiguousarray(mask).view(kind).reshape(count, *mask.shape[-2:])
    return writable(values)


def _bits(fill: int, mask: NDArray[Any], *places: Indices) -> int:
    # A number that the mask cannot hold matters only where there is an outside.
    if not any(bool((one < 0).any()) for one in places):
        return 0
    return int(np.array([fill], mask.dtype).view(f"i{mask.dtype.itemsize}")[0])


def moved_by(
    mask: NDArray[Any], where: SpatialMap, field: Mask, name: str, indices: Indices | None = None
) -> NDArray[Any]:
    """Return a mask as its image is moved, after a check."""
    mask = checked_mask(mask, where.source, name)
    return moved_mask(mask, where, fill_of(mask, field, name), indices)


def moved_mask(
    mask: NDArray[Any], where: SpatialMap, fill: int, indices: Indices | None = None
) -> NDArray[Any]:
    """Return a mask as its image is moved; `indices` is `where.indices()` where it is known."""
    made = show_mask(mask, where, fill) if indices is None else None
    if made is None:
        made = move_mask(mask, where.indices() if indices is None else indices, fill)
    return made


def mixed_mask(
    own: NDArray[Any], partner: NDArray[Any], mixes: Mixes, row: int, *, blends: bool
) -> NDArray[Any] | MixedMask:
    """Return the mask of a mixed image: CutMix pastes the partner's, Mixup gives both.

    `blends` is whether the policy has Mixup, so that all samples get a `MixedMask`.
    """
    mode, share = int(mixes.mode[row]), 1.0
    if mode == CUTMIX:
        top, left, bottom, right = mixes.patch[row].tolist()
        own = own.copy()
        own[..., top:bottom, left:right] = partner[..., top:bottom, left:right]
    if not blends:
        return own
    if mode == MIXUP:
        share = float(mixes.lam[row])
    return MixedMask(own, partner if mode == MIXUP else own, np.float32(share))
