"""Batches made once, kept, and shared by all who ask for the same one; admission by bytes."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from augfeed.wire import Body
from augfeed_service.allocator import Allocator
from augfeed_service.metrics import Metrics
from augfeed_service.problems import Problem, overloaded
from augfeed_service.settings import Settings

Timings = dict[str, float]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A batch as bytes, and the seconds that it took to queue, make and encode."""

    body: Body
    timings: Timings
    count: int = 0


@dataclass(slots=True)
class BatchJob:
    """A batch to be made: `run` makes it, in threads, of about so many bytes."""

    key: str
    run: Callable[[], Any]
    nbytes: int


@dataclass(slots=True)
class Flight:
    """A batch being made, and how many wait for it; nobody does for one that is made ahead."""

    future: "asyncio.Future[EncodedBatch]"
    waiters: int = 0
    ahead: bool = False
    begun: bool = False
    asked: float = field(default_factory=time.perf_counter)


class Batches:
    """Makes batches, one at a time for each key; all methods are for the event loop's thread.

    Bytes in flight are those of batches that are being made or sent, and of requests being read;
    what would go beyond the limit is refused before any memory is taken.
    """

    def __init__(self, settings: Settings, metrics: Metrics, pool: ThreadPoolExecutor) -> None:
        self.settings, self.metrics, self.pool = settings, metrics, pool
        self._kept: OrderedDict[str, EncodedBatch] = OrderedDict()
        self._kept_bytes = 0
        self._flights: dict[str, Flight] = {}
        self._sending: dict[int, int] = {}  # how many send a body, by its identity
        self._inflight = 0
        self._allocator = Allocator()
        self._turns = asyncio.Semaphore(max(1, settings.threads))
        self._tasks: set[asyncio.Task[None]] = set()

    # Bytes in flight

    def take(
        self, nbytes: int, what: str, cure: str = "send or ask for less", *, beside: int = 0
    ) -> None:
        """Count bytes as in flight; raise `Problem` if there are too many, now or ever.

        `beside` are those that the same request has in flight meanwhile: what does not fit beside
        them now never will.
        """
        self.check(nbytes, what, cure, beside=beside)
        if self._inflight + nbytes > self.settings.inflight_bytes:
            self.metrics.rejected.labels("bytes").inc()
            raise overloaded(
                f"{what} of {nbytes:,} bytes does not fit beside {self._inflight:,} bytes in "
                f"flight, of {self.settings.inflight_bytes:,}: ask again"
            )
        self._count(nbytes)

    def check(self, nbytes: int, what: str, cure: str, *, beside: int = 0) -> None:
        """Raise `Problem` for bytes that can never be in flight beside others of a request."""
        most = self.settings.inflight_bytes
        if nbytes + beside <= most:
            return
        self.metrics.rejected.labels("size").inc()
        more = f" and what the request holds meanwhile {beside:,}," if beside else ""
        raise Problem(
            413, "too-large",
            f"{what} takes {nbytes:,} bytes,{more} above the {most:,} that may be in flight at "
            f"all: {cure}",
        )  # fmt: skip

    def give_back(self, nbytes: int) -> None:
        """End the counting of bytes."""
        self._count(-nbytes)
        self._allocator.used(nbytes)

    def _count(self, nbytes: int) -> None:
        self._inflight += nbytes
        self.metrics.inflight_bytes.set(self._inflight)

    def sending(self, made: EncodedBatch) -> None:
        """Count a body as being sent: once, to however many; raise `Problem` if it is too much."""
        key = id(made.body)
        if not self._sending.get(key):
            self.take(made.body.nbytes, "a batch")
        self._sending[key] = self._sending.get(key, 0) + 1

    def sent(self, made: EncodedBatch) -> None:
        """End what `sending` began."""
        key = id(made.body)
        self._sending[key] -= 1
        if not self._sending[key]:
            del self._sending[key]
            self.give_back(made.body.nbytes)

    # Making

    async def get(
        self, order: BatchJob, deadline: float | None, gone: "asyncio.Future[Any]"
    ) -> EncodedBatch:
        """Return a batch, made now or before.

        `deadline` is a time of `time.monotonic`; `gone` is done when nobody waits any more. Raises
        `Problem` if the service is busy or time is up.
        """
        if (made := self._kept.get(order.key)) is not None:
            self._kept.move_to_end(order.key)
            self.metrics.batches.labels("cache").inc()
            return made
        flight = self._flights.get(order.key)
        self.metrics.batches.labels("made" if flight is None else "joined").inc()
        flight = flight or self._begin(order)
        flight.waiters += 1
        left = None if deadline is None else deadline - time.monotonic()
        try:
            await asyncio.wait(
                {flight.future, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            flight.waiters -= 1
        if flight.future.done():
            return flight.future.result()
        if gone.done():
            raise Problem(503, "deadline", "the client has gone", retry_after=1)
        self.metrics.rejected.labels("deadline").inc()
        raise Problem(503, "deadline", "the batch was not made in time", retry_after=1)

    def ahead(self, orders: list[BatchJob]) -> None:
        """Make batches that may be asked for next, as long as there is nothing else to do."""
        if any(not flight.begun and not flight.ahead for flight in self._flights.values()):
            return
        for order in orders:
            if order.key in self._kept or order.key in self._flights:
                continue
            if self._inflight + order.nbytes > self.settings.inflight_bytes // 2:
                return
            self._begin(order, ahead=True)
            self.metrics.ahead.inc()

    def _waiting(self) -> int:
        return sum(not flight.begun for flight in self._flights.values())

    def _begin(self, order: BatchJob, *, ahead: bool = False) -> Flight:
        if self._waiting() >= self.settings.max_waiting:
            self.metrics.rejected.labels("waiting").inc()
            raise overloaded(f"{self.settings.max_waiting} batches wait already: ask again")
        self.take(order.nbytes, "a batch", "use a smaller batch_size, or share it among more ranks")
        flight = Flight(asyncio.get_running_loop().create_future(), ahead=ahead)
        self._flights[order.key] = flight
        self.metrics.waiting.set(self._waiting())
        task = asyncio.create_task(self._fly(order, flight))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _fly(self, order: BatchJob, flight: Flight) -> None:
        try:
            async with self._turns:
                flight.begun = True
                self.metrics.waiting.set(self._waiting())
                if not flight.waiters and not flight.ahead:
                    raise Problem(503, "deadline", "nobody waits for it", retry_after=1)
                queued = time.perf_counter() - flight.asked
                loop = asyncio.get_running_loop()
                made: EncodedBatch = await loop.run_in_executor(self.pool, order.run)
            self._observe(made, queued)
            self._keep(order.key, made)
            flight.future.set_result(made)
        except BaseException as error:
            flight.future.set_exception(error)
            flight.future.exception()  # seen, though nobody may wait
        finally:
            del self._flights[order.key]
            self.give_back(order.nbytes)

    def _observe(self, made: EncodedBatch, queued: float) -> None:
        made.timings["queue"] = queued
        self.metrics.queue_seconds.observe(queued)
        self.metrics.make_seconds.observe(made.timings["make"])
        self.metrics.encode_seconds.observe(made.timings["encode"])
        self.metrics.images.inc(made.count)

    def _keep(self, key: str, made: EncodedBatch) -> None:
        if made.body.nbytes > self.settings.cache_bytes:
            return
        self._kept[key] = made
        self._kept_bytes += made.body.nbytes
        while self._kept_bytes > self.settings.cache_bytes:
            _, old = self._kept.popitem(last=False)
            self._kept_bytes -= old.body.nbytes
        self.metrics.cache_bytes.set(self._kept_bytes)

    @contextmanager
    def holding(
        self, nbytes: int, what: str, cure: str = "send or ask for less", *, beside: int = 0
    ) -> Iterator[None]:
        """Count bytes as in flight for a while; raise `Problem` as `take` does."""
        self.take(nbytes, what, cure, beside=beside)
        try:
            yield
        finally:
            self.give_back(nbytes)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the batches that are kept."""
        return self._kept_bytes

    @property
    def inflight(self) -> int:
        """Bytes that are in flight."""
        return self._inflight

    @property
    def idle(self) -> bool:
        """Whether nothing is made or sent."""
        return not self._flights and not self._inflight
