"""Replicas are killed and replaced while an epoch is read: every batch once, the same bytes."""

import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from augfeed_client import Connection, RemoteLoader
from tests.client.faults import Herd

EPOCHS, STEP = 6, 0.015  # seconds that a training step takes
BATCHES = 30


@pytest.fixture(scope="module")
def herd(data: dict[str, Path]) -> Iterator[Herd]:
    made = Herd(3, data)
    yield made
    made.close()


def passes(herd: Herd) -> tuple[list[list[str]], float, float, Any]:
    """Return digests of all batches, the seconds in all, the longest wait, and what was retried."""
    connection = Connection(workers=4, ahead=6, deadline=30, timeout=2)
    loader = RemoteLoader(
        herd.urls, dataset="digits", policy="hflip | mixup(1.0) | random_crop(8, padding=1)",
        batch_size=4, shuffle=True, seed=1, connection=connection,
    )  # fmt: skip
    found: list[list[str]] = []
    begun, longest = time.monotonic(), 0.0
    for _ in range(EPOCHS):
        epoch: list[str] = []
        asked = time.monotonic()
        ids: list[int] = []
        for batch in loader.batches():
            longest = max(longest, time.monotonic() - asked)
            data = batch.images.numpy().tobytes() + batch.targets.numpy().tobytes()
            epoch.append(hashlib.sha256(data).hexdigest())
            ids += batch.ids.tolist()
            time.sleep(STEP)
            asked = time.monotonic()
        assert sorted(ids) == list(range(120))  # each sample once
        found.append(epoch)
    return found, time.monotonic() - begun, longest, loader.stats.retries


def ended(herd: Herd, sig: int, every: float, stop: threading.Event) -> list[int]:
    count = [0]

    def run() -> None:
        while not stop.wait(every):
            herd.end(count[0] % len(herd.ports), sig)
            count[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    count.append(thread)  # type: ignore[arg-type]
    return count


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_every_batch_comes_once_while_replicas_are_ended(herd: Herd, sig: int) -> None:
    known, quiet, _, retried = passes(herd)
    assert [len(epoch) for epoch in known] == [BATCHES] * EPOCHS
    assert set(retried) <= {"unknown-plan"}
    stop = threading.Event()
    count: Any = ended(herd, sig, 0.6, stop)
    try:
        found, seconds, longest, retried = passes(herd)
    finally:
        stop.set()
        count[1].join(20)
    assert found == known and count[0] >= 3
    print(
        f"{count[0]} ended: goodput {quiet / seconds:.0%}, longest wait {longest:.2f} s, {retried}"
    )
    assert longest < 10
