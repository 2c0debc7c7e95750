"""Batches that take turns on a device, and the ways to have an engine make them."""

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.bench.result import Shape
from augfeed.engines import Engine, Output
from augfeed.memory_pool import Memory
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Policy, RandomCrop

SEED = 20
LEAST_SETS, MOST_SETS = 3, 64
CACHES = 2  # how many times over the batches that take turns fill the last cache
FREE = 0.5  # of the free memory of a device that the batches may take


def bytes_moved(shape: Shape, dtype: torch.dtype) -> int:
    """Return the bytes that must move: every uint8 input read once, every output written once."""
    return shape.values * (1 + dtype.itemsize)


def sets_for(shape: Shape, dtype: torch.dtype, cache: int, free: int | None = None) -> int:
    """Return how many batches must take turns for no cache to keep one of them."""
    each = bytes_moved(shape, dtype)
    wanted = max(LEAST_SETS, math.ceil(CACHES * cache / each) + 1)
    room = MOST_SETS if free is None else max(1, int(free * FREE) // each)
    return min(wanted, MOST_SETS, room)


class BenchImages:
    """Random uint8 images `[B, H, W, C]` on a device, a few batches of them, always the same."""

    def __init__(self, shape: Shape, device: torch.device, sets: int) -> None:
        """Draw them."""
        generator = torch.Generator(device).manual_seed(SEED)
        size = (shape.batch, shape.height, shape.width, shape.channels)
        self.shape, self.device = shape, device
        self.batches = tuple(
            torch.empty(size, dtype=torch.uint8, device=device).random_(0, 256, generator=generator)
            for _ in range(sets)
        )

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True)
class Task:
    """What an engine is asked for: a policy on images, in a form of output."""

    engine: Engine
    policy: Policy
    pictures: BenchImages
    output: Output
    pool: ThreadPoolExecutor
    threads: int
    memory: Memory

    def plan(self, which: int, epoch: int) -> Plan:
        """Return the plan of one of the batches in an epoch: its own samples, its own seed."""
        shape = self.pictures.shape
        rows = BatchRows.of(np.arange(which * shape.batch, (which + 1) * shape.batch))
        return draw_plan(self.policy, rows, seed=SEED + which, epoch=epoch, size=shape.size)

    @property
    def tells_apart(self) -> bool:
        """Whether the engine can be asked for the pass alone, its plan being ready."""
        return self.engine.name == "cpu" or hasattr(self.engine, "load")

    def passes(self) -> Callable[[], torch.Tensor]:
        """Return what makes the next batch by a plan that is ready; for some engines, all of it."""
        plans = enumerate(self.plan(k, 0) for k in range(len(self.pictures)))
        return _turns([self._ready(k, plan) for k, plan in plans])

    def planned_passes(self) -> Callable[[], torch.Tensor]:
        """Return what draws the plan of the next batch, each time of a new epoch, and makes it."""
        counter: Iterator[int] = itertools.count(1)

        def run() -> torch.Tensor:
            turn, sets = next(counter), len(self.pictures)
            return self._apply(turn % sets, self.plan(turn % sets, turn // sets))

        return run

    def batch(self, which: int) -> torch.Tensor:
        """Return one of the batches, made by its plan of epoch 0."""
        return self._apply(which, self.plan(which, 0))

    def _ready(self, which: int, plan: Plan) -> Callable[[], torch.Tensor]:
        images = self.pictures.batches[which]
        if self.engine.name == "cpu":
            return self._on_cpu(which, plan)
        if not self.tells_apart:
            return partial(self._apply, which, plan)
        engine: Any = self.engine
        loaded = engine.load(plan, images, offsets=offsets_of(plan), output=self.output)
        out = loaded.run()
        # Into its own memory: one block used again and again would stay in the cache.
        return partial(loaded.run, out=out)

    def _apply(self, which: int, plan: Plan) -> torch.Tensor:
        if self.engine.name == "cpu":
            return self._on_cpu(which, plan)()
        images = self.pictures.batches[which]
        return self.engine.apply(plan, images, offsets=offsets_of(plan), output=self.output)

    def _on_cpu(self, which: int, plan: Plan) -> Callable[[], torch.Tensor]:
        # In as many threads as there are, as the loader does.
        from augfeed.engines.cpu import allocate, job_of

        channels = self.pictures.shape.channels
        out, batch = allocate(plan.count, channels, plan.size, self.output, self.memory)
        job = job_of(plan, PolicyConstants.of(self.policy, channels), self.output, self.memory)
        images, offsets = self.pictures.batches[which].numpy(), offsets_of(plan)
        parts = [part for part in np.array_split(np.arange(plan.count), self.threads) if len(part)]

        def run() -> torch.Tensor:
            list(self.pool.map(lambda part: job.run(images, part, out, offsets=offsets), parts))
            return batch

        return run


def offsets_of(plan: Plan) -> NDArray[np.int32] | None:
    """Return where a plan cuts images that come in the size of its output."""
    crop = plan.policy.find(RandomCrop)
    return plan.window.at(*plan.size).offset if crop else None


def _turns(runs: list[Callable[[], torch.Tensor]]) -> Callable[[], torch.Tensor]:
    cycle = itertools.cycle(runs)
    return lambda: next(cycle)()
