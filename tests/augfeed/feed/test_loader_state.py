"""The state of a loader: typed, bound to one loader, and no reason for it to live on."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.errors import InputError

COUNT = 40


class Samples(Dataset[Any]):
    """Images that workers fetch."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return torch.full((3, 6, 6), i, dtype=torch.uint8), i % 3


def loader(lane: str, **options: Any) -> DataLoader[Any]:
    data: Any = Samples()
    if lane != "general":
        data = np.zeros((COUNT, 6, 6, 3), np.uint8), np.arange(COUNT) % 3
    if lane == "torch":
        data = Samples()
    given = {"seed": 1, "shuffle": True, **options}
    return DataLoader(data, 8, policy=None if lane == "torch" else "hflip | mixup(0.3)",
                      num_classes=3, **given)  # fmt: skip


LANES = ["torch", "general", "native"]
COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda made: pickle.loads(pickle.dumps(made)),
}


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_has_a_state_of_its_own(lane: str, how: str) -> None:
    made = loader(lane)
    assert made.lane == lane
    next(iter(made))
    again = COPIES[how](made)
    before = made.state_dict()
    assert again.state_dict() == before
    assert again._state.loader is again and made._state.loader is made
    again.set_epoch(7)
    again.shard = (0, 2)
    assert made.state_dict() == before and made.shard == "auto" == made._state.shard
    assert sum(len(batch[0]) for batch in made) == COUNT


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("begun", [False, True])
def test_a_loader_that_nobody_refers_to_is_gone_at_once(lane: str, begun: bool) -> None:
    """Workers that live on end with their loader, not when the collector comes round."""
    made = loader(lane)
    iterator = iter(made) if begun else None
    gone = weakref.ref(made)
    gc.collect()
    gc.disable()
    try:
        del made
        assert gone() is None
    finally:
        gc.enable()
    assert iterator is None or sum(len(batch[0]) for batch in iterator) == COUNT


@pytest.mark.parametrize("shard", ["all", (2, 2), (0, 0), 3, (0,)])
def test_a_shard_that_cannot_be_is_refused_later_too(shard: Any) -> None:
    made = loader("native")
    with pytest.raises(InputError):
        made.shard = shard
    assert made.shard == "auto"


@pytest.mark.parametrize("lane", ["general", "native"])
def test_a_shard_that_is_set_later_is_that_of_the_next_pass(lane: str) -> None:
    made = loader(lane)
    whole = [batch.ids for batch in made.batches()]
    made.set_epoch(0)
    made.shard = (1, 2)
    assert len(made) == 3
    ids = torch.cat([batch.ids for batch in made.batches()])
    assert torch.equal(ids[:8], whole[1]) and len(ids) == COUNT // 2
