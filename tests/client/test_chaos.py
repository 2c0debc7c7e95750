"""Replicas are killed and replaced while an epoch is read: every batch once, the same bytes."""

import hashlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from augfeed_client import Connection, RemoteLoader
from tests.client.faults import Herd, Template

pytestmark = pytest.mark.timeout(300)
EPOCHS, BATCHES = 3, 30
EVERY = 15  # batches from one end of a replica to the next
# What is waited for is no matter of these tests: a machine may do something else, too.
PATIENT = Connection(workers=4, ahead=6, deadline=200, timeout=100)


@pytest.fixture(scope="module")
def template(data: dict[str, Path]) -> Iterator[Template]:
    made = Template(data)
    yield made
    made.close()


@pytest.fixture
def herd(template: Template) -> Iterator[Herd]:
    """Replicas of one test, on ports that no other test had, all of them ready."""
    made = Herd(template, 3)
    yield made
    made.close()


def passes(
    herd: Herd, connection: Connection, before: Callable[[int], None] = lambda number: None
) -> tuple[list[list[str]], Any]:
    """Return digests of all batches, and what was retried; `before` is called with the number of
    each batch."""
    loader = RemoteLoader(
        herd.urls, dataset="digits", policy="hflip | mixup(1.0) | random_crop(8, padding=1)",
        batch_size=4, shuffle=True, seed=1, connection=connection,
    )  # fmt: skip
    found: list[list[str]] = []
    for number in range(EPOCHS):
        epoch: list[str] = []
        ids: list[int] = []
        for step, batch in enumerate(loader.batches()):
            before(number * BATCHES + step)
            data = batch.images.numpy().tobytes() + batch.targets.numpy().tobytes()
            epoch.append(hashlib.sha256(data).hexdigest())
            ids += batch.ids.tolist()
        assert sorted(ids) == list(range(120))  # each sample once
        found.append(epoch)
    return found, loader.stats.retries


class Ends:
    """Ends one replica after the other, by the number of the batch; one at a time is away."""

    def __init__(self, herd: Herd, sig: int) -> None:
        self.herd, self.sig, self.count = herd, sig, 0
        self._replacing = threading.Thread()

    def __call__(self, number: int) -> None:
        if number % EVERY != EVERY - 1:
            return
        self.wait()
        k = self.count % len(self.herd.ports)
        self.count += 1
        self.herd.send(k, self.sig)
        self._replacing = threading.Thread(target=self.herd.replace, args=(k,))
        self._replacing.start()

    def wait(self) -> None:
        if self._replacing.ident is not None:
            self._replacing.join()


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_every_batch_comes_once_while_replicas_are_ended(herd: Herd, sig: int) -> None:
    known, retried = passes(herd, PATIENT)
    assert [len(epoch) for epoch in known] == [BATCHES] * EPOCHS
    assert set(retried) <= {"unknown-plan"}
    ends = Ends(herd, sig)
    try:
        found, _ = passes(herd, PATIENT, ends)
    finally:
        ends.wait()
    assert found == known and ends.count == EPOCHS * BATCHES // EVERY
