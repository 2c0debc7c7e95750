"""The engine for any torch device: one batched operator after another, with Kornia's where they
do exactly what is defined; also the independent witness of the compiled engines.

Every value depends on its own sample alone and on operations that round in one way only (no fused
multiply-add, no floating-point sums over pixels), so that the result is the same bit for bit in
any batch.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augfeed.constants import BICUBIC, BILINEAR, CONSTANT, CUTMIX, EDGE, LUMA, MIXUP
from augfeed.engines import Output, check_images, check_places
from augfeed.engines.portable_frames import changed_frames
from augfeed.engines.portable_program import programmed
from augfeed.engines.portable_warp import Places, bicubic, nearest, ringed
from augfeed.errors import MissingExtraError
from augfeed.operation import Linear, Pointwise
from augfeed.operation.reference import SampleColumns, weighted
from augfeed.philox import Stream, normal_quantiles
from augfeed.plan import Plan
from augfeed.plan.policy_constants import PolicyConstants

try:
    from kornia.enhance import normalize
    from kornia.geometry import create_meshgrid
    from kornia.geometry.transform import hflip, remap, vflip
except ImportError as error:
    raise MissingExtraError("Kornia >= 0.8.3 (for engine='portable')", "kornia") from error

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


class PortableEngine:
    """Carries out plans with torch operators on one device, in float32."""

    name = "portable"

    def __init__(self, device: Any = "cpu") -> None:
        self.device = torch.device(device)

    def apply(
        self,
        plan: Plan,
        images: Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),  # noqa: B008  (frozen)
    ) -> Tensor:
        """Return the batch `[count, C, H, W]` of a plan; see `Engine.apply`."""
        rows = len(plan.ids)
        check_images(images, rows)
        output.check(plan.policy)
        fixed = PolicyConstants.of(plan.policy, images.shape[-1])
        if places is None:
            places = np.arange(rows)
        check_places(places, len(images))
        if offsets is None:
            offsets = np.zeros((rows, 2), np.int32)
        frames = _frames(plan.size, images.to(self.device), places, offsets, fixed)
        frames = changed_frames(plan, frames, quantized=images.dtype == torch.uint8)
        frames = programmed(
            plan, frames,
            lambda some, inverse, rows: _warped(some, inverse, plan.filters[rows], fixed),
        )  # fmt: skip
        means = _grey_means(frames)
        values = _colored(plan, _moved(plan, fixed, frames), means)
        if fixed.normalized:
            mean, std = (_tensor(part, self.device) for part in (fixed.mean, fixed.std))
            values = normalize(values, mean, std)
        values = _occluded(plan, fixed, _mixed(plan, values))
        return _cast(_noised(plan, fixed, values), output)


def _frames(
    size: tuple[int, int],
    images: Tensor,
    places: NDArray[np.int64],
    offsets: NDArray[np.int32],
    fixed: PolicyConstants,
) -> Tensor:
    # [M, C, H, W], float32 in pixel space: what the policy's output frame shows of each image.
    lines, columns = (
        offsets[:, axis, None].astype(np.int64) + np.arange(size[axis]) for axis in (0, 1)
    )
    height, width = images.shape[1:3]
    outside = _outside(lines, height)[:, :, None] | _outside(columns, width)[:, None, :]
    which, y, x = (
        _tensor(index, images.device)
        for index in (
            np.asarray(places, np.int64),
            _folded(lines, height, fixed.pad_mode),
            _folded(columns, width, fixed.pad_mode),
        )
    )
    picked = images[which[:, None, None], y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
    frames = picked.to(torch.float32).contiguous()
    if images.dtype == torch.uint8:
        frames = frames / 255.0
    if fixed.pad_mode == CONSTANT and outside.any():
        fill = _tensor(fixed.pad_fill.astype(np.float32), images.device).view(1, -1, 1, 1)
        frames = torch.where(_tensor(outside[:, None], images.device), fill, frames)
    return frames


def _outside(index: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (index < 0) | (index >= length)
    return result


def _folded(index: NDArray[np.int64], length: int, mode: int) -> NDArray[np.int64]:
    if mode in (CONSTANT, EDGE) or length == 1:
        return np.clip(index, 0, length - 1)
    around = index % (2 * (length - 1))
    return np.minimum(around, 2 * (length - 1) - around)


def _grey_means(frames: Tensor) -> Tensor:
    # [M, 1, 1, 1], of images that are not RGB [M, C, 1, 1]. Summed in whole multiples of 2**-24:
    # exact, so in any order and grouping.
    pixels = max(1, frames.shape[2] * frames.shape[3])
    sums = (frames * 2.0**24).round().to(torch.int64).sum(dim=(2, 3), keepdim=True)
    return _grey(sums.to(torch.float32) * (2.0**-24 / pixels))


def _grey(values: Tensor) -> Tensor:
    return weighted(values, LUMA) if values.shape[1] == 3 else values


def _moved(plan: Plan, fixed: PolicyConstants, frames: Tensor) -> Tensor:
    frames = _change(frames, plan.flip_x & ~plan.warped, lambda some, _: hflip(some))
    frames = _change(frames, plan.flip_y & ~plan.warped, lambda some, _: vflip(some))

    def warp(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return _warped(some, plan.inverse[rows], plan.filters[rows], fixed)

    return _change(frames, plan.warped, warp)


def _warped(
    frames: Tensor, inverse: NDArray[np.float32], filters: NDArray[np.int32], fixed: PolicyConstants
) -> Tensor:
    if len(kinds := np.unique(filters)) == 1:
        make = _bilinear if kinds[0] == BILINEAR else bicubic if kinds[0] == BICUBIC else nearest
        return make(frames, _places(frames, inverse), fixed)
    made = torch.empty_like(frames)
    for kind in kinds:
        rows = np.flatnonzero(filters == kind)
        where = torch.from_numpy(rows).to(frames.device)
        made[where] = _warped(frames[where], inverse[rows], filters[rows], fixed)
    return made


def _places(frames: Tensor, inverse: NDArray[np.float32]) -> Places:
    height, width = frames.shape[2:]
    grid = create_meshgrid(height, width, False, frames.device, torch.float32)
    x, y = grid[..., 0], grid[..., 1]
    matrix = _tensor(inverse, frames.device)[..., None, None]
    at_x, at_y, at_z = (
        matrix[:, k, 0] * x + matrix[:, k, 1] * y + matrix[:, k, 2] for k in range(3)
    )
    return at_x, at_y, at_z


def _bilinear(frames: Tensor, places: Places, fixed: PolicyConstants) -> Tensor:
    height, width = frames.shape[2:]
    at_x, at_y, at_z = places
    at_x = _within(at_x / at_z, width, fixed.border_mode)
    at_y = _within(at_y / at_z, height, fixed.border_mode)
    if fixed.border_mode == CONSTANT:
        # A ring of the fill: beyond it nothing but the fill has weight, so `_within` stops there.
        frames = ringed(frames, fixed)
        at_x, at_y = at_x + 1.0, at_y + 1.0
    # Coordinates lie inside already; "reflection" for those that rounding moves out, because some
    # devices have no "border" (Apple's before torch 2.13).
    return remap(frames, at_x, at_y, padding_mode="reflection", align_corners=True)


def _within(at: Tensor, length: int, mode: int) -> Tensor:
    # The coordinate that reads the same value by the border rule, at most one pixel outside. NaN,
    # at the horizon of a perspective, reads the first pixel.
    if mode == CONSTANT:
        return at.nan_to_num(nan=-1.0).clamp(-1.0, length)
    if mode != EDGE and length > 1:
        period = 2.0 * (length - 1)
        at = at - (at / period).floor() * period
        at = torch.minimum(at, period - at)
    return at.nan_to_num().clamp(0.0, length - 1.0)


def _colored(plan: Plan, values: Tensor, means: Tensor) -> Tensor:
    # As each operation's own definition says.
    clamped = False
    for item in plan.policy.operations:
        if item.program is not None or not isinstance(item, Linear | Pointwise):
            continue
        if isinstance(item, Pointwise) and not clamped:
            values, clamped = values.clamp(0.0, 1.0), True
        columns = {column.name: getattr(plan.columns, column.name) for column in item.columns}
        changed = [columns[column.name] != column.neutral for column in item.columns]
        values = _change(values, np.any(changed, axis=0), _by(item, columns, means))
    return values if clamped else values.clamp(0.0, 1.0)


def _by(
    item: Linear | Pointwise, columns: dict[str, NDArray[Any]], means: Tensor
) -> Callable[[Tensor, NDArray[np.int64]], Tensor]:
    def change(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        own = {name: column[rows] for name, column in columns.items()}
        return item.reference(some, SampleColumns(own, means[_tensor(rows, some.device)]))

    return change


def _mixed(plan: Plan, values: Tensor) -> Tensor:
    mixes, own = plan.mixes, values[: plan.count]
    mode = mixes.mode[: plan.count]
    if not mode.any():
        return own

    def partner(rows: NDArray[np.int64]) -> Tensor:
        return values[_tensor(mixes.partner[rows].astype(np.int64), values.device)]

    def blended(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return _blend(some, partner(rows), mixes.lam[rows])

    def patched(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return torch.where(_inside(mixes.patch[rows], some), partner(rows), some)

    return _change(_change(own.clone(), mode == MIXUP, blended), mode == CUTMIX, patched)


def _occluded(plan: Plan, fixed: PolicyConstants, values: Tensor) -> Tensor:
    def cut(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return torch.where(_inside(plan.cutout[rows], some), fixed.cutout_fill, some)

    def erased(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        fill: Tensor | float = fixed.erase_fill
        if fixed.erase_noise:
            numbers = _pixel_numbers(plan, rows, Stream.ERASE_PIXELS, some.shape[1], some.device)
            fill = (
                _quantiles(some.device)[numbers]
                if fixed.normalized
                else (numbers.to(torch.float32) + 0.5) / 65536.0
            )
        inside = _inside(plan.erased[rows], some)
        for k in range(1, every.shape[1]):
            if every[rows, k].any():
                inside = inside | _inside(every[rows, k], some)
        return torch.where(inside, fill, some)

    every = plan.all_erased
    for boxes, hide in ((plan.cutout[:, None], cut), (every, erased)):
        top, left, bottom, right = boxes[: plan.count].transpose(2, 0, 1)
        values = _change(values, ((bottom > top) & (right > left)).any(axis=1), hide)
    return values


def _noised(plan: Plan, fixed: PolicyConstants, values: Tensor) -> Tensor:
    scale, black, white = (
        _tensor(part, values.device).view(-1, 1, 1)
        for part in (
            fixed.sigma_scale,
            (0 - fixed.mean) / fixed.std,
            (1 - fixed.mean) / fixed.std,
        )
    )

    def normal(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        numbers = _pixel_numbers(plan, rows, Stream.NOISE_PIXELS, some.shape[1], some.device)
        sigma = _column(plan.sigma[rows], some.device) * scale
        return some + sigma * _quantiles(some.device)[numbers]

    def salted(some: Tensor, rows: NDArray[np.int64]) -> Tensor:
        numbers = _pixel_numbers(plan, rows, Stream.SALT_PIXELS, 1, some.device)
        salt, pepper = (
            _tensor(part[rows].astype(np.int64), some.device).view(-1, 1, 1, 1)
            for part in (plan.salt, plan.pepper)
        )
        return torch.where(numbers < pepper, black, torch.where(numbers < salt, white, some))

    values = _change(values, plan.sigma[: plan.count] > 0, normal)
    return _change(values, plan.salt[: plan.count] > 0, salted)


def _cast(values: Tensor, output: Output) -> Tensor:
    layout = torch.channels_last if output.channels_last else torch.contiguous_format
    if output.dtype == torch.uint8:
        values = (values * 255.0 + 0.5).floor().clamp(0.0, 255.0)
    return values.to(output.dtype).contiguous(memory_format=layout)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> list[Tensor]:
    """Return the four words of Philox4x32-10 for counters that broadcast against each other.

    Words are int64 in [0, 2**32). Products wrap around in 64 bits, and the masks take out of them
    what unsigned arithmetic would hold.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _LOW, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = ((p1 >> 32) & _LOW) ^ c1 ^ k0, ((p0 >> 32) & _LOW) ^ c3 ^ k1
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return [c0, c1, c2, c3]


