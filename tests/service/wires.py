"""One connection without a socket, whose time is that of the test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from augfeed_service import Settings
from augfeed_service.connections import Connections
from augfeed_service.metrics import Metrics
from augfeed_service.protocol import BoundedProtocol, bounded_protocol
from tests.service.raw import head

GET, WAIT = head("GET", "/"), head("GET", "/wait")
BAD = b"nonsense\r\n"  # where a chunk of a body begins, or a head
BODY = head("POST", "/body", "Transfer-Encoding: chunked")


class Timer:
    """What `call_later` returns."""

    def __init__(self, due: float, function: Callable[..., Any], given: tuple[Any, ...]) -> None:
        self.due, self.function, self.given = due, function, given
        self.ended = False

    def cancel(self) -> None:
        self.ended = True
        self.function, self.given = lambda: None, ()


class Clock:
    """An event loop whose time goes on where `pass_time` is called, and nowhere else."""

    def __init__(self) -> None:
        self.now, self.timers = 0.0, list[Timer]()

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Callable[..., Any], *given: Any) -> Timer:
        self.timers.append(Timer(self.now + seconds, function, given))
        return self.timers[-1]

    def create_task(self, *given: Any, **named: Any) -> Any:
        return asyncio.get_running_loop().create_task(*given, **named)

    async def pass_time(self, seconds: float) -> None:
        """Let so many seconds go by, one timer after the other."""
        until = self.now + seconds
        while due := sorted((t for t in self.waiting if t.due <= until), key=lambda t: t.due):
            self.now = max(self.now, due[0].due)
            self._fire(due[0])
            await settled()
        self.now = until
        await settled()

    async def sleep(self, seconds: float) -> None:
        """Let a time go by in which nothing runs, as that of a process that is stopped."""
        self.now += seconds
        for timer in [timer for timer in self.waiting if timer.due <= self.now]:
            self._fire(timer)
        await settled()

    @property
    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.ended]

    def _fire(self, timer: Timer) -> None:
        timer.ended = True
        timer.function(*timer.given)


class Pipe:
    """A transport that keeps what is written; `held` of it are bytes that no reader takes."""

    def __init__(self) -> None:
        self.sent, self.said = b"", list[str]()
        self.held, self.paused = 0, False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        assert not self.said, f"written after {self.said}"
        self.sent += data

    def write_eof(self) -> None:
        self.said.append("end")

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self.is_closing():
            self.said.append("closed")
            if not self.held:
                self.lose()

    def abort(self) -> None:
        if "aborted" not in self.said:
            self.said.append("aborted")
            self.lose()

    def lose(self) -> None:
        """End, as the client does."""
        if self.protocol is not None:
            protocol, self.protocol = self.protocol, None
            asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return "closed" in self.said or "aborted" in self.said

    def get_write_buffer_size(self) -> int:
        return self.held

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 5) if name in ("peername", "sockname") else None

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class App:
    """Answers `/` at once, `/body` with what it read, `/watch` when its client has gone, and the
    others when `go` is set: `/wait` with all, `/half` with the second half, `/broken` never."""

    def __init__(self) -> None:
        self.go, self.seen = asyncio.Event(), list[str]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.seen.append(path)
        body = b"done"
        if path == "/wait":
            await self.go.wait()
        if path in ("/body", "/watch"):
            body = b""
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.seen.append("gone")
                    await self.go.wait()
                    break
                body += message["body"]
                if path == "/body" and not message["more_body"]:
                    break
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", length)]})  # fmt: skip
        if path in ("/half", "/broken"):
            await send({"type": "http.response.body", "body": body[:2], "more_body": True})
            await self.go.wait()
            if path == "/broken":
                return
            body = body[2:]
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Wire:
    """A connection that has just come."""

    def __init__(self, **given: Any) -> None:
        self.settings = Settings(**given)
        self.open = Connections(self.settings, Metrics())
        self.clock, self.pipe, self.app = Clock(), Pipe(), App()
        self.state = ServerState()
        config = uvicorn.Config(self.app, log_config=None, lifespan="off", timeout_keep_alive=75)
        config.load()
        self.protocol: BoundedProtocol = bounded_protocol(self.settings, self.open)(
            config=config, server_state=self.state, app_state={}, _loop=self.clock
        )
        self.pipe.protocol = self.protocol
        transport: Any = self.pipe
        self.protocol.connection_made(transport)

    async def feed(self, *pieces: bytes) -> None:
        """Have bytes come, each piece by itself."""
        for piece in pieces:
            self.protocol.data_received(piece)
            await settled()

    @property
    def statuses(self) -> list[int]:
        """The statuses of all answers so far."""
        texts = self.pipe.sent.split(b"HTTP/1.1 ")
        return [int(text[:3]) for text in texts[1:]]

    @property
    def refused(self) -> float:
        """How many connections were refused, as the metrics have it."""
        found = self.open.metrics.registry.get_sample_value(
            "augfeed_rejected_total", {"reason": "connection"}
        )
        return found or 0.0


def played(play: Callable[..., Awaitable[None]], **given: Any) -> None:
    """Carry a test out with a connection."""

    async def run() -> None:
        wire = Wire(**given)
        try:
            await play(wire)
        finally:
            wire.pipe.lose()
            await settled()

    asyncio.run(run())


async def settled() -> None:
    """Let all run that can."""
    for _ in range(30):
        await asyncio.sleep(0)
