"""Iterable datasets, and how worker processes begin."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from augfeed.feed.batch_requests import BatchRequest, iterable_ids
from augfeed.feed.fetch import make_batch
from augfeed.feed.recipe import Fetched, Recipe
from augfeed.plan import GROUP, BatchRows


class Streaming(IterableDataset[Any]):
    """An iterable dataset whose samples come numbered, as `(pass, worker, count, sample)`."""

    def __init__(self, dataset: Any) -> None:
        """Wrap a dataset."""
        self.dataset, self._passes = dataset, 0

    def __iter__(self) -> Iterator[tuple[int, int, int, Any]]:
        worker = get_worker_info()
        number, passed = worker.id if worker else 0, self._passes
        self._passes += 1
        for count, sample in enumerate(self.dataset):
            yield passed, number, count, sample


@dataclass(frozen=True, slots=True)
class Gather:
    """The collate function for `Streaming`: numbered samples to a batch before augmentation."""

    recipe: Recipe
    seed: int
    epoch: int
    rank: int

    def __call__(self, given: Any) -> Fetched:
        """Return the batch of some numbered samples, or of one."""
        begun = time.perf_counter()
        single = isinstance(given, tuple)
        numbered = [given] if single else given
        passed, worker, first, _ = numbered[0]
        ids = iterable_ids(self.rank, worker, first, len(numbered))
        places = np.arange(len(ids), dtype=np.int64)
        # Groups begin with each batch, and no two of an epoch have one name, which decides who is
        # mixed with whom: there are fewer groups than samples.
        groups = ids[0] + places // GROUP
        rows = BatchRows(ids, groups, places % GROUP, len(ids), int(ids[0]))
        request = BatchRequest(-1, self.epoch + passed, self.seed, None, rows, -1, single=single)
        fetched = make_batch([item[3] for item in numbered], request, self.recipe)
        fetched.seconds = time.perf_counter() - begun
        fetched.bright = self.recipe.white.found
        return fetched


class WorkerStart:
    """Runs the caller's `worker_init_fn` where `get_worker_info().dataset` is the caller's own."""

    def __init__(self, function: Callable[[int], None] | None) -> None:
        """Take the caller's function, if there is one."""
        self.function = function

    def __call__(self, worker: int) -> None:
        """Run in a worker, before it fetches anything."""
        info: Any = get_worker_info()
        object.__setattr__(info, "dataset", info.dataset.dataset)  # past its guard
        if self.function is not None:
            self.function(worker)
