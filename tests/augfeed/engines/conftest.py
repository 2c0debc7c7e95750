from typing import cast

import pytest

from tests.cases import ENGINES

# Where Triton does not exist (macOS) its engine is left out of ENGINES, and its own tests here.
OWN = ["test_cuda.py", "test_cuda_budget.py", "test_cuda_compiled.py"]
collect_ignore = [] if "cuda" in ENGINES else OWN


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of each engine that runs on the CPU."""
    return cast(str, request.param)
