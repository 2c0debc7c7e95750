import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.errors import InputError, InputTypeError
from augfeed.plan import NONE, BatchRows, Plan, draw_plan
from augfeed.policy import CutMix, HorizontalFlip, LabelSmoothing, Mixup, OneOf, Policy
from augfeed.targets import Targets, make_targets, soft_cross_entropy, softens

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
    epsilon=st.sampled_from([0.0, 0.1, 0.7]),
    count=st.integers(1, 20),
    classes=st.integers(1, 7),
    epoch=st.integers(0, 99),
)
def test_rows_are_the_mixed_and_smoothed_one_hot_rows_of_the_plan(
    mixer: str, epsilon: float, count: int, classes: int, epoch: int
) -> None:
    plan = plan_of(policy(mixer, epsilon), count, epoch=epoch)
    labels = torch.arange(len(plan.ids)) % classes
    dense = rows(labels, plan, num_classes=classes, form="dense")
    assert dense.dtype == torch.float32
    assert dense.shape == (count, classes)
    torch.testing.assert_close(dense, oracle(labels, plan, classes, epsilon), atol=1e-6, rtol=0)
    torch.testing.assert_close(dense.sum(dim=1), torch.ones(count), atol=3e-7, rtol=0)
    assert (dense >= 0).all()


def test_mixing_two_of_one_class_adds_their_shares() -> None:
    plan = plan_of(policy("mixup"), 8)
    dense = rows(torch.full((8,), 2), plan, num_classes=4)
    assert torch.equal(dense, F.one_hot(torch.full((8,), 2), 4).float())


def test_partners_outside_the_batch_give_their_labels() -> None:
    order = np.arange(100, 116)
    kept = BatchRows.at(np.array([2, 9]), order, mixing=True)
    plan = draw_plan(policy("cutmix"), kept, seed=0, epoch=0, size=SIZE)
    assert (plan.mixes.partner[:2] >= 2).all()
    dense = rows(torch.from_numpy(plan.ids - 100), plan, num_classes=16)
    for row in range(2):
        other = int(plan.ids[plan.mixes.partner[row]] - 100)
        lam = float(plan.mixes.lam[row])
        assert 0 < lam < 1
        assert float(dense[row, int(plan.ids[row]) - 100]) == lam
        assert float(dense[row, other]) == pytest.approx(1 - lam, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 20), epoch=st.integers(0, 99))
def test_share_of_the_partner_is_the_share_of_its_pixels(count: int, epoch: int) -> None:
    plan = plan_of(policy("cutmix"), count, epoch=epoch)
    targets = sparse(torch.arange(len(plan.ids)), plan)
    for row in range(count):
        image = np.full(SIZE, 1)
        top, left, bottom, right = plan.mixes.patch[row]
        image[top:bottom, left:right] = 0
        assert float(targets.lam[row]) == np.float32(image.mean())


@pytest.mark.parametrize(
    ("operations", "soft"),
    [
        ([], False),
        ([HorizontalFlip()], False),
        ([LabelSmoothing(0.0)], False),
        ([LabelSmoothing(0.1)], True),
        ([Mixup(p=0.0)], True),
        ([CutMix()], True),
        ([OneOf((Mixup(),))], True),
    ],
    ids=str,
)
def test_policy_alone_decides_what_kind_of_targets_come_out(
    operations: list[Any], soft: bool
) -> None:
    chosen = Policy(operations)
    assert softens(chosen) == soft
    for count in (1, 8):  # a batch of one has nobody to mix with
        made = rows(torch.arange(count) % 3, plan_of(chosen, count), num_classes=3)
        assert made.dtype == (torch.float32 if soft else torch.int64)
        assert made.shape == ((count, 3) if soft else (count,))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.bool])
