"""Annotations of a batch's images, moved as its plan says, and put together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.follows import check_followed
from augfeed.fields.kinds import Boxes, Field
from augfeed.fields.masks import MixedMask
from augfeed.memory_pool import Memory
from augfeed.policy import LabelSmoothing, Policy

Parts = dict[str, Any]
Indices = NDArray[np.int64]
AREAS = ("area", "areas")


def check_fields(policy: Policy, fields: Mapping[str, Field]) -> None:
    """Raise `InputError` if annotations cannot follow an operation of a policy."""
    check_followed(policy, {(name,): field for name, field in fields.items()}, may_stay=False)
    if policy.find(LabelSmoothing):
        raise InputError(
            f"label_smoothing is for classes of images, and here are {' and '.join(fields)}: give "
            "it to the loss"
        )


def ragged_names(fields: Mapping[str, Field]) -> set[str]:
    """Return the names of parts that have another length in every sample."""
    names: set[str] = set()
    for name, field in fields.items():
        if isinstance(field, Boxes) and field.pad is None:
            names |= {name, *field.follow}
    return names


class FieldTargets:
    """What belongs to the images of a batch: lists by name, one entry a sample.

    `value` is what a loader gives out. It is cut by rows, moved and pinned like targets of classes.
    """

    def __init__(
        self, rows: Sequence[Parts], fields: Mapping[str, Field], memory: Memory | None = None
    ) -> None:
        """Take what belongs to each sample; `memory` is where stacks lie."""
        memory = memory or Memory()
        alone = [*fields] == ["mask"] and all(part.keys() == {"mask"} for part in rows)
        names, loose = [*rows[0]], ragged_names(fields)
        made = {
            name: _column([row[name] for row in rows], memory, ragged=name in loose)
            for name in names
        }
        self.value, self._count = made["mask"] if alone else made, len(rows)

    @classmethod
    def of(cls, value: Any, count: int) -> "FieldTargets":
        """Return targets of `count` samples whose value is known."""
        made = cls.__new__(cls)
        made.value, made._count = value, count
        return made

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice | torch.Tensor) -> "FieldTargets":
        chosen = range(self._count)[rows] if isinstance(rows, slice) else rows.tolist()
        made = _each(self.value, lambda part: part[rows], lambda part: [part[k] for k in chosen])
        return FieldTargets.of(made, len(chosen))

    def to(self, device: Any, *, non_blocking: bool = False) -> "FieldTargets":
        """Return the same targets on a device."""
        return self._with(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "FieldTargets":
        """Return the same targets in page-locked memory."""
        return self._with(lambda part: part.pin_memory())

    def clone(self) -> "FieldTargets":
        """Return the same targets in memory of their own."""
        return self._with(torch.clone)

    def _with(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "FieldTargets":
        made = _each(self.value, change, lambda parts: [change(part) for part in parts])
        return FieldTargets.of(made, self._count)


def _each(value: Any, change: Callable[[Any], Any], change_list: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _each(part, change, change_list) for name, part in value.items()}
    if isinstance(value, MixedMask):
        return MixedMask(change(value.own), change(value.partner), change(value.share))
    return change_list(value) if isinstance(value, list) else change(value)


def _column(parts: Sequence[Any], memory: Memory, *, ragged: bool) -> Any:
    # Masks and numbers stacked; what has an entry for each object as a list, unless it is padded.
    first = parts[0]
    if isinstance(first, torch.Tensor):
        return torch.stack(list(parts))
    if isinstance(first, MixedMask):
        share = torch.from_numpy(np.array([part.share for part in parts], np.float32))
        own, partner = (_stacked([part[k] for part in parts], memory) for k in (0, 1))
        return MixedMask(own, partner, share)
    if not isinstance(first, np.ndarray):
        return torch.tensor(parts)
    if ragged:
        return [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
    return _stacked(parts, memory)


def _stacked(parts: Sequence[NDArray[Any]], memory: Memory) -> torch.Tensor:
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise InputError(f"parts of shapes {sorted(shapes)} do not make one batch: give one shape")
    first = parts[0]
    numbers = first.ndim == 2 and first.dtype.kind in "iu"
    out = memory.take((len(parts), *first.shape), np.int64 if numbers else first.dtype)
    for k, part in enumerate(parts):
        out[k] = part
    return torch.from_numpy(out)


__all__ = [
    "FieldTargets",
    "check_fields",
    "ragged_names",
]
