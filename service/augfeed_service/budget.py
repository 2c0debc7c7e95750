"""What memory a service may take, in parts that add up, and what it takes now."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from augfeed.errors import InputError
from augfeed.memory_pool import Memory
from augfeed.read.decode_memory import DecodeMemory, use_decode_memory
from augfeed.read.order import Orders
from augfeed_service.settings import Settings

RAISE = "start the service with more decode_bytes"


class Budget:
    """The parts of the memory that requests can make a service take, beside what it starts with.

    Each part has a bound of its own, and `settings.memory_bytes` is the sum of them: so no part
    waits for another. `room` bounds images while they are decoded, `memory` holds the blocks that
    images are made in, `orders` the orders of epochs.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        """Take nothing yet; what is used is shown in `registry`."""
        self.settings, self.registry = settings, registry
        self.room = DecodeMemory(settings.decode_bytes, RAISE)
        self.memory = Memory(settings.idle_bytes)
        # Half is for making one: its keys, its numbers, and what they are sorted into.
        self.orders = Orders(settings.plan_bytes // 4)
        self._used = Gauge(
            "augfeed_memory_bytes", "Memory taken by now, beside what the process starts with",
            ["part"], registry=registry,
        )  # fmt: skip
        bounds = Gauge("augfeed_memory_limit_bytes", "Memory that may be taken, beside what the "
                       "process starts with", ["part"], registry=registry)  # fmt: skip
        for part, limit in settings.parts.items():
            bounds.labels(part).set(limit)
        ProcessCollector(registry=registry)
        self.show("decoding", lambda: self.room.used)
        self.show("blocks", lambda: self.memory.idle_bytes)

    def show(self, part: str, used: Callable[[], float]) -> None:
        """Have a part's use shown by a function."""
        self._used.labels(part).set_function(used)

    def pool(self, threads: int, name: str) -> ThreadPoolExecutor:
        """Return threads that decode within the room."""
        return ThreadPoolExecutor(threads, name, initializer=partial(use_decode_memory, self.room))

    def check_dataset(self, name: str, length: int) -> None:
        """Raise `InputError` for a dataset whose orders are above what plans may take."""
        if 2 * 3 * 8 * length > self.settings.plan_bytes:
            raise InputError(
                f"dataset {name}: the orders of {length:,} samples take more than "
                f"plan_bytes={self.settings.plan_bytes}: give --set plan_bytes={6 * 8 * length}"
            )