def test_integer_labels_of_any_width_are_classes(dtype: torch.dtype) -> None:
    labels = torch.tensor([0, 1, 1]).to(dtype)
    made = rows(labels, plan_of(Policy(), 3))
    assert made.dtype == torch.int64
    assert made.tolist() == [0, 1, 1]
    assert torch.equal(rows(labels.numpy(), plan_of(Policy(), 3)), made)
    assert torch.equal(rows([0, 1, 1], plan_of(Policy(), 3)), made)


def test_no_labels_stay_none() -> None:
    assert make_targets(None, plan_of(policy("mixup"), 3), num_classes=3) is None


def test_soft_labels_are_mixed_and_smoothed() -> None:
    plan = plan_of(policy("mixup", 0.2), 8)
    labels = torch.softmax(torch.linspace(-2, 3, 40).reshape(8, 5).sin() * 3, dim=1)
    dense = rows(labels.double(), plan)
    assert dense.dtype == torch.float32
    lam = torch.from_numpy(plan.mixes.lam)[:, None]
    other = labels[torch.from_numpy(plan.mixes.partner).long()]
    expected = 0.8 * (lam * labels + (1 - lam) * other) + 0.2 / 5
    torch.testing.assert_close(dense, expected, atol=1e-6, rtol=0)


def test_soft_labels_pass_unchanged_where_nothing_softens() -> None:
    labels = torch.softmax(torch.eye(4), dim=1)
    assert torch.equal(rows(labels, plan_of(Policy(), 4)), labels)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_several_classes_at_once_are_smoothed_towards_one_half(dtype: torch.dtype) -> None:
    labels = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 1, 0]]).to(dtype)
    made = rows(labels, plan_of(policy("none", 0.2), 3))
    torch.testing.assert_close(made, labels.float() * 0.8 + 0.1)
    assert torch.equal(rows(labels, plan_of(Policy(), 3)), labels.float())


def test_row_that_is_not_mixed_ignores_its_partner() -> None:
    plan = plan_of(Policy([Mixup(p=0.5)]), 16)
    plain = plan.mixes.mode == NONE
    assert 0 < plain.sum() < 16
    targets = sparse(torch.arange(16), plan)
    assert torch.equal(targets.a[plain], targets.b[plain])
    assert (targets.a[~plain] != targets.b[~plain]).all()


def test_targets_do_not_share_memory_with_the_labels() -> None:
    for chosen in (Policy(), policy("mixup")):
        labels = torch.arange(4)
        made = make_targets(labels, plan_of(chosen, 4), num_classes=4, form="sparse")
        labels += 1
        assert isinstance(made, Targets)
        assert made.a.tolist() == [0, 1, 2, 3]


