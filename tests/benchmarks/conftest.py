import gc
from collections.abc import Iterator

import pytest

from benchmarks import data


@pytest.fixture(scope="package", autouse=True)
def small_photos() -> Iterator[None]:
    """Let photographs that are made be few and small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "FILES", 64)
        patch.setattr(data, "PHOTO_SIZE", (100, 75))
        yield


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """Let the collections before each measured pass look at what the benchmark made alone."""
    gc.freeze()
