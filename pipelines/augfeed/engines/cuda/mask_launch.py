"""Masks of a batch on a device: the table of their places, and the launch that moves them."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.async_copy import copied
from augfeed.constants import CUTMIX, MIXUP
from augfeed.engines.cuda import masks as kernels
from augfeed.engines.cuda.field_launch import draw_fields
from augfeed.engines.cuda.kernel_launch import launch_kernel
from augfeed.fields.follows import blends
from augfeed.fields.map_arrays import MapArrays
from augfeed.fields.masks import MixedMask
from augfeed.operation import Geometry
from augfeed.operation.kinds import displaces
from augfeed.plan import Plan
from augfeed.policy import Policy

BLOCK = 256  # pixels of a program, one for each of its threads
OPTIONS: dict[str, Any] = {"num_warps": 8, "enable_fp_fusion": False}
# Numbers as the kernels move them: those without a sign of 16 bits and more are the same bits.
_MOVED = {
    torch.bool: torch.uint8, torch.int8: torch.uint8, torch.uint16: torch.int16,
    torch.uint32: torch.int32, torch.uint64: torch.int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MaskSet:
    """Masks of all rows of a plan on one device: flat memory `values`.

    Those of row `k` are `planes` masks `[planes, *sizes[k]]` from value `starts[k]` on. `fill` lies
    outside.
    """

    values: torch.Tensor
    starts: NDArray[np.int64]
    planes: int
    fill: int

    @classmethod
    def of(cls, masks: torch.Tensor, fill: int) -> "MaskSet":
        """Return masks `[M, H, W]` or `[M, N, H, W]` of one size as a set."""
        planes = 1 if masks.ndim == 3 else masks.shape[1]
        each = planes * masks.shape[-2] * masks.shape[-1]
        starts = np.arange(len(masks), dtype=np.int64) * each
        return cls(masks.contiguous().view(-1), starts, planes, fill)


def move_masks(masks: MaskSet, plan: Plan, maps: MapArrays) -> torch.Tensor | MixedMask:
    """Return masks `[count, planes, h, w]` as their images are moved and mixed.

    They are queued on the current stream, and nothing waits. A policy with Mixup gives a
    `MixedMask`.
    """
    table, fields = _table(masks, plan, maps), _fields(masks, maps)
    own = _shown(masks, plan, maps, table, fields)
    if not blends(plan.policy):
        return own
    mixes = plan.mixes
    blended = mixes.mode[: plan.count] == MIXUP
    share = np.where(blended, mixes.lam[: plan.count], 1.0).astype(np.float32)
    partner = own
    if blended.any():
        rows = np.where(blended, mixes.partner[: plan.count], np.arange(plan.count))
        table[: plan.count, kernels.ALONE.value] = rows
        partner = _shown(masks, plan, maps, table, fields)
    return MixedMask(own, partner, copied(share, masks.values.device))


def _table(masks: MaskSet, plan: Plan, maps: MapArrays) -> NDArray[np.int64]:
    rows, most = maps.steps.shape[:2]
    words = kernels.STEP.value  # of a map
    table = np.zeros((rows, kernels.STEPS.value + words * most), np.int64)
    floats, mixes = table.view(np.float64), plan.mixes
    pasted = np.where(mixes.mode == CUTMIX, mixes.partner, -1)
    for first, values in (
        (kernels.FILL, masks.fill), (kernels.START, masks.starts),
        (kernels.PLANE, maps.sizes.prod(axis=1)), (kernels.WIDTH, maps.sizes[:, 1]),
        (kernels.COUNT, maps.counts), (kernels.ALONE, np.arange(rows)), (kernels.PASTED, pasted),
        (kernels.SHIFTED, (maps.fields >= 0).any(axis=1)),
    ):  # fmt: skip
        table[:, first.value] = values
    for first, part in ((kernels.WINDOW, maps.window), (kernels.PATCH, mixes.patch)):
        table[:, first.value : first.value + part.shape[1]] = part
    floats[:, kernels.TOTAL.value : kernels.STEPS.value] = maps.totals.reshape(rows, 9)
    steps = np.zeros((rows, most, words), np.int64)
    steps.view(np.float64)[..., : kernels.FIELD.value] = maps.steps
    steps[..., kernels.FIELD.value] = maps.fields
    table[:, kernels.STEPS.value :] = steps.reshape(rows, words * most)
    return table


def _fields(masks: MaskSet, maps: MapArrays) -> torch.Tensor:
    device = masks.values.device
    if not len(maps.shifts):
        return torch.empty(0, device=device)
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        return draw_fields(maps.shifts, maps.size, device)


def _shown(
    masks: MaskSet, plan: Plan, maps: MapArrays, table: NDArray[np.int64], fields: torch.Tensor
) -> torch.Tensor:  # fmt: skip
    height, width = maps.size
    values, kind = masks.values, masks.values.dtype
    device, moved = values.device, _MOVED.get(kind, kind)
    out = torch.empty((plan.count, masks.planes, height, width), dtype=kind, device=device)
    if not out.numel():
        return out
    given = (values.view(moved), copied(table, device), copied(maps.lines, device), fields,
             out.view(moved))  # fmt: skip
    grid = (plan.count, -(-height * width // BLOCK))
    constants = mask_constants(
        sampled=samples(plan.policy), displaced=_displaces(plan.policy),
        mixed=plan.policy.mixer is not None, border=maps.border, padding=maps.padding,
    )  # fmt: skip
    with torch.cuda.device(device) if values.is_cuda else nullcontext():
        launch_kernel(kernels.show_masks, grid,
                      (*given, masks.planes, table.shape[1], height, width),
                      {**OPTIONS, **constants})  # fmt: skip
    return out


def mask_constants(
    *, sampled: bool, displaced: bool, mixed: bool, border: int, padding: int
) -> dict[str, Any]:
    """Return the compile-time arguments of `masks.show_masks`."""
    return {"SAMPLED": sampled, "DISPLACED": displaced, "MIXED": mixed, "BORDER": border,
            "PADDING": padding, "BLOCK": BLOCK}  # fmt: skip


def samples(policy: Policy) -> bool:
    """Return whether anything but windows and flips may move the pixels of a policy."""
    return any(
        item.program is not None or displaces(item) or (isinstance(item, Geometry) and item.warps)
        for item in policy.operations
    )


def _displaces(policy: Policy) -> bool:
    return any(map(displaces, policy.operations))
