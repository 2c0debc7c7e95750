"""A service for the tests of the client that change nothing of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.servers import Running, digits, photos, serving


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Paths of two small datasets, by name."""
    root = tmp_path_factory.mktemp("data")
    return {"digits": digits(root), "photos": photos(root)}


@pytest.fixture(scope="session")
def running(data: dict[str, Path]) -> Iterator[Running]:
    """A service that holds both, and may be asked for by another name."""
    with serving(datasets=data, allowed_hosts=("service.test",)) as made:
        yield made
