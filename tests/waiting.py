"""Waiting in tests: for what happens, never for a time to pass."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HANG = 120.0  # seconds; whatever else the machine does, what takes longer hangs


def eventually(true: Callable[[], object]) -> bool:
    """Wait until something is true; return whether it came to be."""
    until, pause = time.monotonic() + HANG, 0.0005  # most of it is true within a millisecond
    while not true():
        if time.monotonic() > until:
            return bool(true())
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def no_thread_but(before: set[threading.Thread]) -> bool:
    """Wait until all threads are gone that began since `set(threading.enumerate())`."""
    return eventually(lambda: set(threading.enumerate()) <= before)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port
