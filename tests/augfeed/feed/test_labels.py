"""Labels in the general lane: what becomes targets, what passes through, what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError
from augfeed.targets import Targets
from tests.augfeed.feed.test_general import (
    COUNT,
    LABELS,
    MIXED,
    PIXELS,
    PLAIN,
    Samples,
    assert_same,
    batches,
    chw,
    native,
    pair,
)
from tests.augfeed.test_torch_batches import same

SMOOTHED = "label_smoothing(0.1)"
ONE_HOT = torch.eye(5)[LABELS]

# The same five classes in every way that a dataset may say them.
CLASSES: dict[str, Callable[[int], Any]] = {
    "int": int,
    "NumPy integer": np.int64,
    "small NumPy integer": np.uint8,
    "tensor": torch.tensor,
    "small tensor": lambda label: torch.tensor(label, dtype=torch.int16),
    "array without dimensions": np.array,
    "one-hot floats": lambda label: torch.eye(5)[label],
    "one-hot array": lambda label: np.eye(5)[label],
    "one-hot half": lambda label: torch.eye(5, dtype=torch.float16)[label],
}


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(sorted(CLASSES)),
    policy=st.sampled_from([MIXED, SMOOTHED, "cutmix(1.0) | label_smoothing(0.1)"]),
    batch_size=st.sampled_from([5, 8, 12]),
    targets=st.sampled_from(["auto", "dense"]),
)
def test_classes_in_any_writing_make_the_same_targets(
    name: str, policy: str, batch_size: int, targets: Any
) -> None:
    data = Samples(lambda p, label: (p, CLASSES[name](label)), chw)
    assert_same(batches(data, batch_size, policy, targets=targets), native(batch_size, policy))


@pytest.mark.parametrize("label", [lambda k: torch.full((5,), 0.2) * k, lambda k: [k == 1] * 5])
def test_shares_are_mixed_as_the_native_lane_mixes_them(label: Callable[[int], Any]) -> None:
    rows = [torch.as_tensor(label(int(k))) for k in LABELS]
    data = Samples(lambda p, k: (p, torch.as_tensor(label(k))), chw)
    whole = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), torch.stack(rows))
    assert DataLoader(whole, policy=MIXED).lane == "native"
    for size in (8, 12):
        assert_same(batches(data, size), batches(whole, size))


UNTOUCHED: dict[str, Callable[[int], Any]] = {
    **CLASSES,
    "bool": bool,
    "float": float,
    "NumPy float": np.float32,
    "text": str,
    "below zero": lambda label: -1,
    "several classes": lambda label: torch.tensor([True, False, label > 2]),
    "list": lambda label: [label, 1.5, "x"],
    "dict": lambda label: {"coarse": label, "fine": (label, "x")},
    "mask": lambda label: torch.full((3, 4), label),
    "array of rank 3": lambda label: np.full((2, 2, 2), label),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_no_policy_softens_comes_as_torch_collates_it(name: str) -> None:
    data = Samples(lambda p, label: (p, UNTOUCHED[name](label)), chw)
    stock = list(torch.utils.data.DataLoader(data, 8))
    for found, other in zip(batches(data, 8, PLAIN, shuffle=False), stock, strict=True):
        assert same(found[1], other[1])


WRONG: dict[str, tuple[Callable[[int], Any], str]] = {
    "text": (str, r"label of sample 0 is a str \('0'\).*class numbers from 0"),
    "none": (lambda label: None, "label of sample 0 is a NoneType"),
    "one text": (lambda label: label if label != 3 else "x", "label of sample 3 is a str"),
    "one none": (lambda label: label if label != 2 else None, "label of sample 2 is a NoneType"),
    "widths": (lambda label: torch.ones(2 + (label == 4)), r"sample 4 is a Tensor \[3\]"),
    "floats": (float, "cannot be mixed or smoothed: give integers"),
    "mask": (lambda label: torch.ones(3, 4), "cannot be mixed or smoothed"),
    "below zero": (lambda label: -label, "number the classes from 0"),
    "beyond": (lambda label: label + 1, r"not in \[0, 5\)"),
    "width": (lambda label: torch.eye(6)[label], "have 6 classes and num_classes=5"),
    "list": (lambda label: [0, 1, 0], "say it with label_key"),
    "dict": (lambda label: {"coarse": label, "fine": label}, "say it with label_key"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("policy", [MIXED, SMOOTHED])
def test_a_label_that_cannot_be_softened_is_named(name: str, policy: str) -> None:
    label, message = WRONG[name]
    data = Samples(lambda p, k: (p, label(k)), chw)
    with pytest.raises(InputError, match=message):
        batches(data, policy=policy, shuffle=False)


def test_the_targets_asked_for_need_labels_as_well() -> None:
    data = Samples(lambda p, label: (p, str(label)), chw)
    with pytest.raises(InputTypeError, match="targets="):
        batches(data, policy=PLAIN, targets="dense")


@pytest.mark.parametrize("workers", [0, 1])
def test_sparse_targets_come_whole(workers: int) -> None:
    found = batches(Samples(pair, chw), 12, targets="sparse", num_workers=workers)
    for (images, targets), expected in zip(found, native(12), strict=True):
        assert isinstance(targets, Targets)
        assert len(targets) == len(images)
        assert torch.equal(targets.dense(), expected[1])


@pytest.mark.parametrize(
    ("policy", "targets"), [(MIXED, "auto"), (SMOOTHED, "auto"), (PLAIN, "dense"), (MIXED, "dense")]
)
def test_rows_of_unknown_width_ask_for_num_classes(policy: str, targets: str) -> None:
    held = [(chw(PIXELS[i]), int(LABELS[i])) for i in range(COUNT)]
    with pytest.raises(InputError, match="give num_classes"):
        batches(held, policy=policy, targets=targets)
    batches(held, policy=policy, targets="sparse")
    assert batches(held, policy=policy, targets=targets, num_classes=5)[0][1].shape == (8, 5)


def test_of_two_labels_one_is_asked_for() -> None:
    data = Samples(lambda p, label: (p, label, 7 - label), chw)
    with pytest.raises(InputError, match="label_key"):
        batches(data)
    found = batches(data, label_key=1, shuffle=False)
    assert_same([batch[:2] for batch in found], native(shuffle=False))
    assert found[0][2].tolist() == [7 - label for label in LABELS[:8].tolist()]


def test_a_label_that_one_sample_lacks_is_missed_there() -> None:
    class Lacking(Samples):
        def __getitem__(self, i: int) -> Any:
            sample: dict[str, Any] = super().__getitem__(i)
            return {"image": sample["image"]} if i == 6 else sample

    data = Lacking(lambda p, label: {"image": p, "label": label}, chw)
    with pytest.raises(InputError, match="label of sample 6 is not where"):
        batches(data, shuffle=False)


@pytest.mark.parametrize("name", ["label", "target", "y", "fine_label"])
def test_a_label_is_known_by_its_name(name: str) -> None:
    data = Samples(lambda p, label: {"id": 4, "image": p, name: label, "area": 9}, chw)
    assert_same([[b["image"], b[name]] for b in batches(data)], native())
