"""What all requests share: datasets, plans, batches, keys, metrics, and whether it is ready."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from typing import Any

import numpy as np
from starlette.requests import Request

from augfeed import Order, Pipeline, __version__, parse_policy
from augfeed.engines import DTYPES, Engine, Output, Place, engine_for
from augfeed.policy import Normalize
from augfeed_service.auth import Keys
from augfeed_service.batches import Batches
from augfeed_service.bodies import Bodies
from augfeed_service.budget import Budget
from augfeed_service.datasets import Datasets, fingerprint
from augfeed_service.image_cache import image_cache
from augfeed_service.metrics import Metrics
from augfeed_service.plans import Plans, Shared
from augfeed_service.preview import Previews
from augfeed_service.problems import Problem
from augfeed_service.push import Together
from augfeed_service.settings import Settings

WARM = ("hflip | mixup(1.0)", "random_resized_crop(8) | rotate(5) | color_jitter(0.1, 0.1, 0.1)",
        "random_crop(8) | gaussian_noise(0.1) | cutout(2)")  # fmt: skip


class Service:
    """One service; opening it opens the datasets."""

    def __init__(self, settings: Settings, tell: Callable[[str], None] = lambda _: None) -> None:
        """Raise `InputError` for a dataset, a device or keys that cannot be used."""
        self.settings, self.metrics, self.keys = settings, Metrics(), Keys(settings.keys)
        self.datasets = Datasets(settings, tell)
        self.budget = Budget(settings, self.metrics.registry)
        for mounted in self.datasets:
            self.budget.check_dataset(mounted.name, len(mounted.source))
        cache = image_cache(settings, self.budget)
        self.plans = Plans(self.datasets, Shared(settings, self.budget, cache))
        self.pool = self.budget.pool(settings.threads, "augfeed-service")
        self.batches = Batches(settings, self.metrics, self.pool)
        self.bodies = Bodies(settings, self.batches)
        self.previews = Previews(settings, self.budget, self.batches)
        self.budget.show("plans", lambda: self.plans.nbytes)
        self.budget.show("batches", lambda: self.batches.kept_bytes)
        self.budget.show("inflight", lambda: self.batches.inflight)
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

    @property
    def draining(self) -> bool:
        """Whether it shuts down, so that clients do better to connect elsewhere."""
        return self._draining

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
        """End the threads, and previews before their next image."""
        self.previews.close()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def body(self, request: Request) -> AbstractAsyncContextManager[bytearray]:
        """Yield the body of a request, counted as in flight for as long as it is used."""
        return self.bodies.read(request)

    def check_pushes(self) -> None:
        """Raise `Problem` if too many requests are augmented."""
        if self.pushes >= self.settings.max_push:
            self.metrics.rejected.labels("push").inc()
            raise Problem(
                429, "too-many-requests",
                f"{self.pushes} requests are augmented already: ask again", retry_after=1,
            )  # fmt: skip

    @asynccontextmanager
    async def pushing(self) -> AsyncIterator[None]:
        """Count a request to augment, whose body is there; raise `Problem` if there are too many.

        One whose body is still to come has no place: else those that never come would take all.
        """
        self.check_pushes()
        self.pushes += 1
        try:
            yield
        finally:
            self.pushes -= 1


def service_of(request: Request) -> Service:
    """Return the service of a request."""
    service: Service = request.app.state.service
    return service
