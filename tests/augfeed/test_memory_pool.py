"""A block of memory is used again when, and only when, nobody holds anything made of it."""

import numpy as np
import pytest
import torch

from augfeed.memory_pool import Memory

SHAPE = (4, 3, 5, 7)


def pointer(memory: Memory) -> int:
    return torch.from_numpy(memory.take(SHAPE, "float32")).data_ptr()


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_dead_array_gives_its_block_back(channels_last: bool) -> None:
    memory = Memory()
    array = memory.take(SHAPE, "float32", channels_last=channels_last)
    tensor = torch.from_numpy(array)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert tensor.shape == SHAPE
    assert tensor.is_contiguous(memory_format=layout)
    first = tensor.data_ptr()
    del array, tensor
    assert pointer(memory) == first


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: torch.from_numpy(array)[1:, :, 2],
        lambda array: torch.from_numpy(array).view(torch.int32),
        lambda array: torch.from_numpy(array).permute(0, 2, 3, 1).numpy(),
        lambda array: torch.from_numpy(array).untyped_storage(),
        lambda array: array,
    ],
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_whatever_is_made_of_a_batch_keeps_its_block(hold: object, channels_last: bool) -> None:
    memory = Memory()
    array = memory.take(SHAPE, "float32", channels_last=channels_last)
    first = array.ctypes.data
    held = hold(array)  # type: ignore[operator]
    del array
    assert pointer(memory) != first
    del held
    assert first in {pointer(memory), pointer(memory)}


def test_all_blocks_together_are_no_more_than_were_in_use_at_once() -> None:
    memory = Memory()
    rng = np.random.default_rng(0)
    held: list[object] = []
    for size in rng.integers(1, 10_000_000, 300):
        held = [*held[-2:], memory.take((1, 1, 1, int(size)), "uint8")]
        assert memory._used + memory._idle <= memory._most
    assert memory._most <= 4 * 1.13 * 10_000_000  # the new one beside three old ones
    held.clear()
    kept = sum(block.size for blocks in memory._free.values() for block in blocks)
    assert memory._used == 0
    assert kept == memory._idle <= memory._most


@pytest.mark.parametrize("size", [1, 4096, 4097, 100_000, 562_500, 38_535_168])
def test_a_block_is_little_larger_than_asked_for(size: int) -> None:
    memory = Memory()
    memory.take((1, 1, 1, size), "uint8")
    ((rounded, _),) = memory._free.items()
    assert size <= rounded <= max(4096, size * 1.13 + 4096)
