"""Lines of the log: JSON with time, level and request, or text where a terminal reads it."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from starlette.types import ASGIApp, Receive, Scope, Send

LOG = logging.getLogger("augfeed.service")
# The request that is carried out; "" at start-up and between requests.
REQUEST: ContextVar[str] = ContextVar("augfeed_request", default="")


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON, its traceback included.

    Members: `time` (RFC 3339, UTC), `level`, `logger`, `message`, `request` (null outside of one),
    `traceback` of an exception, and those of `extra={"fields": {...}}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(), "request": REQUEST.get() or None,
        }  # fmt: skip
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        line |= getattr(record, "fields", {})
        return json.dumps(line, default=str)  # ASCII, so that no character ends the line


class TextLines(logging.Formatter):
    """Writes a record for a reader at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s%(request)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the request at its end."""
        request = REQUEST.get()
        record.request = f" [{request}]" if request else ""
        return super().format(record)


class Named:
    """Has lines that are written for a request bear its id, which the state of the request has."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry a request out."""
        if scope["type"] == "http":
            # It is not taken back: the server has a context for each request, and logs in it, too.
            REQUEST.set(scope.get("state", {}).get("request_id", ""))
        await self.app(scope, receive, send)


@contextmanager
def logging_to(stream: TextIO) -> Iterator[bool]:
    """Write what is logged, warned of or not caught to a stream; yield whether it is a terminal."""
    terminal = stream.isatty()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines() if terminal else JsonLines())
    root = logging.getLogger()
    before = root.handlers[:], root.level, threading.excepthook, sys.unraisablehook
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    threading.excepthook = _of_thread
    sys.unraisablehook = _unraisable
    try:
        yield terminal
    finally:
        logging.captureWarnings(False)
        root.handlers[:], level, threading.excepthook, sys.unraisablehook = before
        root.setLevel(level)


def _of_thread(given: Any) -> None:
    if given.exc_type is not SystemExit:
        name = getattr(given.thread, "name", "?")
        LOG.error("thread %s ended", name, exc_info=(given.exc_type, given.exc_value,
                                                     given.exc_traceback))  # fmt: skip


def _unraisable(given: Any) -> None:
    error = (given.exc_type, given.exc_value, given.exc_traceback)
    LOG.error("%s: %r", given.err_msg or "ignored", given.object, exc_info=error)
