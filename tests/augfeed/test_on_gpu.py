"""The checks that need an NVIDIA GPU, one test each."""

import pytest
import torch

from tests.augfeed.gpu_checks import CHECKS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", CHECKS)
def test_on_a_gpu(name: str) -> None:
    try:
        CHECKS[name]()
    except LookupError as missing:
        pytest.skip(str(missing))
