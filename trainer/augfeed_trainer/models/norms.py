"""Normalization layers as one setting: over which axes a layer takes its mean and variance."""

from typing import get_args

import torch
from torch import nn

from augfeed.errors import InputError
from augfeed_trainer.recipe import Norm as Norm

GROUPS = 32  # of the paper; fewer channels than that come in pairs or alone

# Learned scales and shifts, and what they belong to: never penalised, never noisy.
NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm,
)  # fmt: skip
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d)


def norm_2d(norm: Norm, channels: int) -> nn.Module:
    """Return the layer for maps `[N, C, H, W]`, with a learned scale and shift for each channel.

    "batch" normalizes over (N, H, W) (1502.03167), "instance" over (H, W) (1607.08022), "group"
    over (C/groups, H, W) with 32 groups or as many as divide C (1803.08494), "layer" over
    (C, H, W) (1607.06450); "none" does nothing.
    """
    match check_norm(norm):
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True)
        case "group":
            return nn.GroupNorm(_groups(channels), channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case _:
            return nn.Identity()


def norm_1d(norm: Norm, features: int) -> nn.Module:
    """Return the layer for vectors `[N, F]`: over N ("batch"), over F ("layer"), or F in groups.

    Raises `InputError` for "instance", which has no axis left.
    """
    match check_norm(norm):
        case "batch":
            return nn.BatchNorm1d(features)
        case "layer":
            return nn.LayerNorm(features)
        case "group":
            return nn.GroupNorm(_groups(features), features)
        case "instance":
            raise InputError(
                "norm='instance' normalizes over pixels, and vectors have none: use 'batch', "
                "'layer' or 'group', or a convolutional model"
            )
        case _:
            return nn.Identity()


def check_values(network: nn.Module, shape: tuple[int, int, int], count: int) -> None:
    """Raise `InputError` if a norm of the network gets one value to take mean and variance of, in
    batches of `count` images `(channels, height, width)`."""

    def look(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        batch = isinstance(module, BATCH_NORMS)
        if given[0][0, 0].numel() * (count if batch else 1) < 2:
            cure = "batch_size=2 or more, more images" if batch else "larger images"
            raise InputError(
                f"norm={'batch' if batch else 'instance'!r} takes a mean and a variance, and gets "
                f"one value somewhere in batches of shape {(count, *shape)}: use {cure}, or "
                "norm='layer' or 'group'"
            )

    norms = [item for item in network.modules() if isinstance(item, BATCH_NORMS + INSTANCE_NORMS)]
    hooks = [item.register_forward_pre_hook(look) for item in norms]
    try:
        network.eval()  # statistics stay as they are
        with torch.no_grad():
            if norms:
                network(torch.zeros(1, *shape))
    finally:
        network.train()
        for hook in hooks:
            hook.remove()


def check_norm(norm: Norm) -> Norm:
    """Return a norm; raise `InputError` for a name that is none."""
    if norm not in get_args(Norm):
        raise InputError(f"norm={norm!r} is unknown: use one of {get_args(Norm)}")
    return norm


def _groups(channels: int) -> int:
    # Groups of at least two channels: of one, a group would be an instance.
    return next(n for n in range(min(GROUPS, max(1, channels // 2)), 0, -1) if channels % n == 0)
