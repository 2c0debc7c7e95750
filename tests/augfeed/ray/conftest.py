"""A cluster for the tests that change nothing of it."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes, which ends with the module: a process is in one at a time."""
    from tests.augfeed.ray.clusters import cluster

    with cluster(2) as made:
        yield made
