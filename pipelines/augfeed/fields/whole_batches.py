"""Masks and boxes of whole batches as tensors, moved on the host or where they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.async_copy import copied
from augfeed.errors import InputError
from augfeed.fields.boxes import ROUNDED, are_shares, move_boxes
from augfeed.fields.follows import blends, check_undisplaced, check_unmixed
from augfeed.fields.kinds import Boxes, Mask
from augfeed.fields.map_arrays import MapArrays
from augfeed.fields.masks import MixedMask, checked_mask, fill_of, mixed_mask, moved_by
from augfeed.fields.spatial_map import SpatialMap, maps_of
from augfeed.plan import Plan

_NEAR = 1e-6  # of the plane of the camera: nothing behind it is shown


@dataclass(frozen=True, slots=True)
class HostMoves:
    """Moves what belongs to a batch of images of one size on the host; a GPU waits for that."""

    plan: Plan
    maps: list[SpatialMap]

    @classmethod
    def of(cls, plan: Plan, size: tuple[int, int], channels: int) -> "HostMoves":
        """Return the moves of images of (height, width) `size`."""
        return cls(plan, list(maps_of(plan, _sizes(plan, size), channels)))

    def masks(self, masks: Any) -> torch.Tensor | MixedMask:
        """Return masks `[B, H, W]` or `[B, N, H, W]`, moved and mixed."""
        there = checked_masks(masks, len(self.maps))
        given = there.cpu().numpy()
        if not len(given):
            return there.new_empty((0, *there.shape[1:-2], *self.plan.size))
        plan, both = self.plan, blends(self.plan.policy)
        moved = [moved_by(mask, where, Mask(), f"masks[{k}]")
                 for k, (mask, where) in enumerate(zip(given, self.maps, strict=True))]  # fmt: skip
        mixed = [mixed_mask(own, moved[plan.mixes.partner[k]], plan.mixes, k, blends=both)
                 for k, own in enumerate(moved)]  # fmt: skip
        if not both:
            return torch.from_numpy(np.stack(mixed)).to(masks.device)
        parts = (np.stack(part) for part in zip(*mixed, strict=True))
        return MixedMask(*(torch.from_numpy(part).to(masks.device) for part in parts))

    def boxes(self, boxes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return boxes xyxy `[B, N, 4]`, moved, and bool `[B, N]`: which are left."""
        check_unmixed(self.plan.policy, "boxes")
        given = checked_boxes(boxes, len(self.maps)).cpu().double().numpy()
        _check_places(given)
        made, valid = np.zeros_like(given), np.zeros(boxes.shape[:2], np.bool_)
        for k, where in enumerate(self.maps):
            moves = move_boxes(given[k], where, Boxes())
            valid[k, moves.kept] = True
            made[k, moves.kept] = moves.boxes[moves.kept]
        return torch.from_numpy(made).to(boxes), torch.from_numpy(valid).to(boxes.device)


