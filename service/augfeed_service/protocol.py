"""HTTP/1.1 as uvicorn and httptools speak it, with bounds on all that comes before a request."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from augfeed_service.connections import Connections
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

LOG = logging.getLogger("augfeed.connections")
IDLE, HEAD, BODY = "idle", "head", "body"  # what is being read
MOST_FIELDS = 128  # headers of a request
# A chunk of a body costs as much time as some hundred bytes: so many are free, others hold at least
# so many bytes on average.
FREE_CHUNKS, LEAST_CHUNK = 1024, 128
MOST_QUEUED = 16  # requests of a connection that wait for the answer to an earlier one
LINGER = 5.0  # seconds in which a client that still sends may read why it was refused
LATE = 1.0  # seconds; a timer that comes later says that this process slept, not the client


def bounded_protocol(settings: Settings, connections: Connections) -> Callable[..., Any]:
    """Return what makes a protocol for a connection, as `uvicorn.Config(http=...)` takes it."""
    return partial(BoundedProtocol, settings=settings, connections=connections)


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    httptools keeps a header until it has all of it, and uvicorn all headers of a request; so bytes
    are counted before they are parsed. `_loose` are those that came since something was complete:
    a head, a piece of a body, a body.
    """

    def __init__(self, *, settings: Settings, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.settings, self.open = settings, connections
        self._reading = IDLE
        self._loose = self._head = 0
        self._chunks = self._body = 0
        self._pieces: list[bytes] = []
        self._deaf = self._ending = False
        self._wrong: Problem | None = None
        self._last_word: Problem | None = None
        self._running: RequestResponseCycle | None = None
        self._head_due = 0.0
        self._head_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or turn the client away."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        if (problem := self.open.admit(self)) is not None:
            self._deaf = True
            transport.write(self._answer(problem))
            self._close()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; the request that is under way is reported so, not only the newest one."""
        self.open.leave(self)
        self._unset_keepalive_if_required()
        for timer in (self._head_timer, self._end_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._end_timer = self._stall_timer = None
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def close_idle(self) -> None:
        """Close it, as nothing is under way."""
        self._close()

    def timeout_keep_alive_handler(self) -> None:
        """Close it, as nothing came for long."""
        self.close_idle()

    def pause_writing(self) -> None:
        """Give a reader that does not read so long, and no longer."""
        super().pause_writing()
        if self._stall_timer is None:
            # The answer itself has a time, and gives up first.
            seconds = self.settings.send_seconds + LINGER
            self._stall_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _close(self) -> None:
        # What is written is still sent, to a reader that takes it.
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._end_in(self.settings.send_seconds)

    def _linger(self) -> None:
        # A socket that is closed while bytes come resets the connection, and may take the answer
        # from the client's hands. So: no more is said, and what comes is dropped for a while.
        self._deaf = self._ending = True
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_in(LINGER)

    def _end_in(self, seconds: float) -> None:
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(seconds, self.transport.abort)

    # What comes

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the bounds."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self.open.busy(self)
        self._loose += len(data)
        try:
            self.parser.feed_data(data)
            self._hand_on()
        except httptools.HttpParserUpgrade:
            self._deaf = True  # there is nothing to upgrade to, so this request is the last
            self.cycle.keep_alive = False
        except httptools.HttpParserError as error:
            detail = f"the bytes that came are not HTTP/1.1: {error}"
            self._refuse(self._wrong or Problem(400, "malformed", detail))
            return
        if self._loose > self.settings.max_head_bytes:
            self._refuse(self._too_long())
        elif self._reading == HEAD or (self._reading == IDLE and self._loose):
            self._expect_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._reading, self._head = HEAD, 0
        self._chunks = self._body = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the URL."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body mean nothing here."""
        self._count(len(name) + len(value) + 4)
        if self._reading != HEAD:
            return
        super().on_header(name, value)
        if len(self.headers) > MOST_FIELDS:
            detail = f"more than {MOST_FIELDS} headers: send fewer"
            self._stop(Problem(431, "too-large", detail))

    def on_headers_complete(self) -> None:
        """Begin to answer, or put the request behind those that came before it."""
        self._reading, self._loose = BODY, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if len(self.pipeline) >= MOST_QUEUED:
            detail = f"{MOST_QUEUED} requests wait in this connection: read their answers first"
            self._stop(Problem(429, "too-many-requests", detail))
        self._take_absolute()
        super().on_headers_complete()
        out: Any = _Out(self.transport, self._answered)
        self.cycle.transport = out

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._loose = 0
        self._body += len(body)
        self._pieces.append(body)

    def on_chunk_header(self) -> None:
        """Count a chunk of a body; many small ones are refused."""
        self._chunks += 1
        if self._body < LEAST_CHUNK * (self._chunks - 1 - FREE_CHUNKS):
            detail = (
                f"{self._chunks:,} chunks of the body hold {self._body:,} bytes, below "
                f"{LEAST_CHUNK} for each beyond the first {FREE_CHUNKS:,}: send larger ones, or "
                "Content-Length"
            )
            self._stop(Problem(400, "malformed", detail))

    def _hand_on(self) -> None:
        # Pieces that came together go on together: uvicorn copies all that waits with each.
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            super().on_body(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def on_message_complete(self) -> None:
        """End a request."""
        self._hand_on()
        self._reading, self._loose = IDLE, 0
        super().on_message_complete()

    def _take_absolute(self) -> None:
        # `GET http://host/path`: the host of the URL is the one that counts (RFC 9112, 3.2.2).
        _, scheme, rest = self.url.partition(b"://")
        if self.url.startswith(b"/") or not scheme:
            return
        host = httptools.parse_url(self.url).host or b""
        hosts = [at for at, (name, _) in enumerate(self.headers) if name == b"host"]
        if hosts:
            self.headers[hosts[0]] = (b"host", rest.split(b"/")[0].split(b"?")[0] or host)

    def _count(self, nbytes: int) -> None:
        self._head += nbytes
        if self._head > self.settings.max_head_bytes:
            self._stop(self._too_long())

    def _stop(self, problem: Problem) -> None:
        # In a callback of the parser: it ends with an error, and `data_received` with this one.
        self._wrong = problem
        raise ValueError(problem.detail)

    def _too_long(self) -> Problem:
        most = self.settings.max_head_bytes
        if self._reading == HEAD and 2 * len(self.url) > most:
            return Problem(414, "too-large", f"the URL has more than {most:,} bytes: shorten it")
        what = "trailers or chunk extensions" if self._reading == BODY else "headers"
        return Problem(431, "too-large", f"{what} of more than {most:,} bytes: send less")

    # Time

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._arm(self.settings.head_seconds)

    def _arm(self, seconds: float) -> None:
        self._head_due = self.loop.time() + seconds
        self._head_timer = self.loop.call_later(seconds, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing() or self._deaf:
            return
        if self.loop.time() - self._head_due > LATE:
            self._arm(LATE)  # what the client sent meanwhile may not have been read
        elif self._reading == IDLE and not self._loose:
            self.close_idle()
        else:
            seconds = self.settings.head_seconds
            detail = f"the headers took more than {seconds:g} seconds: send them at once"
            self._refuse(Problem(408, "deadline", detail))

    # What is answered

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request, unless this was the last one."""
        if self._ending:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._running is not None and not self._running.response_complete:
            return
        if self._last_word is not None:
            self._say(self._last_word)
        else:
            self.open.idle(self)

    def _answered(self) -> None:
        # In place of the transport's `close`, when an answer is the last one, or was broken off.
        running = self._running
        if running is not None and running.response_started and not running.response_complete:
            self.transport.abort()  # the client must not take a part for the whole
        elif self._reading == IDLE and not self._deaf:
            self._close()
        else:
            self._linger()

    def _refuse(self, problem: Problem) -> None:
        # An answer must not be written into another one: it waits until all others are sent.
        self.open.metrics.rejected.labels("connection").inc()
        LOG.info("connection of %s refused: %d %s", self.client, problem.status, problem.detail)
        last, running = self.cycle, self._running
        if running is None or running.response_complete:
            self._say(problem)
        elif last is not running and last.more_body:
            self.pipeline.popleft()  # the newest: its body is what is wrong
            self._deaf, self._last_word = True, problem
        elif not last.more_body:
            self._deaf, self._last_word = True, problem
        elif last.response_started:
            self.transport.abort()
        else:
            last.disconnected = True
            last.message_event.set()
            self._say(problem)

    def _say(self, problem: Problem) -> None:
        text = self._answer(problem)
        if self._reading == BODY and self.scope.get("method") == "HEAD":
            text = text.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.transport.write(text)
        self._linger()

    def _answer(self, problem: Problem) -> bytes:
        response = problem.response("")
        headers = [*self.server_state.default_headers, *response.raw_headers,
                   (b"connection", b"close")]  # fmt: skip
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return b"".join((STATUS_LINE[problem.status], lines, b"\r\n", bytes(response.body)))


class Flow(FlowControl):
    """Reads on only when no request waits: each answer would let in as much as a read brings."""

    def __init__(self, transport: asyncio.Transport, queued: deque[Any]) -> None:
        super().__init__(transport)
        self._queued = queued

    def resume_reading(self) -> None:
        """Read on, if no request waits."""
        if not self._queued:
            super().resume_reading()


class _Out:
    # What a request writes to: the transport, but for the way it is closed.

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, close
