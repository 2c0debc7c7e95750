"""Which part of an epoch is this process's."""

from typing import Literal

import torch.distributed as dist

from augfeed.errors import InputError
from augfeed.whole_number import whole_number

Shard = Literal["auto"] | tuple[int, int] | None


def rank_and_world(shard: object) -> tuple[int, int]:
    """Return `(rank, world)`: those of torch.distributed for "auto", one of one for None.

    Raises `InputError` for anything but "auto", None or a pair with `0 <= rank < world`.
    """
    if shard is None:
        return 0, 1
    if isinstance(shard, str) and shard == "auto":
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return 0, 1
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise InputError(f"shard={shard!r} is unknown: use 'auto', None or (rank, world)")
    rank, world = whole_number("rank", shard[0], 0), whole_number("world", shard[1], 1)
    if rank >= world:
        raise InputError(f"rank={rank!r} is not below world={world!r}: ranks count from 0")
    return rank, world
