import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """Let the collections before each measured pass look at what the benchmark made alone."""
    gc.freeze()
