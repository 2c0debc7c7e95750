"""Boxes of a sample with what has an entry for each of them, as they are moved and joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError
from augfeed.fields.boxes import Corners, areas_of, kept_boxes, shown_of
from augfeed.fields.kinds import Boxes
from augfeed.fields.spatial_map import SpatialMap

Numbers = NDArray[np.int64]
AREAS = ("area", "areas")
# What can be said but of each box.
EACH = frozenset((
    *AREAS, "labels", "classes", "class_ids", "category_ids", "scores", "iscrowd", "is_crowd",
    "difficult", "truncated", "track_ids", "instance_ids",
))  # fmt: skip
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class BoxSet:
    """Boxes xyxy `[N, 4]` in edges of what they are in.

    `shares` `[N]` is how much of each is left inside, `hidden` `[N]` how much of that is covered,
    `growth` `[N]` what the area of its object was multiplied by. `beside` are entries with one for
    each box, by key.
    """

    corners: Corners
    shares: NDArray[np.float64]
    hidden: NDArray[np.float64]
    growth: NDArray[np.float64]
    beside: dict[Any, Any]

    @classmethod
    def of(cls, corners: Corners, beside: dict[Any, Any]) -> "BoxSet":
        """Return boxes as a dataset gives them."""
        count = len(corners)
        return cls(corners, np.ones(count), np.zeros(count), np.ones(count), beside)

    def __len__(self) -> int:
        return len(self.corners)

    def moved(self, where: SpatialMap, origin: tuple[int, int] = (0, 0)) -> "BoxSet":
        """Return the boxes as their image is moved, clipped; `origin` (top, left) is added."""
        if not len(self):
            return self
        made, shares, growth = shown_of(self.corners, where)
        if origin != (0, 0):
            made += np.array([origin[1], origin[0], origin[1], origin[0]])
        return BoxSet(made, self.shares * shares, self.hidden, self.growth * growth, self.beside)

    def clipped(self, top: int, left: int, bottom: int, right: int) -> "BoxSet":
        """Return the boxes as far as they lie in a rectangle."""
        low, high = np.array([left, top, left, top]), np.array([right, bottom, right, bottom])
        made = np.minimum(np.maximum(self.corners, low), high)
        rest = self._left(made)
        return replace(self, corners=made, shares=self.shares * rest, growth=self.growth * rest)

    def covered(self, patch: Sequence[int]) -> "BoxSet":
        """Return the boxes under a rectangle (top, left, bottom, right): hulls of what is seen."""
        made, hidden = self.corners.copy(), np.zeros(len(self))
        top, left, bottom, right = patch
        for k, (x0, y0, x1, y1) in enumerate(self.corners.tolist()):
            wide, high = min(x1, right) - max(x0, left), min(y1, bottom) - max(y0, top)
            if wide <= 0 or high <= 0:
                continue
            hidden[k] = wide * high / max((x1 - x0) * (y1 - y0), _LEAST)
            if left <= x0 and right >= x1:
                y0, y1 = _rest(y0, y1, top, bottom)
            elif top <= y0 and bottom >= y1:
                x0, x1 = _rest(x0, x1, left, right)
            made[k] = x0, y0, x1, y1
        return replace(self, corners=made, hidden=_both(self.hidden, hidden),
                       growth=self.growth * self._left(made))  # fmt: skip

    def concealed(self, patches: Sequence[Sequence[int]]) -> "BoxSet":
        """Return the boxes with what rectangles (top, left, bottom, right) hide of them."""
        hidden = np.array([_union(box, patches) for box in self.corners.tolist()])
        return replace(self, hidden=_both(self.hidden, hidden.reshape(len(self))))

    def masked(self, before: NDArray[Any], after: NDArray[Any]) -> "BoxSet":
        """Return the boxes of objects whose masks `[N, H, W]` have lost pixels: hulls of the rest,
        empty where nothing is left."""
        had, left = before.sum(axis=(1, 2)), after.sum(axis=(1, 2))
        lost = np.flatnonzero(left < had)
        made, hidden = self.corners.copy(), np.zeros(len(self))
        made[lost], hidden[lost] = hulls(after[lost]), 1 - left[lost] / had[lost]
        return replace(self, corners=made, hidden=_both(self.hidden, hidden),
                       growth=self.growth * (1 - hidden))  # fmt: skip

    def take(self, kept: Numbers) -> "BoxSet":
        """Return some of the boxes, with what has an entry for each."""
        beside = {key: rows_of(value, kept) for key, value in self.beside.items()}
        return BoxSet(self.corners[kept], self.shares[kept], self.hidden[kept], self.growth[kept],
                      beside)  # fmt: skip

    def kept(self, field: Boxes) -> Numbers:
        """Return the numbers of the boxes that stay, as a field says."""
        kept = kept_boxes(self.corners, self.shares, field)
        if field.max_occlusion is None:
            return kept
        return kept[self.hidden[kept] <= field.max_occlusion]

    def scaled(self) -> dict[Any, Any]:
        """Return the entries beside the boxes, areas scaled as the objects are."""
        return {key: _times(value, self.growth) if key in AREAS else value
                for key, value in self.beside.items()}  # fmt: skip

    def _left(self, made: Corners) -> NDArray[np.float64]:
        before = areas_of(self.corners)
        return np.divide(areas_of(made), before, out=np.zeros(len(self)), where=before > 0)


def joined(parts: Sequence[BoxSet], name: str) -> BoxSet:
    """Return the boxes of several images as those of one; `name` is of the boxes, for messages."""
    first = parts[0]
    beside = {}
    for key in first.beside:
        if any(key not in part.beside for part in parts):
            raise InputError(
                f"{name} is joined with boxes of another sample, in which {key!r} has not an entry "
                "for each: give samples of one form"
            )
        beside[key] = _concatenated([part.beside[key] for part in parts])
    return BoxSet(
        np.concatenate([part.corners for part in parts]),
        np.concatenate([part.shares for part in parts]),
        np.concatenate([part.hidden for part in parts]),
        np.concatenate([part.growth for part in parts]), beside,
    )  # fmt: skip


def hulls(masks: NDArray[Any]) -> Corners:
    """Return the boxes of masks `[N, H, W]` in edges: zeros where a mask is empty."""
    made = np.zeros((len(masks), 4))
    for k, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            made[k] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return made


def beside_boxes(
    holder: Any, path: tuple[Any, ...], field: Boxes, count: int, fields: Mapping[Any, Any]
) -> dict[Any, Any]:
    """Return the entries beside boxes at `path` that follow them, and are not fields themselves."""
    if not isinstance(holder, Mapping):
        return {}
    own = {where[-1] for where in fields if where and where[:-1] == path[:-1]}
    for key in (EACH & {*field.follow} & holder.keys()) - own:
        if length_of(holder[key]) not in (-1, count):
            raise InputError(
                f"{path[-1]!r} has {count} boxes, and {key!r} beside it {length_of(holder[key])} "
                "entries: give one for each box"
            )
    return {
        key: value
        for key, value in holder.items()
        if key in field.follow and (*path[:-1], key) not in fields and length_of(value) == count
    }


def length_of(value: Any) -> int:
    """Return how many entries something has, -1 for what has none."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return int(value.shape[0]) if value.ndim else -1
    return len(value) if isinstance(value, list | tuple) else -1