def test_numbers_that_are_no_classes_pass_only_where_nothing_softens() -> None:
    labels = torch.tensor([0.5, -3.0])
    assert torch.equal(rows(labels, plan_of(Policy(), 2)), labels)
    with pytest.raises(InputTypeError, match=r"float32 and shape \(2,\) cannot be mixed"):
        rows(labels, plan_of(policy("mixup"), 2), num_classes=3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], r"label 3 of row 2 \(sample 52\) is not in \[0, 3\)"),
        ([0, -1, 9], r"label -1 of row 1 \(sample 51\) is not in \[0, 3\): number the classes"),
        ([0, 1], r"shape \(2,\) are not one for each of the 3 rows"),
        (7, r"shape \(\) are not one for each of the 3 rows"),
        ([[0.5, 0.5]] * 3, r"have 2 classes and num_classes=3"),
        ([[1, 0, 0], [0, 2, 0], [0, 0, 1]], r"label \[0.0, 2.0, 0.0\] of row 1 .* not 0 or 1"),
        ([[0.5, 0.5, 0.5]] * 3, r"of row 0 \(sample 50\) does not sum to 1"),
        ([[0.5, 0.5, float("nan")]] * 3, r"does not sum to 1"),
        (["a", "b", "c"], r"labels of dtype <U1 are not numbers"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_are_refused(labels: Any, message: str) -> None:
    rows_ = BatchRows.of([50, 51, 52])
    plan = draw_plan(policy("mixup", 0.1), rows_, seed=0, epoch=0, size=SIZE)
    with pytest.raises(InputError, match=message):
        make_targets(labels, plan, num_classes=3)


def test_negative_class_is_refused_without_a_number_of_classes_too() -> None:
    with pytest.raises(InputError, match=r"label -100 of row 1 .* is not at least 0"):
        sparse([0, -100], plan_of(policy("mixup"), 2))
    with pytest.raises(InputError, match=r"label -100 of row 1 .* is not in \[0, 3\)"):
        rows([0, -100], plan_of(Policy(), 2), form="dense", num_classes=3)


def test_what_is_not_softened_may_be_no_class() -> None:
    assert rows([0, -100], plan_of(Policy(), 2)).tolist() == [0, -100]
    targets = sparse([0, -1], plan_of(Policy(), 2), num_classes=2)
    assert targets.labels().tolist() == [0, -1]
    with pytest.raises(InputError, match="label -1 is not a class"):
        targets.dense()
    with pytest.raises(InputError, match="label -1 is not a class"):
        soft_cross_entropy(torch.zeros(2, 2), targets)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_flags_of_one_class_each_are_shares_unless_the_dataset_says_otherwise(dtype: Any) -> None:
    flags, plan = torch.eye(3).to(dtype), plan_of(policy("none", 0.2), 3)
    assert torch.allclose(rows(flags, plan).sum(dim=1), torch.ones(3))
    assert torch.allclose(rows(flags, plan, several=True), flags * 0.8 + 0.1)
    assert not sparse(flags, plan).multi_hot and sparse(flags, plan, several=True).multi_hot
    with pytest.raises(InputError, match=r"label \[1.*\] of row 1 .* has not one class set"):
        rows(flags | torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 0]]).to(dtype), plan, several=False)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8])
def test_a_column_of_numbers_is_class_numbers(dtype: Any) -> None:
    column = torch.tensor([[1], [0], [1]]).to(dtype)
    for chosen in (Policy(), policy("mixup", 0.1)):
        plan = plan_of(chosen, 3)
        assert torch.equal(rows(column, plan, num_classes=4), rows([1, 0, 1], plan, num_classes=4))


def test_not_finite_shares_are_refused() -> None:
    with pytest.raises(InputError, match="is not finite"):
        rows([[0.0, float("inf")]], plan_of(Policy(), 1))


@pytest.mark.parametrize("wrong", [[2.0, 0.0], [-1.0, 0.0], [0.0, 1.01], [255.0, 255.0]])
def test_what_is_not_shares_is_not_mixed(wrong: list[float]) -> None:
    plan = plan_of(policy("mixup", 0.0), 2)
    with pytest.raises(InputError, match=r"of row 1 \(sample 1\) is not in \[0, 1\]"):
        rows([[1.0, 0.0], wrong], plan)
    assert rows([[1.0, 0.0], [1.0004, 0.0]], plan).shape == (2, 2)  # rounding of a float16


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("count", [0, 1, 7001])
def test_rows_of_shares_have_the_bits_that_operations_of_torch_give(
    count: int, epsilon: float
) -> None:
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.integers(0, 9, count)) for _ in range(2))
    lam = torch.from_numpy(rng.random(count, np.float32))
    shares = torch.zeros(count, 9)
    shares.scatter_add_(1, a[:, None], lam[:, None])
    shares.scatter_add_(1, b[:, None], 1 - lam[:, None])
    if epsilon:
        shares.mul_(1 - epsilon).add_(epsilon / 9)
    made = Targets(a, b, lam, epsilon, 9).dense()
    assert made.dtype == torch.float32
    assert torch.equal(made, shares)


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_label_without_a_column_is_refused_by_name(which: str) -> None:
    labels = {"a": torch.tensor([0, 1]), "b": torch.tensor([1, 0])}
    labels[which] = torch.tensor([1, 5])
    with pytest.raises(InputError, match=r"label 5 is not in \[0, 3\).*num_classes=3"):
        Targets(labels["a"], labels["b"], torch.tensor([0.5, 1.0]), num_classes=3).dense()


