"""`loader.stats()`: counts are exact, times are sums; no time is ever compared with a clock."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from augfeed import DataLoader
from augfeed.errors import InputError
from augfeed.stage_costs import Costs, LoaderStats

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 3), dtype=np.uint8)
LABELS = np.arange(50) % 5
POLICY = "random_crop(10, padding=2) | hflip | cutmix(1.0)"


class Own(Dataset[Any]):
    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int) -> Any:
        return PIXELS[index], int(LABELS[index])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(Own())


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clocks go on by one second whenever they are looked at, in this process."""
    for name in ("perf_counter", "thread_time"):
        now = iter(range(1_000_000))
        monkeypatch.setattr(time, name, lambda now=now: float(next(now)))


@pytest.mark.parametrize("data", [(PIXELS, LABELS), Own()], ids=["native", "general"])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_and_samples_are_counted_over_all_passes(data: Any, workers: int) -> None:
    loader = DataLoader(data, 8, policy=POLICY, seed=1, num_classes=5, num_workers=workers)
    assert loader.stats() == LoaderStats()
    for passes in (1, 2):
        for _ in loader:
            pass
        stats = loader.stats()
        assert (stats.batches, stats.samples) == (7 * passes, 50 * passes)
    assert min(stats.plan, stats.augment, stats.targets, stats.exposed, stats.host) > 0
    assert stats.host_per_batch == stats.host / 14
    assert stats.exposed_per_batch == stats.exposed / 14


def test_samples_of_a_stream_are_counted() -> None:
    loader = DataLoader(Stream(), 8, policy=POLICY, seed=1, num_classes=5)
    next(iter(loader))
    assert (loader.stats().batches, loader.stats().samples) == (1, 8)


def test_samples_that_are_left_out_do_not_count(tmp_path: Any) -> None:
    for k in range(6):
        folder = tmp_path / f"class{k % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(PIXELS[k]).save(folder / f"{k}.png")
    (tmp_path / "class1" / "3.png").write_bytes(b"broken")
    loader = DataLoader(tmp_path, 4, policy="resize((8, 8))", seed=1, on_error="skip")
    given = sum(len(images) for images, _ in loader)
    stats = loader.stats()
    assert given == stats.samples == 5
    assert stats.read > 0


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("data", [(PIXELS, LABELS), Own()], ids=["native", "general"])
def test_a_stage_takes_what_the_clock_says_and_no_other_stage_counts_it(data: Any) -> None:
    loader = DataLoader(data, 25, policy=POLICY, seed=1, num_classes=5)
    for _ in loader:
        pass
    stats = loader.stats()
    # Two looks at the clock within a stage are one second; none of a stage has others in it.
    native = loader.lane == "native"
    assert (stats.plan, stats.targets, stats.host) == (2, 2, 2)
    assert stats.augment == (4 if native else 2)  # images in memory: rows, then the pass
    assert stats.read == (0 if native else 2)


def test_what_has_come_since_an_earlier_look_is_a_difference() -> None:
    loader = DataLoader((PIXELS, LABELS), 8, policy=POLICY, seed=1, num_classes=5)
    batches = iter(loader)
    next(batches)
    before = loader.stats()
    next(batches), next(batches)
    since = loader.stats().since(before)
    assert (since.batches, since.samples) == (2, 16)
    assert since.exposed == loader.stats().exposed - before.exposed


def test_without_a_policy_nothing_is_measured() -> None:
    data = torch.utils.data.TensorDataset(torch.zeros(4, 3, 8, 8))
    with pytest.raises(InputError, match="policy=None measures nothing: give a policy"):
        DataLoader(data, 2).stats()


def test_a_batch_that_fails_is_not_counted() -> None:
    loader = DataLoader((PIXELS, LABELS), 8, policy="hflip", seed=1, sampler=[0, 1, 99])
    with pytest.raises(Exception, match="99"):
        next(iter(loader))
    assert loader.stats().batches == 0


def test_a_copy_starts_at_nothing() -> None:
    costs = Costs()
    costs.gave(8, 0.5, 0.25)
    costs.add("plan", 0.125, 8)
    assert costs.stats() == LoaderStats(1, 8, 0.5, 0.25, plan=0.125)
    assert copy.deepcopy(costs).stats() == LoaderStats()


def test_without_batches_there_is_no_time_a_batch() -> None:
    assert LoaderStats().host_per_batch == LoaderStats().exposed_per_batch == 0
