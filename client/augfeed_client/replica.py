"""One replica of a service: requests that are answered whole, or not at all."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from augfeed import __version__
from augfeed.errors import InputError, InputTypeError
from augfeed_client.connection import Connection
from augfeed_client.pool import Pool

MOST_ERROR = 1 << 20  # bytes of an answer that is an error
PIECE = 1 << 20  # bytes that are sent, or read of an answer of unknown length, at a time
SLOWEST = 0.001  # seconds; a timeout of 0 would mean not to wait at all
# What a server, or anyone who stands before it, says of TLS and will say again.
DISTRUST = ("WRONG_VERSION_NUMBER", "CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "PROTOCOL")

# Connections of a parent: to drop them takes locks that its threads may have held at the fork.
KEPT: list[Pool] = []


class ReplicaError(Exception):
    """A replica that gave no whole answer; the message says how.

    `lasting` is whether it will fail so each time: its certificate is not to be trusted.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `body` is memory of its own."""

    status: int
    headers: Mapping[str, str]
    body: memoryview


def allocate(size: int) -> memoryview:
    """Return memory for an answer of so many bytes, which are not set yet."""
    # NumPy asks Linux for huge pages: a page fault for each 4 KiB takes longer than reading them.
    array: Any = np.empty(size, np.uint8)
    return memoryview(array)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to one replica, to be answered before `until`, a time of `time.monotonic`.

    A replica may be silent for `timeout` seconds; an answer of more than `most` bytes is none.
    `room` makes the memory for an answer. The headers, with a key among them, are not shown.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    until: float
    timeout: float
    most: int
    room: Callable[[int], memoryview] = allocate

    @property
    def left(self) -> float:
        """Seconds to wait for what comes next; raises `TimeoutError` if none are left."""
        left = min(self.timeout, self.until - time.monotonic())
        if left <= 0:
            raise TimeoutError("no time is left")
        return max(left, SLOWEST)


class Replica:
    """One address of a service, and connections to it."""

    _pool: Pool | None

    def __init__(self, url: str, connection: Connection = Connection()) -> None:  # noqa: B008
        """Connect to nothing yet; raise `InputError` for what is not an address."""
        if not isinstance(url, str):
            raise InputTypeError(f"url={url!r} is not text: give one as 'http://127.0.0.1:8000'")
        try:
            parts = urlsplit(url)
            _ = parts.port
            urllib3.util.parse_url(url)  # which is stricter, and is what connects
        except (ValueError, HTTPError) as error:
            raise InputError(f"url={url!r} is not an address ({error})") from None
        if parts.username is not None or parts.password is not None:
            shown = f"{parts.scheme}://...@{parts.hostname}"
            raise InputError(f"url={shown!r} names a user: give the key as Connection(key=...)")
        if parts.scheme not in ("http", "https") or not parts.hostname or "?" in url or "#" in url:
            raise InputError(f"url={url!r} is not an address: give one as 'http://127.0.0.1:8000'")
        self.url, self.connection = url.rstrip("/"), connection
        self._address, self._pool = parts, None
        self.reopen()

    def reopen(self) -> None:
        """Take requests again; in a forked process connections are those of the parent."""
        if self._pool is not None and self._pool.inherited:
            KEPT.append(self._pool)
        self._lock, self._closed = threading.Lock(), False
        self._pool = None

    def __reduce__(self) -> tuple[type["Replica"], tuple[str, Connection]]:
        return Replica, (self.url, self.connection)  # connections belong to a process

    def ask(self, request: HttpRequest) -> Answer:
        """Return the answer to a request; raise `ReplicaError` if it does not come whole in time.

        Raises `InputError` for certificates and proxies that cannot be used.
        """
        pool = self._connected()
        answer = None
        try:
            answer = self._sent(pool, request)
            return _received(answer, request)
        except (OSError, http.client.HTTPException, HTTPError, ValueError) as error:
            reason, lasting = _reason(error)
            where = f"{self.url}{pool.through}"
            raise ReplicaError(f"{where}: {reason}", lasting=lasting and answer is None) from error

    def _connected(self) -> Pool:
        with self._lock:
            if self._closed:
                raise ReplicaError(f"{self.url}: closed")
            if self._pool is None:
                self._pool = Pool(self._address, self.connection)
            return self._pool

    def _sent(self, pool: Pool, request: HttpRequest) -> urllib3.HTTPResponse:
        try:
            return self._send(pool, request)
        except ProtocolError:
            # The other side closes connections that were idle; that is not a failure of it.
            if pool.ended:
                raise
            return self._send(pool, request)

    def _send(self, pool: Pool, request: HttpRequest) -> urllib3.HTTPResponse:
        left = request.left
        headers = {"User-Agent": f"augfeed/{__version__}", **request.headers}
        body: Any = None
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
            body = _pieces(request)
        answer = pool.manager.urlopen(
            request.method, self.url + request.path, redirect=False, body=body, headers=headers,
            timeout=urllib3.Timeout(connect=left, read=left), retries=False, preload_content=False,
            decode_content=False,
        )  # fmt: skip
        assert isinstance(answer, urllib3.HTTPResponse)
        return answer

    def close(self) -> None:
        """End all connections; requests that are under way fail at once."""
        with self._lock:
            self._closed, pool = True, self._pool
        if pool is not None:
            pool.end()


def _pieces(request: HttpRequest) -> Iterator[memoryview]:
    # Each may take as long as a replica may be silent, all of them no longer than there is time.
    assert request.body is not None
    view = memoryview(request.body)
    for at in range(0, len(view), PIECE):
        _ = request.left
        yield view[at : at + PIECE]


def _received(answer: urllib3.HTTPResponse, request: HttpRequest) -> Answer:
    # urllib3's own `read` and `readinto` copy what comes; http.client's response lies beneath.
    connection = answer.connection
    original: http.client.HTTPResponse = answer._original_response  # type: ignore[assignment]

    def wait() -> None:
        held = None if connection is None else connection.sock
        left = request.left
        if held is not None:
            held.settimeout(left)

    limit = request.most if answer.status in (200, 201) else MOST_ERROR
    try:
        if original.length is None:
            body = _unmeasured(original, request, limit, wait)
        else:
            body = _measured(original, request, limit, wait)
        original.close()  # before the connection is another one's
    except BaseException:
        original.close()
        answer.close()  # and the connection too: the rest of the answer is still in it
        raise
    finally:
        answer.release_conn()
    return Answer(answer.status, answer.headers, body)


def _measured(
    original: http.client.HTTPResponse, request: HttpRequest, limit: int, wait: Callable[[], None]
) -> memoryview:
    length = original.length or 0
    if length > limit:
        raise http.client.HTTPException(f"an answer of {length:,} bytes, above {limit:,}")
    view, at = request.room(length), 0
    reader: Any = original.fp
    while at < length:
        wait()
        got = reader.readinto1(view[at:])
        if not got:
            raise http.client.IncompleteRead(b"", length - at)
        at += got
    return view


def _unmeasured(
    original: http.client.HTTPResponse, request: HttpRequest, limit: int, wait: Callable[[], None]
) -> memoryview:
    # Proxies send pages in chunks; what ends with the connection may be cut short unseen.
    if not original.chunked and original.status in (200, 201):
        raise http.client.HTTPException("an answer without Content-Length")
    body = bytearray()
    wait()
    while piece := original.read1(PIECE):
        body += piece
        if len(body) > limit:
            raise http.client.HTTPException(f"an answer above {limit:,} bytes")
        wait()
    view = request.room(len(body))
    view[:] = body
    return view


def _reason(error: BaseException) -> tuple[str, bool]:
    # What urllib3 packs into its errors, and whether it will be the same each time.
    inner = error
    while isinstance(inner, HTTPError) and inner.args:
        if not isinstance(inner.args[-1], BaseException):
            break
        inner = inner.args[-1]
    told = getattr(inner, "reason", None) if isinstance(inner, ssl.SSLError) else None
    lasting = isinstance(told, str) and any(part in told for part in DISTRUST)
    reason = str(inner) or type(inner).__name__
    if lasting and isinstance(inner, ssl.SSLCertVerificationError):
        reason += "; Connection(ca_bundle=...) names certificates to trust"
    return reason, lasting
