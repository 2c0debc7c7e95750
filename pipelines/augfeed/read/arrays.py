"""Images in memory, as one array."""

import copy
import hashlib
from collections.abc import Iterable
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError
from augfeed.read.channel_axis import ALONE, channel_axis
from augfeed.read.indices import check_indices
from augfeed.read.labels import Labels, check_classes, check_labels
from augfeed.read.sixteen_bits import WhiteCheck, is_uint16, unit_floats
from augfeed.read.to_uint8 import clamped, slack, times_white

Layout = Literal["NHWC", "NCHW"]


class ArraySource:
    """Images of one size in memory, with their labels.

    `images` is a NumPy array or a CPU tensor, uint8, uint16 (65535 is 1) or float in [0, 1], but
    for rounding, `[N, H, W]`, `[N, H, W, C]` or `[N, C, H, W]`. The side that is 1 or 3 is the
    channels. Where none is, an array is `[N, H, W, C]` and a tensor `[N, C, H, W]`. `layout` must
    say if both sides are 1 or 3, or if the other one is the shortest. The attribute `images` is
    C-contiguous `[N, H, W, C]`, uint8 or float32, and shares memory with the argument where it can;
    do not write to it. `sixteen_bits` says whether they were uint16.
    `labels` are class numbers `[N]`, shares or flags `[N, K]`; `name` is a key of
    `augfeed.invariances.KNOWN`. Sample `i` is in row `rows(i)` of `images`: row `i`, unless `pick`
    chose others. Raises `InputError` or `InputTypeError`.
    """

    images: NDArray[Any]
    picks: NDArray[np.int64] | None
    labels: Labels | None
    num_classes: int | None
    classes: tuple[str, ...] | None
    channels: int
    sixteen_bits: bool
    name: str | None
    sizes: tuple[int, int]
    _parent: "ArraySource | None"  # what was picked from; hashed once for all of its parts

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        classes: Iterable[Any] | None = None,
        name: str | None = None,
        *,
        layout: Layout | None = None,
    ) -> None:
        """Check images and labels."""
        array = _as_array(images)
        tensor = isinstance(images, torch.Tensor)
        if array.ndim == 4 and _layout(array.shape, layout, tensor=tensor) == "NCHW":
            array = array.transpose(0, 2, 3, 1)
        elif array.ndim == 3:
            array = array[..., None]
        if 0 in array.shape:
            raise InputError(f"images of shape {tuple(images.shape)} are empty: give at least one")
        self.sixteen_bits = is_uint16(array)
        self.images = np.ascontiguousarray(_as_pixels(array, slack(images.dtype)))
        self.classes = check_classes(classes)
        self.labels, self.num_classes = check_labels(labels, len(array), self.classes)
        self.channels = array.shape[3]
        self.name = name
        self.sizes = array.shape[1], array.shape[2]
        self.picks = self._parent = None
        self._fingerprint = ""

    def pick(self, indices: Any) -> "ArraySource":
        """Return a source of some samples, which shares `images`; sample `i` is `indices[i]` here.

        `indices` is a list, range, tensor or array of whole numbers, which may repeat. Classes
        and name stay those of the whole. Raises `InputError` or `InputTypeError` for others.
        """
        chosen = check_indices(indices, len(self))
        part = copy.copy(self)
        part.picks = self.rows(chosen)
        part.labels = None if self.labels is None else self.labels[chosen]
        part._parent, part._fingerprint = self if self._parent is None else self._parent, ""
        return part

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of `images` that hold samples `ids`, int64 as `ids`."""
        return ids if self.picks is None else self.picks[ids]

    def __len__(self) -> int:
        return len(self.images if self.picks is None else self.picks)

    def __repr__(self) -> str:
        return f"ArraySource({len(self)} images {self.images.shape[1:]} {self.images.dtype})"

    def image(self, i: int) -> NDArray[Any]:
        """Return image `i`, `[H, W, C]` of uint8, or of float32 in [0, 1]."""
        if not 0 <= i < len(self):
            raise InputError(f"i={i!r} is not in [0, {len(self)}): there is no such image")
        return cast(NDArray[Any], self.images[i if self.picks is None else self.picks[i]])

    def fingerprint(self) -> str:
        """Return the SHA-256 of images and labels, 64 hexadecimal digits; computed once.

        For picked samples it is that of the whole's fingerprint and of the rows.
        """
        if not self._fingerprint:
            whole = self._parent
            self._fingerprint = self._digest() if whole is None else self._digest_of_part(whole)
        return self._fingerprint

    def _digest(self) -> str:
        digest = hashlib.sha256(f"{self.images.shape} {self.images.dtype}".encode())
        digest.update(self.images.data)
        if self.labels is not None:
            digest.update(f"{self.labels.shape} {self.labels.dtype}".encode())
            digest.update(self.labels.data)
        digest.update(repr((self.num_classes, self.classes)).encode())
        return digest.hexdigest()

    def _digest_of_part(self, whole: "ArraySource") -> str:
        digest = hashlib.sha256(whole.fingerprint().encode())
        digest.update(self.rows(np.arange(len(self))).data)
        return digest.hexdigest()


def _as_array(images: Any) -> NDArray[Any]:
    if isinstance(images, torch.Tensor):
        if images.device.type != "cpu":
            raise InputTypeError(
                f"images are on {str(images.device)!r}, not in CPU memory: pass images.cpu()"
            )
        images = images.detach()
        images = (images.float() if images.is_floating_point() else images).numpy()
    if not isinstance(images, np.ndarray):
        raise InputTypeError(
            f"images of type {type(images).__name__!r} are not NumPy array or tensor: "
            "stack images of one size with np.stack"
        )
    if images.ndim not in (3, 4):
        raise InputTypeError(
            f"images of shape {images.shape} are not [N, H, W], [N, H, W, C] or [N, C, H, W]: "
            "reshape them; a single image is images[None]"
        )
    return images


def _layout(shape: tuple[int, ...], layout: Layout | None, *, tensor: bool) -> Layout:
    if layout is not None:
        if layout not in ("NHWC", "NCHW"):
            raise InputError(f"layout={layout!r} is unknown: use 'NHWC' or 'NCHW'")
        return layout
    axis, both = channel_axis(shape[1:], tensor=tensor), shape[1] in ALONE and shape[3] in ALONE
    if axis is None or (both and shape[1:] != (1, 1, 1)):
        raise InputError(
            f"images of shape {shape} could be [N, H, W, C] or [N, C, H, W]: "
            "pass layout='NHWC' or layout='NCHW' to ArraySource(images, labels, layout=...)"
        )
    return "NHWC" if axis == 2 else "NCHW"


def _as_pixels(array: NDArray[Any], allowed: float) -> NDArray[Any]:
    """Return images as uint8 or float32; raise if they are of another type or out of range."""
    if array.dtype == np.uint8:
        return array
    if is_uint16(array):
        WhiteCheck().check([array])
        return unit_floats(array)
    if array.dtype.kind != "f":
        raise InputTypeError(
            f"images of dtype {array.dtype} are not uint8, uint16 or float: values from 0 to 255 "
            f"convert with .astype(np.uint8){times_white(array.dtype)}"
        )
    inside = clamped(array, allowed)
    if inside is None:
        lowest, highest = float(array.min()), float(array.max())
        if np.isnan(lowest):
            raise InputError("images contain NaN: remove those images, or np.nan_to_num(images)")
        raise InputError(
            f"images of dtype {array.dtype} lie in [{lowest:g}, {highest:g}], not in [0, 1]: "
            "divide values up to 255 by 255, or undo a normalization (the policy does it)"
        )
    return inside.astype(np.float32, copy=False)
