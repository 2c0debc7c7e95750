from typing import cast

import pytest

from tests.cases import ENGINES


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of each engine that runs on the CPU."""
    return cast(str, request.param)
