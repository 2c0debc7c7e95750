"""Policies that change by epoch, as a service takes them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from augfeed import parse_policy
from augfeed_service.plans import check_policy
from augfeed_service.problems import Problem
from tests.service.servers import Running, described

SETTINGS: Any = SimpleNamespace(kornia=())


def test_sizes_of_every_epoch_are_bounded() -> None:
    crop = "random_resized_crop(32) | rand_augment | cutmix"
    check_policy(parse_policy(f"{crop} | schedule(magnitude=[[0, 3]], mixing_until=9)"), SETTINGS)
    check_policy(parse_policy(f"{crop} | schedule(size=[[3, 64]])"), SETTINGS)
    with pytest.raises(Problem, match="65535 is above 16384"):
        check_policy(parse_policy(f"{crop} | schedule(size=[[3, 65535]])"), SETTINGS)


def test_a_plan_tells_the_size_of_each_epoch(running: Running) -> None:
    line = "random_resized_crop(24) | schedule(size=[[0, 12], [3, 16], [5, 24]])"
    plan = described("photos", line)
    told = json.loads(running.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical()).body)
    assert told["image_shape"] == [3, 12, 12]
    (tensor,) = told["tensors"]
    assert [(one["epoch"], one["image_shape"]) for one in tensor["shapes"]] == [
        (0, [3, 12, 12]), (3, [3, 16, 16]), (5, [3, 24, 24]),
    ]  # fmt: skip
    assert running.service.plans.get(plan.id).sample_bytes == 3 * 24 * 24
