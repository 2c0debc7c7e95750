"""The loss of AugMix: one answer for an image and for mixtures of it."""

import torch
import torch.nn.functional as F

from augfeed.errors import InputError
from augfeed.targets import Targets, soft_cross_entropy

LEAST = 1e-7  # of a class in the mixture, so that its logarithm is finite


def jsd_loss(
    logits: torch.Tensor,
    targets: torch.Tensor | Targets,
    *,
    splits: int = 3,
    alpha: float = 12.0,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the cross-entropy of clean images and `alpha` times a Jensen-Shannon divergence.

    AugMix (1912.02781), as timm's `JsdCrossEntropy`. `logits` `[splits * B, K]` are those of all
    clean images, then of all first mixtures of them, and so on, in the order of the images.
    `targets` are of the `B` clean images, or of all rows, of which the first `B` count: int64
    `[B]`, float `[B, K]`, or `Targets`. The divergence is the mean, over splits and images, of the
    Kullback-Leibler divergence (nats) from the mean of an image's `splits` distributions. Computed
    in float32; a number.

    Raises `InputError` for what is not of whole splits or does not fit, and for `splits` below 2 or
    an `alpha` below 0.
    """
    if splits < 2 or not alpha >= 0:
        raise InputError(
            f"splits={splits!r} and alpha={alpha!r}: give 2 splits or more and a weight from 0 on"
        )
    count, rest = divmod(len(logits), splits)
    if logits.ndim != 2 or rest or not count:
        raise InputError(
            f"logits of shape {tuple(logits.shape)} are not splits={splits} groups of as many "
            "rows: give [splits * B, K], all clean images first"
        )
    if len(targets) not in (count, len(logits)):
        raise InputError(
            f"{len(targets)} targets do not fit {splits} x {count} rows of logits: give those of "
            f"the {count} clean images, or of all {len(logits)} rows"
        )
    logits = logits.float()
    clean = soft_cross_entropy(logits[:count], targets[:count], label_smoothing=label_smoothing)
    # By logarithms, whose slope is finite also where a share is 0.
    shares = F.log_softmax(logits.reshape(splits, count, -1), dim=2)
    mixture = shares.exp().mean(dim=0).clamp(LEAST, 1.0).log()
    apart = F.kl_div(mixture.expand_as(shares), shares, reduction="sum", log_target=True)
    return clean + alpha * apart / (splits * count)
