"""What torch draws at random, as a function of seed and step; no state has to be saved for it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(seed: int, step: int, use: str, rank: int = 0) -> int:
    """Return a seed of 63 bits for one use at one step."""
    text = f"{seed}\n{step}\n{use}\n{rank}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1


def generator(
    device: torch.device, seed: int, step: int, use: str, rank: int = 0
) -> torch.Generator:
    """Return a generator of its own for one use at one step."""
    made = torch.Generator(device)
    made.manual_seed(seed_of(seed, step, use, rank))
    return made


@contextmanager
def keyed(
    seed: int, step: int, use: str, rank: int = 0, device: torch.device | None = None
) -> Iterator[None]:
    """Have torch's default generators draw from a seed of its own; afterwards they are as before.

    Dropout layers and initializations know no other generator.
    """
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed_of(seed, step, use, rank))  # noqa: TID251  (put back at the end)
        yield
