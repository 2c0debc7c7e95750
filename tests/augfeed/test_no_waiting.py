"""Targets and boxes of a batch on a device are made there, and the host waits for nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed import parse_policy
from augfeed.fields.whole_batches import DeviceMoves
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.targets import Targets, make_targets
from tests.waiting_for_devices import NOWHERE, WaitingError, waiting_is_an_error

POLICIES = ("hflip", "cutmix(1.0, p=1.0)", "mixup(0.4) | label_smoothing(0.1)")


def plan_for(policy: str) -> Plan:
    ids = np.arange(8)
    rows = BatchRows(ids, ids // 8, ids % 8, 8, 0)
    return draw_plan(parse_policy(policy), rows, seed=3, epoch=1, size=(12, 10))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("form", ["auto", "dense", "sparse"])
@pytest.mark.parametrize("labels", [
    torch.empty(8, dtype=torch.int64, device=NOWHERE), torch.empty(8, 5, device=NOWHERE),
    torch.empty(8, 1, dtype=torch.int32, device=NOWHERE),
], ids=["numbers", "shares", "column"])  # fmt: skip
def test_targets_on_a_device_wait_for_nothing(policy: str, form: Any, labels: torch.Tensor) -> None:
    plan = plan_for(policy)
    with waiting_is_an_error():
        made = make_targets(labels, plan, num_classes=5, form=form)
        made = made.dense() if isinstance(made, Targets) else made
    assert isinstance(made, torch.Tensor) and made.device == NOWHERE and len(made) == 8


@pytest.mark.parametrize("policy", ["hflip", "random_resized_crop(9)", "perspective(0.4, p=1.0)"])
def test_boxes_on_a_device_wait_for_nothing(policy: str) -> None:
    boxes = torch.empty(8, 3, 4, device=NOWHERE)
    with waiting_is_an_error():
        made, valid = DeviceMoves.of(plan_for(policy), (12, 10), 3).boxes(boxes)
    assert made.shape == (8, 3, 4) and valid.shape == (8, 3)


@pytest.mark.parametrize("read", [
    lambda there: int(there.max()), lambda there: there.nonzero(),
    lambda there: there[torch.tensor([0, 2])],
    lambda there: there.cpu(), lambda there: torch.zeros(3).to(there.device),
])  # fmt: skip
def test_waiting_is_seen(read: Any) -> None:
    with pytest.raises(WaitingError), waiting_is_an_error():
        read(torch.empty(3, device=NOWHERE))
