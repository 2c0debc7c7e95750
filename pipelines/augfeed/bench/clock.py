"""Clocks: how long a device works on batches, and how long a caller waits for them."""

import gc
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from augfeed.bench.result import Copy

Run = Callable[[], Any]  # makes one batch, each time the next of those that take turns
WARM = 0.1  # seconds of work before any is timed: an idle device runs at a low frequency
SHORTEST = {"cuda": 1e-3, "cpu": 5e-3}  # seconds that one time should span
MOST = 200  # batches in one time; a stream takes about 1,000 launches ahead of the device
CYCLES = 2.0e9  # a second, of the fastest device: what the wait before a launch is counted in
COPY = {"cuda": 1 << 30, "cpu": 1 << 28}  # bytes of the buffer that is copied
COPIES = 20


class Clock:
    """Times what runs on a device."""

    def __init__(self, device: torch.device) -> None:
        """Take the device."""
        self.device = device
        self.cuda = device.type == "cuda"

    def settle(self) -> None:
        """Wait until the device is idle."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def warm_up(self, run: Run, least: int) -> float:
        """Run `least` times and for a while, and return the seconds of one run with its wait."""
        for _ in range(least):  # compiles, and touches all memory
            run()
        self.settle()
        begun, count = time.perf_counter(), 0
        while not count or time.perf_counter() - begun < WARM:
            run()
            self.settle()
            count += 1
        return (time.perf_counter() - begun) / count

    def waited(self, run: Run, times: int) -> float:
        """Return the seconds that a caller waits for a batch, in the mean over several."""
        self.settle()
        begun = time.perf_counter()
        for _ in range(times):
            run()
        self.settle()
        return (time.perf_counter() - begun) / times

    def worked(self, run: Run, times: int, ahead: float = 0.0) -> float:
        """Return the seconds that the device works on a batch, in the mean over several.

        With `ahead`, the seconds that this process takes to launch them, the device first waits so
        long: else it would be timed waiting for launches.
        """
        if not self.cuda:
            return self.waited(run, times)
        cuda: Any = torch.cuda  # which has functions without annotations
        with cuda.device(self.device):
            begin, end = (cuda.Event(enable_timing=True) for _ in range(2))
            self.settle()
            if ahead:
                cuda._sleep(int(ahead * CYCLES))
            begin.record()
            for _ in range(times):
                run()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1e3 / times

    def hosted(self, run: Run, times: int) -> float:
        """Return the seconds that this process is busy with a batch, in the mean over several.

        It does not wait for the device; fewer than `MOST` batches fit into a stream's queue.
        """
        self.settle()
        begun = time.perf_counter()
        for _ in range(times):
            run()
        taken = time.perf_counter() - begun
        self.settle()
        return taken / times

    def launching(self, run: Run, times: int) -> float:
        """Return the seconds that this process takes to launch some batches, with a margin."""
        return 2 * self.hosted(run, times) * times + 1e-4

    def times(self, each: float) -> int:
        """Return how many runs of so many seconds one time should span."""
        shortest = SHORTEST.get(self.device.type, SHORTEST["cpu"])
        return max(1, min(MOST, math.ceil(shortest / max(each, 1e-9))))


def copied(device: torch.device, threads: int) -> Copy:
    """Return the times of copies of a large buffer within the memory of a device."""
    size = COPY.get(device.type, COPY["cpu"])
    gc.collect()
    if device.type == "cuda":
        size = min(size, torch.cuda.mem_get_info(device)[0] // 4)
    with ThreadPoolExecutor(threads) as pool:
        clock, copy = Clock(device), _copy(size, device, threads, pool)
        clock.warm_up(copy, 1)
        seconds = [clock.worked(copy, 1) for _ in range(COPIES)]
    return Copy.of(2 * size, seconds)  # read, and written


def _copy(size: int, device: torch.device, threads: int, pool: ThreadPoolExecutor) -> Run:
    if device.type != "cpu":
        source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
        return lambda: target.copy_(source)
    here, there = (np.ones(size, np.uint8) for _ in range(2))
    parts = list(zip(np.array_split(there, threads), np.array_split(here, threads), strict=True))
    return lambda: list(pool.map(lambda part: np.copyto(*part), parts))
