"""What is checked of every request before a route sees it, and how its body comes."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from augfeed_service.hosts import check_host
from augfeed_service.problems import Problem
from augfeed_service.service import Service
from augfeed_service.settings import Settings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
LATE = 1.0  # seconds; a time-out that comes later says that this process slept, not the client


class Edge:
    """Refuses what no route may see, bounds bodies in size and time, and answers HEAD as GET.

    Bodies are counted as they come, whatever length they declare; compressed ones are refused. A
    connection whose request was answered before its body was read ends with the answer: the rest
    of the body is never taken for a request.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service, self.settings = app, service, service.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        head = scope["method"] == "HEAD"
        most = self.service.bodies.most
        body = _Arriving(receive, headers, most, self.settings)
        answer = _Answer(send, body, self.service, head=head)
        if problem := self._refused(scope, headers, body):
            await problem.response(scope["path"])(scope, body.receive, answer.send)
            return
        inner = {**scope, "method": "GET"} if head else scope
        try:
            await self.app(inner, body.receive, answer.send)
        finally:
            if head and "route" in inner:
                scope["route"] = inner["route"]

    def _refused(
        self, scope: Scope, headers: dict[bytes, bytes], body: "_Arriving"
    ) -> Problem | None:
        nbytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if nbytes + len(scope["query_string"]) > self.settings.max_head_bytes:
            most = self.settings.max_head_bytes
            return Problem(431, "too-large", f"headers of more than {most:,} bytes: send less")
        version = scope["http_version"]
        if problem := check_host(scope["headers"], version, self.settings):
            return problem
        encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
        if encoding not in ("", "identity"):
            return Problem(
                415, "unsupported-media-type",
                f"Content-Encoding: {encoding[:40]!r}: bodies are read as they are, uncompressed",
            )  # fmt: skip
        if scope["method"] in ("GET", "HEAD") and body.coming:
            return Problem(400, "malformed", f"{scope['method']} takes no body: send none")
        length = headers.get(b"content-length", b"0").decode("latin-1")
        if length.isascii() and length.isdigit() and int(length[:20]) > body.most:
            return body.too_large()
        return None


class _Arriving:
    # A body as it comes: how much of it, how fast, and whether all is there.

    def __init__(
        self, receive: Receive, headers: dict[bytes, bytes], most: int, settings: Settings
    ) -> None:
        self._receive, self.most, self.settings = receive, most, settings
        length = headers.get(b"content-length", b"0")
        self.coming = b"transfer-encoding" in headers or length.strip(b"0") != b""
        self.gone = False
        self.count = self._window_count = 0
        now = asyncio.get_running_loop().time()
        self._end = now + settings.body_seconds
        self._window = now + settings.stall_seconds

    def too_large(self) -> Problem:
        """Return the answer to a body that is too large."""
        return Problem(413, "too-large", f"a body of more than {self.most:,} bytes: send less")

    async def receive(self) -> Message:
        """Return what came; raise `Problem` for a body that is too large, or too slow."""
        if not self.coming:
            message = await self._receive()
        else:
            message = await self._in_time()
        if message["type"] == "http.disconnect":
            self.gone = True
        elif message["type"] == "http.request":
            self.count += len(message.get("body", b""))
            self.coming = bool(message.get("more_body", False))
            if self.count > self.most:
                raise self.too_large()
        return message

    async def _in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        while True:
            due = min(self._end, self._window)
            try:
                async with asyncio.timeout_at(due):
                    message = await self._receive()
            except TimeoutError:
                self._judge(loop.time(), due)
                continue
            self._window_count += len(message.get("body", b""))
            if message.get("more_body") and loop.time() >= due:
                self._judge(loop.time(), due)
            return message

    def _judge(self, now: float, due: float) -> None:
        # A time is up: raise `Problem`, or begin the next window.
        settings = self.settings
        if now - due > LATE:
            self._end += now - due
        elif now >= self._end:
            raise Problem(
                408, "deadline",
                f"the body took more than {settings.body_seconds:g} seconds: send it faster",
            )  # fmt: skip
        elif self._window_count < settings.body_rate * settings.stall_seconds:
            raise Problem(
                408, "deadline",
                f"{self._window_count:,} bytes of the body came in {settings.stall_seconds:g} "
                f"seconds, below {settings.body_rate:,} a second: send it faster",
            )  # fmt: skip
        self._window_count, self._window = 0, now + settings.stall_seconds


class _Answer:
    # Says that the connection ends if it has to; a HEAD has no body, and who has gone no answer.

    def __init__(self, send: Send, body: _Arriving, service: Service, *, head: bool) -> None:
        self._send, self.body, self.service, self.head = send, body, service, head
        self._started = self._dropped = False

    async def send(self, message: Message) -> None:
        """Send."""
        if message["type"] == "http.response.start":
            self._dropped = self.body.gone and not self._started
            self._started = True
            if self.body.coming or self.service.draining:
                headers: list[Any] = list(message["headers"])
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
        elif self.head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        if not self._dropped:
            await self._send(message)


def allowed_methods(request: Request) -> list[str]:
    """Return the methods that some route takes for the path of a request."""
    found = [
        method for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL
               for route in request.app.router.routes)
    ]  # fmt: skip
    return [*found, "HEAD"] if "GET" in found else found
