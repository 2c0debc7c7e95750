"""Workers of an iterator that an error leaves to the collector of garbage end by themselves."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, k: int) -> Any:
        if k == 9:
            raise ValueError("sample 9 is broken")
        return torch.zeros(3, 8, 8), k


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("policy", [None, "hflip"])
def test_workers_end_by_themselves_when_an_error_refers_to_itself(
    policy: str | None, persistent: Any
) -> None:
    def failed() -> list[Any]:
        loader = DataLoader(
            Broken(), 4, policy=policy, num_workers=2, persistent_workers=persistent
        )
        for _ in range(1 + persistent):
            batches = iter(loader)
            workers = list(batches._workers)
            with pytest.raises(ValueError, match="sample 9 is broken"):
                list(batches)
        return workers

    gc.collect()
    gc.disable()
    try:
        workers = failed()
    finally:
        gc.enable()
    stopped: list[int] = []

    def noted(stop: Callable[[], None]) -> Callable[[], None]:
        def stopping() -> None:
            stopped.append(1)
            stop()

        return stopping

    for worker in workers:
        worker.terminate = noted(worker.terminate)
    gc.collect()
    assert not any(worker.is_alive() for worker in workers)
    assert stopped == []  # torch stops those that have not ended after some seconds
