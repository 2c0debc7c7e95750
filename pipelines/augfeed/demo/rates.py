"""Images per second: of a loader, and of decoding alone."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from augfeed.loader import DataLoader
from augfeed.read.folder import FolderSource


def loader_rate(loader: DataLoader, seconds: float) -> float:
    """Return the images/s of a loader over at least `seconds`, its first batch apart."""
    batches = iter(loader)
    next(batches)
    del batches
    count, begin = 0, time.perf_counter()
    while True:
        for images, _ in loader:
            count += len(images)
            elapsed = time.perf_counter() - begin
            if elapsed >= seconds:
                return count / elapsed


def decode_rate(source: FolderSource, threads: int, seconds: float) -> float:
    """Return the images/s of reading and decoding whole images with some threads."""
    begin = time.perf_counter()

    def decode(first: int) -> int:
        count = 0
        while time.perf_counter() - begin < seconds:
            source.image((first + count) % len(source))
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        firsts = range(0, len(source), max(1, len(source) // threads))[:threads]
        works: list[Callable[[], int]] = [pool.submit(decode, first).result for first in firsts]
        total = sum(work() for work in works)
    return total / (time.perf_counter() - begin)