def rows_of(value: Any, kept: Numbers) -> Any:
    """Return some entries of a tensor, an array, a list or a tuple."""
    if isinstance(value, torch.Tensor):
        return value[torch.from_numpy(kept)]
    return value[kept] if isinstance(value, np.ndarray) else type(value)(value[k] for k in kept)


def _times(value: Any, factors: NDArray[np.float64]) -> Any:
    if isinstance(value, torch.Tensor):
        return (value * torch.from_numpy(factors)).to(value.dtype)
    if isinstance(value, np.ndarray):
        return (value * factors).astype(value.dtype)
    return type(value)(one * factor for one, factor in zip(value, factors.tolist(), strict=True))


def _concatenated(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, torch.Tensor):
        return torch.cat([torch.as_tensor(value) for value in values])
    if isinstance(first, np.ndarray):
        return np.concatenate([np.asarray(value) for value in values])
    return type(first)(one for value in values for one in value)


def _rest(low: float, high: float, begin: float, end: float) -> tuple[float, float]:
    # The hull of [low, high] without [begin, end].
    if begin <= low:
        return min(max(end, low), high), high
    return (low, begin) if end >= high else (low, high)


def _both(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - (1 - one) * (1 - other)


def _union(box: list[float], patches: Sequence[Sequence[int]]) -> float:
    # The share of a box under rectangles, which may overlap.
    x0, y0, x1, y1 = box
    cut = [(max(top, y0), max(left, x0), min(bottom, y1), min(right, x1))
           for top, left, bottom, right in patches]  # fmt: skip
    cut = [one for one in cut if one[0] < one[2] and one[1] < one[3]]
    ys = sorted({side for one in cut for side in (one[0], one[2])})
    xs = sorted({side for one in cut for side in (one[1], one[3])})
    area = 0.0
    for top, bottom in pairwise(ys):
        for left, right in pairwise(xs):
            if any(a <= top and bottom <= c and b <= left and right <= d for a, b, c, d in cut):
                area += (bottom - top) * (right - left)
    return area / max((x1 - x0) * (y1 - y0), _LEAST)
