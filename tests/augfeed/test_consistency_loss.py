"""The loss of AugMix against its formula, as timm writes it."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import augfeed
from augfeed import Targets
from augfeed.errors import InputError

ROWS, CLASSES = 5, 4


def plain(logits: torch.Tensor, labels: torch.Tensor, splits: int, smoothing: float) -> Any:
    """What timm's JsdCrossEntropy computes, written down again."""
    parts = torch.split(logits, len(logits) // splits)
    log_p = F.log_softmax(parts[0], dim=1)
    nll = -log_p.gather(1, labels[: len(parts[0]), None]).squeeze(1)
    loss = ((1 - smoothing) * nll + smoothing * -log_p.mean(dim=1)).mean()
    shares = [F.softmax(part, dim=1) for part in parts]
    log_mixture = torch.clamp(torch.stack(shares).mean(dim=0), 1e-7, 1).log()
    apart = [F.kl_div(log_mixture, share, reduction="batchmean") for share in shares]
    return loss + 12 * sum(apart) / len(shares)


def given(splits: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(splits * ROWS, CLASSES, generator=generator)
    return logits.requires_grad_(), torch.arange(ROWS) % CLASSES


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("splits", [2, 3, 5])
def test_the_loss_and_its_slope_are_those_of_the_formula(splits: int, smoothing: float) -> None:
    logits, labels = given(splits)
    made = augfeed.jsd_loss(logits, labels, splits=splits, label_smoothing=smoothing)
    wanted = plain(logits, labels, splits, smoothing)
    torch.testing.assert_close(made, wanted)
    slopes = [torch.autograd.grad(loss, logits)[0] for loss in (made, wanted)]
    torch.testing.assert_close(*slopes)


def test_targets_may_be_of_all_rows_or_of_the_clean_ones_in_any_form() -> None:
    logits, labels = given(3)
    wanted = augfeed.jsd_loss(logits, labels)
    lam = torch.ones(ROWS)
    for targets in (labels.repeat(3), F.one_hot(labels, CLASSES).float(),
                    Targets(labels, labels, lam)):  # fmt: skip
        torch.testing.assert_close(augfeed.jsd_loss(logits, targets), wanted)


def test_equal_answers_cost_the_cross_entropy_alone_and_any_other_cost_more() -> None:
    logits, labels = given(2)
    same = logits[:ROWS].repeat(3, 1)
    torch.testing.assert_close(augfeed.jsd_loss(same, labels), F.cross_entropy(same[:ROWS], labels))
    others = torch.cat([same[: 2 * ROWS], logits[ROWS:]])
    assert augfeed.jsd_loss(others, labels) > augfeed.jsd_loss(same, labels)


def test_certain_and_contrary_answers_have_a_finite_loss_in_half_precision() -> None:
    logits = torch.zeros(6, 3, dtype=torch.bfloat16)
    logits[:2, 0], logits[2:4, 1], logits[4:, 2] = 300, 300, 300
    loss = augfeed.jsd_loss(logits.requires_grad_(), torch.zeros(2, dtype=torch.int64))
    assert torch.isfinite(loss) and loss.dtype == torch.float32
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


@pytest.mark.parametrize(
    ("rows", "count", "options", "message"),
    [
        (7, 2, {}, r"shape \(7, 4\) are not splits=3 groups"),
        (0, 0, {}, r"shape \(0, 4\) are not splits=3 groups"),
        (6, 3, {}, "3 targets do not fit 3 x 2 rows of logits: give those of the 2 clean"),
        (6, 6, {"splits": 1}, "splits=1 and alpha=12.0: give 2 splits or more"),
        (6, 6, {"alpha": float("nan")}, "alpha=nan: give 2 splits or more and a weight"),
    ],
)
def test_what_does_not_fit_is_refused(rows: int, count: int, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        augfeed.jsd_loss(torch.zeros(rows, 4), torch.zeros(count, dtype=torch.int64), **options)
