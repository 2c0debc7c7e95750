from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.errors import InputError
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import CutMix, LabelSmoothing, Mixup, OneOf, Policy
from augfeed.targets import Targets, make_targets, soft_cross_entropy, target_entropy

SIZE = (9, 14)
MIXERS: dict[str, Any] = {
    "none": None,
    "mixup": Mixup(0.5, p=0.8),
    "cutmix": CutMix(),
    "drawn cutmix": CutMix(correct_lambda=False),
    "one for a batch": Mixup(per="batch"),
    "one_of": OneOf((Mixup(p=0.5), CutMix()), p=0.9),
}


@settings(max_examples=60, deadline=None)
@given(
    mixer=st.sampled_from(list(MIXERS)),
    epsilon=st.sampled_from([0.0, 0.1, 0.9]),
    count=st.integers(1, 12),
    classes=st.integers(1, 9),
    reduction=st.sampled_from(["mean", "sum", "none"]),
)
def test_loss_of_sparse_targets_is_that_of_their_rows(
    mixer: str, epsilon: float, count: int, classes: int, reduction: Any
) -> None:
    plan = plan_of(policy(mixer, epsilon), count)
    labels = torch.arange(len(plan.ids)) * 5 % classes
    targets = sparse(labels, plan, num_classes=classes)
    logits = (torch.arange(count * classes).reshape(count, classes) * 1.7).sin() * 4
    first, second = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = soft_cross_entropy(first, targets, reduction=reduction)
    dense = soft_cross_entropy(second, targets.dense(), reduction=reduction)
    torch.testing.assert_close(loss, dense, atol=1e-6, rtol=1e-6)
    expected = F.cross_entropy(logits, targets.dense(), reduction=reduction)
    torch.testing.assert_close(dense, expected, atol=1e-6, rtol=1e-6)
    (slope,), (expected,) = (
        torch.autograd.grad(value.sum(), at) for value, at in ((loss, first), (dense, second))
    )
    torch.testing.assert_close(slope, expected, atol=1e-6, rtol=1e-5)


def test_loss_of_soft_targets_is_that_of_their_rows() -> None:
    plan = plan_of(policy("mixup", 0.1), 8)
    targets = sparse(torch.softmax(torch.eye(8, 5), dim=1), plan)
    logits = (torch.arange(40.0).reshape(8, 5)).cos()
    loss = soft_cross_entropy(logits, targets)
    torch.testing.assert_close(loss, soft_cross_entropy(logits, targets.dense()))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_of_class_numbers_is_that_of_torch(smoothing: float) -> None:
    logits, labels = torch.arange(12.0).reshape(4, 3).sin(), torch.tensor([0, 2, 1, 1])
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    loss = soft_cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    wrapped = Targets(labels, labels, torch.ones(4))
    loss = soft_cross_entropy(logits, wrapped, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)


def test_smoothing_a_second_time_is_refused() -> None:
    targets = sparse([0, 1], plan_of(policy("none", 0.1), 2), num_classes=3)
    logits = torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"label_smoothing=0.2 would smooth .* by 0.1 already"):
        soft_cross_entropy(logits, targets, label_smoothing=0.2)
    with pytest.raises(InputError, match="cannot tell whether rows of shares are smoothed"):
        soft_cross_entropy(logits, targets.dense(), label_smoothing=0.2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_loss_of_half_precision_logits_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits = (torch.arange(30.0).reshape(3, 10).sin() * 5).to(dtype)
    targets = sparse([0, 1, 2], plan_of(policy("mixup", 0.1), 3), num_classes=10)
    loss = soft_cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, soft_cross_entropy(logits.float(), targets))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(soft_cross_entropy(logits, targets), loss)


