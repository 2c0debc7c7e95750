"""Devices: one that is not there is an error that names it."""

import pytest
import torch

from augfeed.engines import indexed
from augfeed.errors import InputError


@pytest.mark.parametrize("error", [AssertionError, RuntimeError])
def test_a_gpu_that_is_not_there_is_said(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> int:
        raise error("Torch not compiled with CUDA enabled")

    monkeypatch.setattr("torch.cuda.current_device", missing)
    with pytest.raises(InputError, match=r"device='cuda' cannot be used here \(Torch not compiled"):
        indexed(torch.device("cuda"))
