"""The cross-entropy of masks, also of two that Mixup made one image of."""

from typing import Any

import torch
import torch.nn.functional as F

from augfeed.errors import InputError

_PARTS = ("own", "partner", "share")
Pair = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]


def mask_pair(targets: Any) -> Pair | None:
    """Return the own masks, the partners' and the shares of the own; None for other targets."""
    if isinstance(targets, torch.Tensor):
        return (targets, targets, None) if targets.ndim == 3 else None
    if isinstance(targets, tuple) and getattr(targets, "_fields", ()) == (
        "own",
        "partner",
        "share",
    ):
        own, partner, share = targets
        return own, partner, share
    return None


def mask_cross_entropy(
    logits: torch.Tensor, masks: Pair, reduction: str, label_smoothing: float, ignore_index: int
) -> torch.Tensor:
    """Return the loss of logits `[B, K, H, W]` and masks `[B, H, W]`: see `soft_cross_entropy`."""
    own, partner, share = masks
    _check(logits, masks, reduction, label_smoothing, ignore_index)
    logits = logits.float()

    def loss(mask: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, mask, reduction="none", ignore_index=ignore_index,
                               label_smoothing=label_smoothing)  # fmt: skip

    known = (own != ignore_index).float()
    value = loss(own)
    if share is not None:
        part = share.to(logits.device, torch.float32)[:, None, None]
        value = part * value + (1 - part) * loss(partner)
        known = part * known + (1 - part) * (partner != ignore_index).float()
    if reduction == "none":
        return value
    if reduction == "sum":
        return value.sum()
    return value.sum() / known.sum().clamp(min=torch.finfo(torch.float32).tiny)


def _check(
    logits: torch.Tensor, masks: Pair, reduction: str, label_smoothing: float, ignore_index: int
) -> None:
    own, partner, _ = masks
    if reduction not in ("mean", "sum", "none"):
        raise InputError(f"reduction={reduction!r} is unknown: use 'mean', 'sum' or 'none'")
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing={label_smoothing!r} is not in [0, 1): use 0.1, or 0")
    shape = tuple(own.shape)
    if logits.ndim != 4 or (len(logits), *logits.shape[2:]) != shape or partner.shape != own.shape:
        raise InputError(
            f"logits of shape {tuple(logits.shape)} do not fit masks of shape {shape}: give "
            "[B, K, H, W] for [B, H, W]"
        )
    if own.dtype != torch.int64 or partner.dtype != torch.int64:
        raise InputError(f"masks of {own.dtype} are not numbers of classes: give int64")
    if own.device.type == "cpu":  # elsewhere a look at values would wait for the device
        for mask in (own, partner):
            wrong = ((mask < 0) | (mask >= logits.shape[1])) & (mask != ignore_index)
            if bool(wrong.any()):
                number = int(mask[wrong][0])
                raise InputError(
                    f"a mask has the number {number}, which is not in [0, {logits.shape[1]}), the "
                    f"classes of the logits, and is not ignore_index={ignore_index}: give the "
                    "model as many outputs, or another ignore_index"
                )


__all__ = ["mask_cross_entropy", "mask_pair"]