def test_gradient_of_the_loss_is_the_shares_less_the_targets() -> None:
    targets = sparse([0, 1, 2, 3], plan_of(policy("cutmix", 0.1), 4), num_classes=5)
    logits = torch.arange(20.0).reshape(4, 5).sin().requires_grad_()
    (slope,) = torch.autograd.grad(soft_cross_entropy(logits, targets, reduction="sum"), logits)
    expected = torch.softmax(logits.detach(), dim=1) - targets.dense()
    torch.testing.assert_close(slope, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("logits", "options", "message"),
    [
        (torch.zeros(3, 4), {}, r"shape \(3, 4\) do not fit 2 targets"),
        (torch.zeros(2), {}, r"shape \(2,\) do not fit 2 targets: give \[B, K\]"),
        (torch.zeros(2, 5), {}, r"shape \(2, 5\) have 5 classes and the targets 4"),
        (torch.zeros(2, 4), {"reduction": "max"}, "reduction='max' is unknown"),
        (torch.zeros(2, 4), {"label_smoothing": 1.0}, r"label_smoothing=1.0 is not in \[0, 1\)"),
    ],
    ids=["batch", "rank", "classes", "reduction", "smoothing"],
)
@pytest.mark.parametrize("dense", [False, True])
def test_loss_of_what_does_not_fit_is_refused(
    logits: torch.Tensor, options: Any, message: str, dense: bool
) -> None:
    targets = sparse([0, 3], plan_of(Policy(), 2), num_classes=4)
    with pytest.raises(InputError, match=message):
        soft_cross_entropy(logits, targets.dense() if dense else targets, **options)


@pytest.mark.parametrize(
    "use",
    [
        lambda targets: soft_cross_entropy(torch.zeros(1, 3), targets),
        target_entropy,
        Targets.labels,
    ],
    ids=["loss", "entropy", "labels"],
)
def test_several_classes_at_once_are_no_distribution(use: Callable[[Targets], object]) -> None:
    targets = sparse(torch.tensor([[True, True, False]]), plan_of(Policy(), 1))
    with pytest.raises(InputError, match="multi-hot"):
        use(targets)


@settings(max_examples=60, deadline=None)
@given(
    mixer=st.sampled_from(list(MIXERS)),
    epsilon=st.sampled_from([0.0, 0.1]),
    count=st.integers(1, 12),
    classes=st.integers(1, 5),
)
def test_entropy_is_the_loss_of_a_model_that_predicts_the_targets(
    mixer: str, epsilon: float, count: int, classes: int
) -> None:
    plan = plan_of(policy(mixer, epsilon), count)
    targets = sparse(torch.arange(len(plan.ids)) % classes, plan, num_classes=classes)
    dense = targets.dense()
    floor = target_entropy(targets, reduction="none")
    torch.testing.assert_close(floor, target_entropy(dense, reduction="none"), atol=2e-6, rtol=1e-5)
    perfect = (dense + 1e-12).log()
    loss = soft_cross_entropy(perfect, targets)
    torch.testing.assert_close(target_entropy(targets), loss, atol=2e-6, rtol=1e-5)
    worse = soft_cross_entropy(perfect * 0.5, targets)
    assert worse >= loss - 1e-6


def test_class_numbers_have_no_entropy() -> None:
    assert target_entropy(torch.tensor([3, 1])) == 0
    assert target_entropy(torch.tensor([3, 1]), reduction="none").tolist() == [0, 0]


def policy(mixer: str, epsilon: float = 0.0) -> Policy:
    smoothing = [LabelSmoothing(epsilon)] if epsilon else []
    return Policy([item for item in (MIXERS[mixer], *smoothing) if item])


def plan_of(chosen: Policy, count: int, epoch: int = 0) -> Plan:
    return draw_plan(chosen, BatchRows.of(np.arange(count)), seed=3, epoch=epoch, size=SIZE)


def sparse(labels: Any, plan: Plan, **options: Any) -> Targets:
    made = make_targets(labels, plan, form="sparse", **options)
    assert isinstance(made, Targets)
    return made
