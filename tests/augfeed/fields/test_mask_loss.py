"""The cross-entropy of masks and of mixed masks."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from augfeed import soft_cross_entropy
from augfeed.errors import InputError
from augfeed.fields import MixedMask

LOGITS = torch.sin(torch.arange(2 * 5 * 3 * 4.0)).reshape(2, 5, 3, 4)
OWN = (torch.arange(24) % 5).reshape(2, 3, 4)
PARTNER = (torch.arange(24) * 3 % 5).reshape(2, 3, 4)
SHARE = torch.tensor([0.25, 1.0])


def ignored(mask: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.arange(24).reshape(2, 3, 4) % 7 == 0, 255, mask)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mask_is_that_of_torch(reduction: Any, smoothing: float) -> None:
    given: Any = {"reduction": reduction, "label_smoothing": smoothing}
    mask = ignored(OWN)
    want = F.cross_entropy(LOGITS, mask, ignore_index=255, **given)
    assert torch.allclose(soft_cross_entropy(LOGITS, mask, **given), want)
    same = MixedMask(mask, mask, SHARE)
    assert torch.allclose(soft_cross_entropy(LOGITS, same, **given), want)


def test_the_losses_of_two_masks_count_by_their_shares() -> None:
    mixed = MixedMask(OWN, PARTNER, SHARE)
    own, partner = (F.cross_entropy(LOGITS, mask, reduction="none") for mask in (OWN, PARTNER))
    part = SHARE[:, None, None]
    want = part * own + (1 - part) * partner
    assert torch.allclose(soft_cross_entropy(LOGITS, mixed, reduction="none"), want)
    assert torch.allclose(soft_cross_entropy(LOGITS, mixed), want.mean())


def test_what_one_mask_ignores_counts_only_in_the_other() -> None:
    mixed = MixedMask(torch.full_like(OWN, 255), PARTNER, torch.tensor([0.25, 0.25]))
    assert torch.allclose(soft_cross_entropy(LOGITS, mixed), F.cross_entropy(LOGITS, PARTNER))
    nothing = torch.full_like(OWN, 255)
    assert soft_cross_entropy(LOGITS, nothing) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": LOGITS[:, :, :2]}, "do not fit masks of shape"),
        ({"logits": LOGITS[0]}, "do not fit masks"),
        ({"targets": OWN.int()}, "masks of torch.int32"),
        ({"targets": OWN + 2}, r"the number 5, which is not in \[0, 5\)"),
        ({"targets": OWN - 1}, "the number -1"),
        ({"reduction": "all"}, "reduction='all'"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
    ],
)
def test_what_has_no_loss_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft_cross_entropy(**{"logits": LOGITS, "targets": OWN, **change})
