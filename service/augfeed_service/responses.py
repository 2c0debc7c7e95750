"""Answers of many bytes, sent from memory that others share, and given up on slow readers."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class SlowReader(Exception):
    """An answer was not taken in time, and is broken off."""


class BytesResponse(Response):
    """Sends parts of memory one after the other, none of them copied.

    `done` is called when all is sent, or cannot be. A reader that takes longer than `seconds` is
    cut off: the connection ends, and with it the claim on the memory.
    """

    def __init__(
        self, parts: Iterable[memoryview | bytes], headers: Mapping[str, str], media_type: str,
        *, seconds: float, done: Callable[[], None] = lambda: None, status: int = 200,
    ) -> None:  # fmt: skip
        self.parts = [part for part in parts if len(part)]
        self.seconds, self.done = seconds, done
        length = sum(memoryview(part).nbytes for part in self.parts)
        super().__init__(
            status_code=status, headers={**headers, "Content-Length": str(length)},
            media_type=media_type,
        )  # fmt: skip

    def init_headers(self, headers: Any = None) -> None:
        """Take the length given: that of a body that is not in `body`."""
        self.body = None  # type: ignore[assignment]
        super().init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send."""
        try:
            await asyncio.wait_for(self._send(scope, send), self.seconds)
        except TimeoutError:
            detail = f"the answer was not read within {self.seconds:g} seconds"
            raise SlowReader(detail) from None
        finally:
            self.done()

    async def _send(self, scope: Scope, send: Send) -> None:
        start = {
            "type": "http.response.start", "status": self.status_code, "headers": self.raw_headers
        }  # fmt: skip
        await send(start)
        if scope["method"] != "HEAD":
            for part in self.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        # It is sent when the reader has taken what came before: so memory is not given up early.
        await send({"type": "http.response.body", "body": b"", "more_body": False})
