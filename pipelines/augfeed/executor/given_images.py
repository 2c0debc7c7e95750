"""Images that callers give as a tensor, on the CPU or on a device: checked, and cut."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.engines import Output
from augfeed.errors import InputError, InputTypeError
from augfeed.memory_pool import Memory
from augfeed.plan import Plan
from augfeed.plan.policy_constants import channels_of
from augfeed.plan.windows import Windows
from augfeed.policy import Policy
from augfeed.policy.images import check_levels
from augfeed.read.sixteen_bits import WHITE, WhiteCheck
from augfeed.read.to_uint8 import clamped, slack, times_white

USUAL = 4  # channels at most of gray, gray with alpha, RGB and RGBA
_TURN = "give images.movedim(-1, 1), whose memory may stay as it is"


class Asked(NamedTuple):
    """What batches have in common; `size` is (height, width) of the images that are given."""

    policy: Policy  # of the epoch
    seed: int
    epoch: int
    size: tuple[int, int]
    channels: int
    output: Output


def pixels_of(
    images: torch.Tensor,
    memory: Memory,
    policy: Policy,
    white: WhiteCheck,
    channels: int | None = None,
) -> torch.Tensor:
    """Return images `[B, C, H, W]` as `[B, H, W, C]` of uint8, or of float32 in [0, 1].

    Those of channels-last memory are not copied. `white` has seen the batches before, `channels`
    says how many C is. Raises `InputError` for what are no such images.
    """
    if not isinstance(images, torch.Tensor):
        raise InputTypeError(
            f"images of type {type(images).__name__} are not a tensor: give [B, C, H, W]"
        )
    shape = images.shape
    if len(shape) != 4 or not shape[1]:
        raise InputError(f"images of shape {list(shape)} are not [B, C, H, W] of a channel or more")
    if not (shape[2] and shape[3]):
        raise InputError(f"images of shape {list(shape)} have no pixels: leave them out")
    _check_channels(shape, policy, channels)
    if images.requires_grad:
        images = images.detach()
    if images.dtype == torch.uint16:
        check_levels(policy)
        if images.device.type == "cpu":  # else the host would wait
            white.check([images])
        images = images.float() / WHITE
    elif images.dtype != torch.uint8:
        images = _unit_floats(images)
    if images.device.type != "cpu":
        return images.permute(0, 2, 3, 1).contiguous()
    from augfeed.executor.cpu_tensors import interleaved

    return interleaved(images, memory)


def _check_channels(shape: torch.Size, policy: Policy, channels: int | None) -> None:
    # `[B, H, W, C]` is a slip that shows nowhere else: a batch of that many channels comes out. So
    # it is refused unless the caller, or numbers for each channel in the policy, said how many.
    if channels is not None and shape[1] != channels:
        raise InputError(
            f"images of shape {list(shape)} have {shape[1]} channels, as [B, C, H, W], and "
            f"channels={channels}: {_TURN if shape[3] == channels else 'give images alike'}"
        )
    if shape[3] > USUAL or min(shape[1:3]) <= USUAL or shape[1] in (channels, channels_of(policy)):
        return
    raise InputError(
        f"images of shape {list(shape)} look like [B, H, W, C], and [B, C, H, W] is wanted: "
        f"{_TURN}; or, if they have {shape[1]} channels, say so with "
        f"Augment(..., channels={shape[1]})"
    )


def _unit_floats(images: torch.Tensor) -> torch.Tensor:
    # Float32; on the CPU within [0, 1], where rounding may have left them a little outside.
    if not images.is_floating_point():
        raise InputTypeError(
            f"images of {images.dtype} are not uint8, uint16 or floats: convert them to uint8"
            f"{times_white(images.dtype)}"
        )
    allowed, images = slack(images.dtype), images.float()
    if images.device.type != "cpu" or not images.numel():
        return images
    values = images.numpy()
    inside = clamped(values, allowed)
    if inside is None:
        raise InputError(
            f"images have values from {values.min():g} to {values.max():g}, not in [0, 1]: divide "
            "by 255, and leave normalize to the policy"
        )
    return images if inside is values else torch.from_numpy(inside)


def cut_on_device(
    pixels: torch.Tensor, windows: Windows, plan: Plan
) -> tuple[torch.Tensor, NDArray[np.int32] | None]:
    """Return frames of images `[B, H, W, C]` cut where they lie, and where the engine is yet to cut
    them; the host waits for nothing."""
    from augfeed.read.cache.resizing import Batch, Source, resize

    count, height, width, channels = pixels.shape
    starts = np.arange(count, dtype=np.int64) * (height * width * channels)
    source = Source(pixels.reshape(-1), np.arange(count, dtype=np.int64))
    offset, size, left = windows.offset, plan.size, None
    if not windows.inside(size).all():
        # Whole images are resized, and the engine cuts and pads them.
        if plan.policy.stages:
            raise InputError(
                "images that are padded after a resize do not go through stages of Kornia on "
                f"{pixels.device}: leave padding, or the stages, out"
            )
        left, size = offset, (int(windows.resized[0, 0]), int(windows.resized[0, 1]))
        offset = np.zeros_like(offset)
    batch = Batch(starts, np.full(count, width, np.int64), windows.box.astype(np.int64),
                  windows.resized, offset, windows.filters, size)  # fmt: skip
    return resize(batch, [source], channels, pixels.device), left
