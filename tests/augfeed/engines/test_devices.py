"""Devices: one chooses the engine, and one that is not there is an error that names it."""

import numpy as np
import pytest
import torch

from augfeed import DataLoader
from augfeed.engines import engine_for, indexed
from augfeed.errors import InputError


def test_engine_is_chosen_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_for("cpu").name == "cpu"
    monkeypatch.setattr("augfeed.engines.usable_device", torch.device)  # as if it were there
    assert engine_for("mps").name == "portable"


@pytest.mark.parametrize("error", [AssertionError, RuntimeError])
def test_a_gpu_that_is_not_there_is_said(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> int:
        raise error("Torch not compiled with CUDA enabled")

    monkeypatch.setattr("torch.cuda.current_device", missing)
    with pytest.raises(InputError, match=r"device='cuda' cannot be used here \(Torch not compiled"):
        indexed(torch.device("cuda"))


@pytest.mark.parametrize("count", [0, 2])
def test_a_gpu_beyond_the_last_one_is_said(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    with pytest.raises(
        InputError, match=rf"device='cuda:2' cannot be used here \(there are {count}"
    ):
        indexed(torch.device("cuda", 2))
    loader = DataLoader((np.zeros((2, 4, 4, 3), np.uint8), [0, 1]), policy="", device="cuda:2")
    with pytest.raises(InputError, match="device='cuda:2' cannot be used here"):
        next(iter(loader))