def _upper(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    # Bits 32 to 47, and below them the view: see `augfeed.philox`.
    upper: NDArray[np.int64] = ((ids >> 32) & 0xFFFF) << 16 | (ids >> 48) << 10
    return upper


def _pixel_numbers(
    plan: Plan, rows: NDArray[np.int64], stream: Stream, planes: int, device: torch.device
) -> Tensor:
    # int32 [rows, planes, H, W]: the 16 random bits of every value of some samples.
    height, width = plan.size
    blocks = -(-height * width // 8)
    ids = plan.ids[rows]
    words = philox(
        (
            _tensor(ids & _LOW, device)[:, None],
            torch.full((1, 1), plan.epoch, dtype=torch.int64, device=device),
            _tensor(int(stream) | _upper(ids), device)[:, None],
            torch.arange(planes * blocks, device=device)[None],
        ),
        plan.seed,
    )
    halves = [half.to(torch.int32) for word in words for half in (word & 0xFFFF, word >> 16)]
    lanes = torch.stack([half.view(len(rows), planes, blocks) for half in halves], dim=2)
    return lanes.flatten(2)[..., : height * width].reshape(len(rows), planes, height, width)


@cache
def _quantiles(device: torch.device) -> Tensor:
    return _tensor(normal_quantiles().copy(), device)


def _change(
    values: Tensor,
    wanted: NDArray[np.bool_],
    change: Callable[[Tensor, NDArray[np.int64]], Tensor],
) -> Tensor:
    # `values` with the wanted rows changed, in place unless these are all.
    rows = np.flatnonzero(wanted)
    if not len(rows):
        return values
    if len(rows) == len(values):
        return change(values, rows)
    where = _tensor(rows, values.device)
    return values.index_copy_(0, where, change(values[where], rows))


def _blend(one: Tensor, other: Tensor | float, share: NDArray[np.float32]) -> Tensor:
    return _column(share, one.device) * one + _column(1 - share, one.device) * other


def _inside(boxes: NDArray[np.int32], values: Tensor) -> Tensor:
    # bool [rows, 1, H, W]
    height, width = values.shape[2:]
    y = torch.arange(height, device=values.device).view(-1, 1)
    x = torch.arange(width, device=values.device)
    edges = _tensor(boxes.astype(np.int64), values.device)[..., None, None]
    top, left, bottom, right = edges.unbind(dim=1)
    return ((y >= top) & (y < bottom) & (x >= left) & (x < right)).unsqueeze(1)


def _column(numbers: NDArray[Any], device: torch.device) -> Tensor:
    return _tensor(numbers.astype(np.float32), device).view(-1, 1, 1, 1)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
