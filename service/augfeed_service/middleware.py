"""What is done for every request: a name, the clock, a line in the log."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from augfeed_service.metrics import Metrics
from augfeed_service.problems import Problem
from augfeed_service.responses import SlowReader

LOG = logging.getLogger("augfeed.access")
ERRORS = logging.getLogger("augfeed.service")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """Outermost of all: names, measures and logs requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        name = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = name
        told = _ResponseLog(name)
        begun = time.perf_counter()
        try:
            await self.app(scope, receive, told.around(send))
        finally:
            self._note(scope, told, time.perf_counter() - begun)

    def _note(self, scope: Scope, told: "_ResponseLog", seconds: float) -> None:
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


class Caught:
    """Answers errors of our own with 500, and logs each once.

    Starlette's own would do so outside of all that measures, names and logs requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except SlowReader as error:
            ERRORS.warning("answer broken off: %s", error)
        except Exception as error:
            ERRORS.error("request failed", exc_info=error)
            if not begun:
                detail = "the service has an error, which is in its log"
                await Problem(500, "internal", detail).response(scope["path"])(scope, receive, send)
            # Else the server ends the connection, as the answer is not whole.


class _ResponseLog:
    # What was answered: 499 if nothing was, as the client had gone.

    def __init__(self, name: str) -> None:
        self.name, self.status, self.nbytes = name, 499, 0

    def around(self, send: Send) -> Send:
        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", self.name.encode())]
            elif message["type"] == "http.response.body":
                self.nbytes += len(message.get("body", b""))
            await send(message)

        return logged
