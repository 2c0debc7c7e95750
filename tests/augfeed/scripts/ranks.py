"""Two ranks; rank 0 prints what all ranks got, as one line of JSON."""

import hashlib
import json
import sys
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import Dataset, DistributedSampler, TensorDataset

from augfeed import DataLoader
from tests.augfeed.scripts import leave

COUNT = 101
PIXELS = torch.from_numpy(
    np.random.default_rng(4).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
)


class Pairs(Dataset[Any]):
    """Samples of a dataset that nothing is known of."""

    classes = tuple("abcde")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return PIXELS[i], i % 5


def data_of(lane: str) -> Any:
    """Return a dataset that takes a lane."""
    return Pairs() if lane == "general" else TensorDataset(PIXELS, torch.arange(COUNT) % 5)


def made(lane: str, batch_size: int, **options: Any) -> list[list[Any]]:
    """Return `[id, digest of the image]` of an epoch, in order."""
    given = {"shuffle": True, "policy": "hflip | mixup | gaussian_noise(0.1)", **options}
    state = given.pop("state", None)
    loader: DataLoader[Any] = DataLoader(data_of(lane), batch_size, **given)
    if state is not None:
        loader.load_state_dict(state)
    found = []
    for batch in loader.batches():
        for i, image in zip(batch.ids.tolist(), batch.images, strict=True):
            found.append([i, hashlib.sha256(image.numpy().tobytes()).hexdigest()[:12]])
    return found


def main() -> None:
    """Make an epoch in every way on every rank, gather, print."""
    dist.init_process_group("gloo")
    state = json.loads(sys.argv[1])
    torch.manual_seed(dist.get_rank())  # ranks have generators of their own
    own: dict[str, Any] = {}
    for lane in ("general", "native"):
        own[f"{lane} seeded"] = made(lane, 8, seed=3)
        own[f"{lane} unseeded"] = made(lane, 8)
        own[f"{lane} dropping"] = made(lane, 8, seed=3, drop_last=True)
        own[f"{lane} whole"] = made(lane, 16, seed=3, shard=None)
        own[f"{lane} resumed"] = made(lane, 8, seed=3, state=state[lane])
        sampler: Any = DistributedSampler(data_of(lane))
        own[f"{lane} sampler"] = made(lane, 8, seed=3, shuffle=None, sampler=sampler)
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, own)
    if dist.get_rank() == 0:
        print(json.dumps(gathered), flush=True)
    leave()
