"""Several ranks: the union of an epoch is exact, and every sample as on one rank."""

import json
from typing import Any

import pytest
from torch.utils.data import DistributedSampler

from augfeed import DataLoader
from augfeed.errors import InputError
from tests.augfeed.scripts import ranks, run_on_ranks
from tests.augfeed.scripts.ranks import COUNT, data_of, made

LANES = ("general", "native")


@pytest.fixture(scope="module")
def two() -> Any:
    """What two ranks got, by the way it was made; resumed after 32 samples on one rank."""
    states = {}
    for lane in LANES:
        loader: DataLoader[Any] = DataLoader(
            data_of(lane), 16, True, policy="hflip | mixup | gaussian_noise(0.1)", seed=3
        )
        iterator = iter(loader)
        for _ in range(2):
            next(iterator)
        states[lane] = loader.state_dict()
    said = run_on_ranks(ranks, json.dumps(states))
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("way", ["seeded", "unseeded", "sampler"])
def test_every_sample_comes_and_only_padding_comes_twice(two: Any, lane: str, way: str) -> None:
    ids = [i for rank in two for i, _ in rank[f"{lane} {way}"]]
    assert set(ids) == set(range(COUNT))
    assert len(ids) == COUNT + 1
    assert len(two[0][f"{lane} {way}"]) == len(two[1][f"{lane} {way}"])


@pytest.mark.parametrize("lane", LANES)
def test_dropping_the_last_batch_leaves_each_sample_once(two: Any, lane: str) -> None:
    ids = [i for rank in two for i, _ in rank[f"{lane} dropping"]]
    assert len(ids) == len(set(ids)) == COUNT // 16 * 16


@pytest.mark.parametrize("lane", LANES)
def test_samples_are_those_of_one_rank_with_twice_the_batch(two: Any, lane: str) -> None:
    alone = dict(made(lane, 16, seed=3))
    for rank in two:
        assert all(alone[i] == digest for i, digest in rank[f"{lane} seeded"])
        assert rank[f"{lane} whole"] == made(lane, 16, seed=3)
    interleaved = []
    for step in range(COUNT // 16):
        for rank in two:
            interleaved += rank[f"{lane} seeded"][step * 8 : step * 8 + 8]
    assert interleaved == made(lane, 16, seed=3)[: len(interleaved)]


@pytest.mark.parametrize("lane", LANES)
def test_a_state_of_one_rank_goes_on_on_two(two: Any, lane: str) -> None:
    for rank in two:
        assert rank[f"{lane} resumed"] == rank[f"{lane} seeded"][16:]


@pytest.mark.parametrize("lane", LANES)
def test_a_rank_can_be_named(two: Any, lane: str) -> None:
    for rank in range(2):
        assert made(lane, 8, seed=3, shard=(rank, 2)) == two[rank][f"{lane} seeded"]


@pytest.mark.parametrize("lane", LANES)
def test_unseeded_ranks_share_the_order_of_a_distributed_sampler(two: Any, lane: str) -> None:
    numbers: Any = range(COUNT)
    both: list[Any] = [DistributedSampler(numbers, 2, rank) for rank in range(2)]
    order = [i for pair in zip(*both, strict=True) for i in pair]
    found = [[i for i, _ in rank[f"{lane} unseeded"]] for rank in two]
    interleaved = [i for step in range(6) for ids in found for i in ids[step * 8 : step * 8 + 8]]
    assert interleaved == order[: len(interleaved)]


@pytest.mark.parametrize("lane", LANES)
def test_a_sampler_that_repeats_its_order_is_warned_of_once(
    lane: str, caplog: pytest.LogCaptureFixture
) -> None:
    def lines(*epochs: int | None, shuffle: bool = True, by: str = "loader") -> int:
        caplog.clear()
        numbers: Any = range(COUNT)
        sampler: Any = DistributedSampler(numbers, 2, 0, shuffle=shuffle)
        loader = DataLoader(data_of(lane), 8, policy="hflip", sampler=sampler, seed=1)
        for epoch in epochs:
            if epoch is not None:
                (loader if by == "loader" else sampler).set_epoch(epoch)
            assert len(list(loader)) == len(loader)
        return sum(
            "gives epoch 1 the order of the epoch before" in line for line in caplog.messages
        )

    assert lines(None, None, None) == 1 == lines(0, None)
    assert lines(0, 1, 2) == lines(0, 1, 2, by="sampler") == lines(None, None, shuffle=False) == 0
    assert lines(None) == 0


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), "all", 3, (0.5, 1)])
def test_a_shard_that_is_none_is_refused(shard: Any) -> None:
    with pytest.raises(InputError, match=r"shard=|rank=|world="):
        DataLoader(data_of("native"), 8, policy="hflip", shard=shard)
