"""What a recognized dataset was made of, to notice when it is changed afterwards."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Subset

from augfeed.errors import InputError

# Of torch, torchvision, look-alikes of theirs, and Hugging Face (which begin with "_").
_NAMES = (
    "transform", "target_transform", "transforms", "loader", "samples", "classes", "data",
    "targets", "labels", "tensors", "images", "target", "dataset", "indices", "compat", "_data",
    "_indices", "_format_type", "_format_kwargs", "_format_columns",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    # `copy` is what was in a list, or in indices, which may be changed in place.
    owner: Any
    name: str
    held: Any
    copy: list[Any] | NDArray[Any] | None

    def is_kept(self) -> bool:
        now = vars(self.owner).get(self.name)
        if isinstance(self.copy, list):
            try:
                return bool(now == self.copy)
            except (ValueError, RuntimeError):  # of arrays, or tensors, that are other ones
                return False
        if self.copy is not None:
            return bool(np.array_equal(np.asarray(now), self.copy))
        if isinstance(now, str | int | float) and type(now) is type(self.held):
            return bool(now == self.held)
        return now is self.held


@dataclass(frozen=True, slots=True)
class DatasetParts:
    """The attributes of a dataset that decide its samples, as they were.

    Those that are set again are noticed, and lists and `Subset.indices` that are changed in place;
    what is written into arrays and tensors of images and labels is not looked for.
    """

    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, data: Any) -> "DatasetParts":
        """Take note of a dataset, and of that in a `Subset`."""
        found: list[_Part] = []
        while True:
            if hasattr(data, "__dict__"):
                values = ((name, vars(data).get(name)) for name in _NAMES)
                # What is not there counts, too: it may be set later.
                found += [_Part(data, name, value, _copy(name, value)) for name, value in values]
            if not isinstance(data, Subset):
                return cls(tuple(found))
            data = data.dataset

    def check(self) -> None:
        """Raise `InputError` if one of them is another now."""
        for part in self.parts:
            if not part.is_kept():
                kind, name = type(part.owner).__name__, part.name
                # Hugging Face's: `set_transform` and `set_format`, else the rows.
                name = "format" if name.startswith("_format") else name.lstrip("_")
                raise InputError(
                    f"{name!r} of this {kind} was changed after the loader was built, which "
                    "reads the images as they were then: change the dataset first, and build the "
                    "loader after it"
                )


def _copy(name: str, value: Any) -> list[Any] | NDArray[Any] | None:
    if isinstance(value, list):
        return list(value)
    if name == "indices" and isinstance(value, np.ndarray | torch.Tensor):
        return np.asarray(value).copy()
    return None