def test_dense_rows_of_classes_need_their_number() -> None:
    plan = plan_of(policy("mixup"), 3)
    with pytest.raises(InputError, match=r"num_classes=None .* give num_classes"):
        make_targets([0, 1, 2], plan)
    assert isinstance(make_targets([0, 1, 2], plan, form="sparse"), Targets)


def test_rows_that_no_memory_holds_are_refused() -> None:
    plan = plan_of(policy("mixup"), 2)
    with pytest.raises(InputError, match=r"num_classes=1000000000000 is above 10,000,000"):
        make_targets([0, 2**30], plan, num_classes=10**12)
    assert isinstance(make_targets([0, 2**30], plan, form="sparse", num_classes=2**31), Targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "onehot"}, "form='onehot' is unknown: use 'auto'"),
        ({"num_classes": 0}, "num_classes=0 is not positive"),
    ],
    ids=str,
)
def test_unknown_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_targets([0], plan_of(Policy(), 1), **options)


def test_largest_share_names_the_class() -> None:
    targets = Targets(torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([0.4, 0.6]))
    assert targets.labels().tolist() == [2, 1]
    soft = Targets(torch.eye(3), torch.eye(3).roll(1, 0), torch.tensor([0.4, 0.6, 1.0]))
    assert soft.labels().tolist() == [2, 1, 2]


def test_hard_says_whether_nothing_was_softened() -> None:
    labels = list(range(8))
    assert sparse(labels, plan_of(Policy(), 8)).hard
    assert sparse(labels, plan_of(Policy([Mixup(p=0.0)]), 8)).hard
    assert not sparse(labels, plan_of(policy("mixup"), 8)).hard
    smoothed = sparse(labels, plan_of(policy("none", 0.1), 8))
    assert not smoothed.hard
    assert smoothed.is_smoothed


def test_targets_move_as_one() -> None:
    targets = sparse([0, 1, 2], plan_of(policy("cutmix", 0.1), 3), num_classes=3)
    moved = targets.to("meta", non_blocking=True)
    assert {part.device.type for part in (moved.a, moved.b, moved.lam)} == {"meta"}
    assert (moved.epsilon, moved.num_classes, len(moved)) == (0.1, 3, 3)
    copied = copy.deepcopy(targets)
    assert torch.equal(copied.dense(torch.float64), targets.dense(torch.float64))
    assert targets.dense(torch.bfloat16).dtype == torch.bfloat16


def policy(mixer: str, epsilon: float = 0.0) -> Policy:
    smoothing = [LabelSmoothing(epsilon)] if epsilon else []
    return Policy([item for item in (MIXERS[mixer], *smoothing) if item])


def plan_of(chosen: Policy, count: int, epoch: int = 0) -> Plan:
    return draw_plan(chosen, BatchRows.of(np.arange(count)), seed=3, epoch=epoch, size=SIZE)


def rows(labels: Any, plan: Plan, **options: Any) -> torch.Tensor:
    made = make_targets(labels, plan, **options)
    assert isinstance(made, torch.Tensor)
    return made


def sparse(labels: Any, plan: Plan, **options: Any) -> Targets:
    made = make_targets(labels, plan, form="sparse", **options)
    assert isinstance(made, Targets)
    return made


def oracle(labels: torch.Tensor, plan: Plan, classes: int, epsilon: float) -> torch.Tensor:
    """Return the rows by the papers' definitions, one at a time."""
    out = torch.zeros(plan.count, classes, dtype=torch.float64)
    for row in range(plan.count):
        lam = float(plan.mixes.lam[row])
        own = F.one_hot(labels[row], classes).double()
        other = F.one_hot(labels[int(plan.mixes.partner[row])], classes).double()
        mixed = own if plan.mixes.mode[row] == NONE else lam * own + (1 - lam) * other
        out[row] = (1 - epsilon) * mixed + epsilon / classes
    return out.float()
