"""What a service answers that is no batch."""

import json
from dataclasses import dataclass

from augfeed.errors import AugfeedError


class RemoteError(AugfeedError, RuntimeError):
    """A service that cannot be reached in time, or refuses; the message says what was tried.

    `status` is that of the last answer, 0 if there was none; `name` is that of its problem.
    """

    def __init__(self, message: str, status: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.status, self.name = status, name


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is an error (RFC 9457)."""

    status: int
    name: str
    detail: str

    @classmethod
    def of(cls, status: int, body: bytes) -> "Problem":
        """Return what an answer says, whoever gave it: a proxy answers with pages of its own."""
        try:
            told = json.loads(body)
            name = str(told["type"]).rsplit("/", 1)[-1]
            return cls(status, name, str(told.get("detail", ""))[:1000])
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls(status, "", body[:200].decode("utf-8", "replace"))

    @property
    def passes(self) -> bool:
        """Whether another replica, or the same one later, may answer otherwise."""
        if self.status in (408, 412, 425, 429, 502, 503, 504):
            return True
        return self.status == 500 and self.name != "unreadable"

    def __str__(self) -> str:
        return f"{self.status} {self.name}: {self.detail}".rstrip(": ")
