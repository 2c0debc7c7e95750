"""Policies that change by epoch, as a service takes them."""

from types import SimpleNamespace
from typing import Any

import pytest

from augfeed import parse_policy
from augfeed_service.plans import check_policy
from augfeed_service.problems import Problem

SETTINGS: Any = SimpleNamespace(kornia=())


def test_sizes_that_change_by_epoch_are_refused_and_the_rest_is_taken() -> None:
    crop = "random_resized_crop(32) | rand_augment | cutmix"
    check_policy(parse_policy(f"{crop} | schedule(magnitude=[[0, 3]], mixing_until=9)"), SETTINGS)
    with pytest.raises(Problem, match="make a plan for each size"):
        check_policy(parse_policy(f"{crop} | schedule(size=[[3, 65535]])"), SETTINGS)
