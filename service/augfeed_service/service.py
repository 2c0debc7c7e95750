"""What all requests share: data sets, plans, batches, keys, metrics, and whether it is ready."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request

from augfeed import Order, Pipeline, __version__, parse_policy
from augfeed.engines import DTYPES, Engine, Output, Place, engine_for
from augfeed.policy import Normalize
from augfeed_service.auth import Keys
from augfeed_service.batches import Batches
from augfeed_service.datasets import Datasets, fingerprint
from augfeed_service.metrics import Metrics
from augfeed_service.plans import Plans
from augfeed_service.problems import Problem
from augfeed_service.push import Together
from augfeed_service.settings import Settings

WARM = ("hflip | mixup(1.0)", "random_resized_crop(8) | rotate(5) | color_jitter(0.1, 0.1, 0.1)",
        "random_crop(8) | gaussian_noise(0.1) | cutout(2)")  # fmt: skip


class Service:
    """One service; opening it opens the data sets."""

    def __init__(self, settings: Settings, tell: Callable[[str], None] = lambda _: None) -> None:
        """Raise `InputError` for a data set, a device or keys that cannot be used."""
        self.settings, self.metrics, self.keys = settings, Metrics(), Keys(settings.keys)
        self.datasets = Datasets(settings, tell)
        self.plans = Plans(settings, self.datasets)
        self.pool = ThreadPoolExecutor(settings.threads, "augfeed-service")
        self.batches = Batches(settings, self.metrics, self.pool)
        self.engine: Engine = engine_for(settings.device)
        self.together = Together(self.engine, self.pool, self.metrics)
        self.fingerprint = fingerprint(None, settings)
        self.pushes = 0
        self._warm = self._draining = False
        for mounted in self.datasets:
            self.metrics.info.labels(__version__, mounted.name, mounted.fingerprint).set(1)

    def warm(self) -> None:
        """Compile, or load from disk, what batches are made with, so that ready means fast."""
        images = np.zeros((8, 16, 16, 3), np.uint8)
        for text in WARM:
            for name, dtype in DTYPES.items():
                policy = parse_policy(text)
                if name != "uint8":
                    policy = policy.with_(Normalize(0.5, 0.5))
                made = Pipeline(
                    (images, np.arange(8)), policy, order=Order(8), targets="sparse",
                    output=Output(dtype), place=Place(self.settings.device),
                )  # fmt: skip
                made.batch(0, 0)
        self._warm = True
        self.metrics.ready.set(1)

    def drain(self) -> None:
        """Tell from now on that no more requests are taken; those that come are still served."""
        self._draining = True
        self.metrics.ready.set(0)

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return self._warm and not self._draining

    def check_ready(self) -> None:
        """Raise `Problem` if requests should not come here."""
        if self._draining:
            raise Problem(503, "draining", "the service is shutting down", retry_after=1)
        if not self._warm:
            raise Problem(503, "overloaded", "the service is starting", retry_after=1)

    def allow(self, request: Request, scope: str) -> None:
        """Raise `Problem` unless a request's key is for this; note whose it is."""
        header = request.headers.get("authorization")
        request.state.key = self.keys.check(header, scope)

    async def in_pool(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return what a function returns, run by a thread of the pool."""
        context = copy_context()  # so that lines of the log bear the request's id there, too
        return await asyncio.get_running_loop().run_in_executor(
            self.pool, context.run, function, *given
        )

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield the body of a request, counted as in flight for as long as it is used."""
        taken, found = 0, bytearray()
        try:
            async with asyncio.timeout(self.settings.send_seconds):
                async for chunk in request.stream():
                    self.batches.take(len(chunk), "a request")
                    taken += len(chunk)
                    found += chunk
            yield found
        except ClientDisconnect:
            raise Problem(400, "malformed", "the body ended early: send all of it") from None
        except TimeoutError:
            raise Problem(
                408, "deadline", f"the body took more than {self.settings.send_seconds:g} seconds"
            ) from None
        finally:
            self.batches.give_back(taken)

    @asynccontextmanager
    async def pushing(self) -> AsyncIterator[None]:
        """Count a request to augment; raise `Problem` if there are too many."""
        if self.pushes >= self.settings.max_push:
            self.metrics.rejected.labels("push").inc()
            raise Problem(
                429, "too-many-requests",
                f"{self.pushes} requests are augmented already: ask again", retry_after=1,
            )  # fmt: skip
        self.pushes += 1
        try:
            yield
        finally:
            self.pushes -= 1


def service_of(request: Request) -> Service:
    """Return the service of a request."""
    service: Service = request.app.state.service
    return service


@asynccontextmanager
async def watched(request: Request) -> AsyncIterator["asyncio.Task[None]"]:
    """Yield a task that is done when the client has gone."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(watch())
    try:
        yield task
    finally:
        task.cancel()
