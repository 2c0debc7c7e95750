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
        drawn = seed_of(seed, step, use, rank)
        # `torch.manual_seed` also seeds devices that are not used here: before CUDA is set up it
        # notes each call with its stack, a third of a millisecond at every step.
        torch.default_generator.manual_seed(drawn)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(drawn)
        elif device is not None and device.type == "mps":
            torch.mps.manual_seed(drawn)
        yield