@dataclass(frozen=True, slots=True)
class DeviceMoves:
    """Moves what belongs to a batch of images of one size on its device; nothing waits."""

    plan: Plan
    maps: MapArrays

    @classmethod
    def of(cls, plan: Plan, size: tuple[int, int], channels: int) -> "DeviceMoves":
        """Return the moves of images of (height, width) `size`."""
        return cls(plan, MapArrays.of(plan, _sizes(plan, size), channels))

    def masks(self, masks: Any) -> torch.Tensor | MixedMask:
        """Return what `HostMoves.masks` does, by a kernel of Triton."""
        from augfeed.engines.cuda.mask_launch import MaskSet, move_masks

        checked_masks(masks, self.plan.count)
        plan, shape = self.plan, (len(masks), *masks.shape[1:-2], *self.maps.size)
        first = _likeness(masks)
        if len(masks):
            first = checked_mask(first, tuple(self.maps.sizes[0].tolist()), "masks[0]")
        moved = move_masks(MaskSet.of(masks, fill_of(first, Mask(), "masks")), plan, self.maps)
        if not isinstance(moved, MixedMask):
            return moved.view(shape)
        return MixedMask(moved.own.view(shape), moved.partner.view(shape), moved.share)

    def boxes(self, boxes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `HostMoves.boxes` does, by operations of torch.

        Raises `InputError` for a policy that displaces pixels.
        """
        check_unmixed(self.plan.policy, "boxes")
        check_undisplaced(self.plan.policy, "boxes")
        given = checked_boxes(boxes, self.plan.count).double()
        limits = copied(self.maps.visible, boxes.device)[:, None]
        given = torch.cat([torch.minimum(torch.maximum(given[..., k : k + 2], limits[..., :2]),
                                         limits[..., 2:]) for k in (0, 2)], dim=-1)  # fmt: skip
        there = (given[..., 2:] > given[..., :2]).all(dim=-1)
        hulls = _hulls(given, copied(self.maps.forward, boxes.device))
        height, width = self.maps.size
        x, y = hulls[..., 0::2].clamp(0, width), hulls[..., 1::2].clamp(0, height)
        wide, high = x[..., 1] - x[..., 0], y[..., 1] - y[..., 0]
        least = Boxes().min_side - ROUNDED
        valid = there & (wide >= least) & (high >= least)
        made = torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)
        return torch.where(valid[..., None], made, 0.0).to(boxes.dtype), valid


def _hulls(boxes: torch.Tensor, forward: torch.Tensor) -> torch.Tensor:
    # As `fields.boxes` has them: of the part of each quadrangle in front of the camera, whose
    # points are corners, and places where a side meets the plane.
    left, top, right, bottom = boxes.unbind(dim=-1)  # a list as an index would be copied there
    x = torch.stack([left, right, right, left], dim=-1)
    y = torch.stack([top, top, bottom, bottom], dim=-1)
    m = forward[:, :, :, None, None]
    u, v, z = (m[:, k, 0] * x + m[:, k, 1] * y + m[:, k, 2] for k in range(3))
    beside = tuple(part.roll(-1, dims=-1) for part in (u, v, z))
    t = (_NEAR - z) / (beside[2] - z)
    met = tuple(one + t * (other - one) for one, other in zip((u, v, z), beside, strict=True))
    shown = torch.cat([z > _NEAR, (z > _NEAR) != (beside[2] > _NEAR)], dim=-1)
    found = []
    for k in (0, 1):
        points = torch.cat([(u, v)[k] / z, met[k] / met[2]], dim=-1)
        for end in (torch.inf, -torch.inf):
            kept = torch.where(shown, points, end)
            found.append(kept.amin(dim=-1) if end > 0 else kept.amax(dim=-1))
    hulls = torch.stack([found[0], found[2], found[1], found[3]], dim=-1)
    return torch.where(shown.any(dim=-1)[..., None], hulls, 0.0)


def checked_masks(masks: Any, count: int) -> torch.Tensor:
    """Return a tensor of `count` masks, or raise `InputError`."""
    if not isinstance(masks, torch.Tensor) or len(masks) != count:
        raise InputError(f"masks are not a tensor of {count} masks: give [B, H, W]")
    return masks


def checked_boxes(boxes: Any, count: int) -> torch.Tensor:
    """Return a tensor of boxes `[count, N, 4]`, or raise `InputError`."""
    if not isinstance(boxes, torch.Tensor) or boxes.ndim != 3 or boxes.shape[::2] != (count, 4):
        raise InputError(f"boxes are not a tensor [{count}, N, 4]: give xyxy in pixels")
    return boxes


def _check_places(given: NDArray[np.float64]) -> None:
    # Of a device nobody looks at numbers, which would wait for it. Rows of zeros, or of another
    # number, and NaN fill samples up.
    wrong = np.argwhere((given[..., 2:] < given[..., :2]).any(axis=-1))
    if len(wrong):
        sample, row = wrong[0].tolist()
        raise InputError(
            f"boxes[{sample}, {row}] = {given[sample, row].tolist()} ends before it begins: give "
            "xyxy in pixels"
        )
    if are_shares(given):
        k = given.reshape(-1, 4).any(axis=1).argmax()
        raise InputError(
            f"boxes hold {given.reshape(-1, 4)[k].tolist()}, and none is of a pixel or more: give "
            "xyxy in pixels, shares times width and height"
        )


def _likeness(masks: torch.Tensor) -> NDArray[Any]:
    # An array of the shape and type of one of the masks, whose values nobody looks at.
    kind = torch.empty(0, dtype=masks.dtype).numpy().dtype
    return np.broadcast_to(np.zeros((), kind), tuple(masks.shape[1:]))


def _sizes(plan: Plan, size: tuple[int, int]) -> NDArray[np.int64]:
    return np.full((len(plan.ids), 2), size, np.int64)
