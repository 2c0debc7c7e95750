"""Connections to replicas: requests that are answered whole, or not at all."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from augfeed.errors import InputError, InputTypeError

MOST_ERROR = 1 << 20  # bytes of an answer that is an error
SLOWEST = 0.001  # seconds; a timeout of 0 would mean not to wait at all


@dataclass(frozen=True, slots=True)
class Connection:
    """How services are spoken to.

    `workers` requests are under way at a time, `ahead` batches asked for before they are taken.
    `deadline` is how many seconds a batch may take in all, whatever is tried; `timeout` how long a
    replica may be silent before another one is tried. `key` goes along as a bearer token. Raises
    `InputError`.
    """

    workers: int = 4
    ahead: int = 8
    deadline: float = 60.0
    timeout: float = 10.0
    key: str | None = None

    def __post_init__(self) -> None:
        """Check all values."""
        for name in ("workers", "ahead"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name}={value!r} is not a positive whole number: use 4")
        for name in ("deadline", "timeout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise InputError(f"{name}={value!r} is not a positive number of seconds: use 10")


class Broken(Exception):
    """A replica that gave no whole answer; the message says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `body` is memory of its own."""

    status: int
    headers: Any
    body: memoryview


def allocate(size: int) -> memoryview:
    """Return memory for an answer of so many bytes."""
    return memoryview(bytearray(size))


@dataclass(frozen=True, slots=True)
class Wish:
    """A request to one replica, to be answered before `until`, a time of `time.monotonic`.

    A replica may be silent for `timeout` seconds; an answer of more than `most` bytes is none.
    `room` makes the memory for an answer.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    until: float
    timeout: float
    most: int
    room: Callable[[int], memoryview] = allocate


class Replica:
    """One address of a service, and connections to it that are not in use at the moment."""

    def __init__(self, url: str) -> None:
        """Raise `InputError` for what is no address."""
        if not isinstance(url, str):
            raise InputTypeError(f"url={url!r} is no text: give one as 'http://127.0.0.1:8000'")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InputError(f"url={url!r} is no address ({error})") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise InputError(f"url={url!r} is no address: give one as 'http://127.0.0.1:8000'")
        self.url, self.secure = url.rstrip("/"), parts.scheme == "https"
        self.host, self.port, self.prefix = parts.hostname, port, parts.path.rstrip("/")
        self._forget()

    def _forget(self) -> None:
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __reduce__(self) -> tuple[type["Replica"], tuple[str]]:
        return Replica, (self.url,)  # connections belong to a process

    def ask(self, wish: Wish) -> Answer:
        """Return the answer to a request; raise `Broken` if it does not come whole in time."""
        line, used = self._take(wish.timeout)
        try:
            try:
                return self._exchange(line, wish)
            except (ConnectionError, http.client.BadStatusLine):
                # The other side closes connections that were idle; that is no failure of it.
                if not used or self._closed:
                    raise
                line.close()
                return self._exchange(line, wish)
        except (OSError, http.client.HTTPException, ValueError) as error:
            line.close()
            reason = str(error) or type(error).__name__
            raise Broken(f"{self.url}: {reason}") from error
        except BaseException:
            line.close()
            raise
        finally:
            self._put_back(line)

    def _exchange(self, line: http.client.HTTPConnection, wish: Wish) -> Answer:
        def wait() -> None:
            left = min(wish.timeout, wish.until - time.monotonic())
            if left <= 0:
                raise TimeoutError("no time is left")
            if line.sock is not None:
                line.sock.settimeout(max(left, SLOWEST))

        line.timeout = max(min(wish.timeout, wish.until - time.monotonic()), SLOWEST)
        wait()
        line.request(wish.method, self.prefix + wish.path, wish.body, dict(wish.headers))
        wait()
        response = line.getresponse()
        length = response.length
        if length is None:
            raise http.client.HTTPException("an answer without Content-Length")
        limit = wish.most if response.status in (200, 201) else MOST_ERROR
        if length > limit:
            raise http.client.HTTPException(f"an answer of {length:,} bytes, above {limit:,}")
        view, at = wish.room(length), 0
        reader: Any = response.fp
        while at < length:
            wait()
            got = reader.readinto1(view[at:])
            if not got:
                raise http.client.IncompleteRead(b"", length - at)
            at += got
        keep = not response.will_close
        response.close()
        if not keep:
            line.close()
        return Answer(response.status, response.headers, view)

    def _take(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._closed:
                raise Broken(f"{self.url}: closed")
            line = self._idle.pop() if self._idle else None
            used = line is not None and line.sock is not None
            if line is None:
                line = self._open(timeout)
            self._busy.add(line)
            return line, used

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self.secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout, context=context
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def _put_back(self, line: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(line)
            if self._closed:
                line.close()
            else:
                self._idle.append(line)

    def close(self) -> None:
        """End all connections; requests that are under way fail at once."""
        with self._lock:
            self._closed = True
            lines, self._idle = [*self._idle, *self._busy], []
        for line in lines:
            held = line.sock
            if held is not None:
                with suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
                if line not in self._busy:
                    line.close()

    def reopen(self) -> None:
        """Take requests again; in a forked process connections are those of the parent."""
        self._forget()
