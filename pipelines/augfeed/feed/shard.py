"""Which part of an epoch is this process's."""

from typing import Any

import torch.distributed as dist

from augfeed.errors import InputError
from augfeed.feed.accelerate import accelerate_device
from augfeed.integers import whole_number


def check_split(loader: Any) -> None:
    """Raise `InputError` where Accelerate would have split an epoch, and a loader cannot.

    Accelerate leaves an augmenting loader as it is (see `augfeed.feed.accelerate`), so that every
    process would see every sample of a sampler, or an iterable data set, of the caller's.
    """
    if loader.shard != "auto" or accelerate_device() is None or rank_and_world("auto")[1] == 1:
        return
    sampler = loader._innermost()
    ranked = hasattr(sampler, "num_replicas") or hasattr(loader.batch_sampler, "num_replicas")
    if getattr(sampler, "augfeed_own", False) or ranked:
        return
    given = "an iterable data set" if loader._dataset_kind else f"a {type(sampler).__name__}"
    raise InputError(
        f"the samples of {given} are not split over the {rank_and_world('auto')[1]} processes of "
        "Accelerate: use shuffle=True or a DistributedSampler; or split them yourself and say "
        "shard=None"
    )


def rank_and_world(shard: Any) -> tuple[int, int]:
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
