"""Masks of classes in files, and whether their numbers are numbers of classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from augfeed.datasets.annotated_images import read_file
from augfeed.errors import InputError, ReadError
from augfeed.read.label_image import Colors, check_colors, decode_numbers
from augfeed.whole_number import whole_number

_BYTE = 256


class MaskNumbers(TypedDict, total=False):
    """How the numbers in mask files become numbers of classes: the arguments of `MaskFormat`."""

    num_classes: int | None
    ignore_index: int | None
    values: Mapping[int, int] | None
    colors: Colors | None


@dataclass(frozen=True, slots=True)
class MaskFormat:
    """How the numbers in mask files become numbers of classes.

    `values` replaces numbers, as `{255: 1}`; `colors` are the numbers of colors; both come before
    the check: numbers are below `num_classes`, if that is known, or `ignore_index`.
    """

    num_classes: int | None = None
    ignore_index: int | None = 255
    values: Mapping[int, int] | None = None
    colors: Colors | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        if self.num_classes is not None:
            whole_number("num_classes", self.num_classes, 1)
        check_colors(self.colors)
        if self.values is not None and (
            not isinstance(self.values, Mapping)
            or not all(isinstance(one, int) for pair in self.values.items() for one in pair)
        ):
            raise InputError(
                f"values={self.values!r} does not say which number stands for which class: give a "
                "dict as {255: 1}"
            )

    @property
    def told_apart(self) -> tuple[Any, ...]:
        """What other numbers and colors stand for, for a fingerprint."""
        given = (("values", self.values), ("colors", self.colors))
        return tuple((name, sorted(told.items())) for name, told in given if told)

    def read(self, path: str, image: str) -> NDArray[Any]:
        """Return the mask in a file, uint8 or int32 `[h, w]`; raise `ReadError` that names it."""
        return self.decoded(read_file(path, "mask", image), path)

    def decoded(self, data: bytes, name: str) -> NDArray[Any]:
        """Return the mask that bytes hold, uint8 or int32 `[h, w]`."""
        mask = decode_numbers(data, name, self.colors)
        if self.values is not None:
            mask = self._replaced(mask)
        if self.ignore_index is not None and not 0 <= self.ignore_index < _BYTE:
            mask = mask.astype(np.int32, copy=False)  # its borders are to hold that number
        if self.num_classes is not None:
            self._check(mask, name)
        return mask

    def _replaced(self, mask: NDArray[Any]) -> NDArray[Any]:
        assert self.values is not None
        if mask.dtype == np.uint8:
            table = np.arange(_BYTE, dtype=np.int32)
            for old, new in self.values.items():
                if 0 <= old < _BYTE:
                    table[old] = new
            fits = table.min() >= 0 and table.max() < _BYTE
            made: NDArray[Any] = (table.astype(np.uint8) if fits else table)[mask]
            return made
        made = mask.astype(np.int32)
        for old, new in self.values.items():
            made[mask == old] = new
        return made

    def _check(self, mask: NDArray[Any], name: str) -> None:
        assert self.num_classes is not None
        known = self.num_classes
        if mask.dtype == np.uint8:
            right = mask < min(known, _BYTE)
            if self.ignore_index is not None and 0 <= self.ignore_index < _BYTE:
                right |= mask == self.ignore_index
        else:
            right = ((mask >= 0) & (mask < known)) | (mask == self.ignore_index)
        if not right.all():
            y, x = np.argwhere(~right)[0].tolist()
            ignored = "" if self.ignore_index is None else f" and is not {self.ignore_index}"
            raise ReadError(
                f"{name}: has the number {int(mask[y, x])} at x={x}, y={y}, which is not in "
                f"[0, {known}), the numbers of {known} classes{ignored}: fix the mask, give more "
                "classes, or say with values={number: class} what it stands for"
            )


def check_binary(mask: NDArray[Any], name: str, ignore_index: int | None) -> None:
    """Raise `InputError` for a mask of only 0 and 255 where 255 is to be ignored."""
    if ignore_index == 255 and mask.dtype == np.uint8 and mask.any() and mask.min() == 0:
        if not ((mask == 0) | (mask == 255)).all():
            return
        raise InputError(
            f"{name}: holds only 0 and 255, and 255 is ignored by losses, so nothing but "
            "background would be learned: say that it is class 1 with values={255: 1}, or, if it "
            "is to be ignored, give num_classes"
        )


__all__ = ["MaskFormat", "MaskNumbers", "check_binary"]
