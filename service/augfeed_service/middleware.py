"""What is done for every request: a name, a bound on its body, the clock, a line in the log."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from augfeed_service.metrics import Metrics
from augfeed_service.problems import Problem

LOG = logging.getLogger("augfeed.access")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Frame:
    """Outermost of all: names, measures and logs requests, and bounds their bodies.

    Bodies are counted as they come, whatever length they declare; compressed ones are refused.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, most: int) -> None:
        self.app, self.metrics, self.most = app, metrics, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        name = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = name
        told = _Told(name)
        begun = time.perf_counter()
        try:
            if problem := self._refused(headers):
                await problem.response(scope["path"])(scope, receive, told.around(send))
            else:
                await self.app(scope, self._bounded(receive), told.around(send))
        finally:
            self._note(scope, told, time.perf_counter() - begun)

    def _refused(self, headers: dict[bytes, bytes]) -> Problem | None:
        encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
        if encoding not in ("", "identity"):
            return Problem(
                415, "unsupported-media-type",
                f"Content-Encoding: {encoding[:40]!r}: bodies are read as they are, uncompressed",
            )  # fmt: skip
        length = headers.get(b"content-length", b"0").decode("latin-1")
        if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > self.most:
            return self._too_large()
        return None

    def _too_large(self) -> Problem:
        return Problem(413, "too-large", f"a body of more than {self.most:,} bytes: send less")

    def _bounded(self, receive: Receive) -> Receive:
        count = 0

        async def bounded() -> Message:
            nonlocal count
            message = await receive()
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                if count > self.most:
                    raise self._too_large()
            return message

        return bounded

    def _note(self, scope: Scope, told: "_Told", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.request_seconds.labels(route, method, str(told.status)).observe(seconds)
        if LOG.isEnabledFor(logging.INFO):
            line: dict[str, Any] = {
                "request": told.name, "method": scope["method"], "path": scope["path"][:300],
                "status": told.status, "seconds": round(seconds, 4), "bytes": told.nbytes,
                "client": (scope.get("client") or ("",))[0],
                "key": scope.get("state", {}).get("key", ""),
            }  # fmt: skip
            LOG.info("%(method)s %(path)r: %(status)s", line, extra={"fields": line})


_METHODS = ("GET", "HEAD", "PUT", "POST", "OPTIONS", "DELETE", "PATCH")


class _Told:
    # What was answered: 499 if nothing was, as the client had gone.

    def __init__(self, name: str) -> None:
        self.name, self.status, self.nbytes = name, 499, 0

    def around(self, send: Send) -> Send:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", self.name.encode())]
            elif message["type"] == "http.response.body":
                self.nbytes += len(message.get("body", b""))
            await send(message)

        return told
