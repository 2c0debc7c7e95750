"""What a service answers that is not a batch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from augfeed.errors import AugfeedError
from augfeed.operation.describe import shown

TOLD = 8  # broken images that a message tells the reasons of


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """An image of a request that cannot be used: its place among the images, what the caller calls
    it, and why."""

    index: int
    detail: str = ""
    name: str = ""

    @property
    def place(self) -> str:
        """Which one it is."""
        return f"images[{self.index}]" + (f" ({self.name})" if self.name else "")

    def __str__(self) -> str:
        reason = self.detail.removeprefix(f"images[{self.index}]: ")
        return f"{self.place}: {reason}" if reason else self.place


class RemoteError(AugfeedError, RuntimeError):
    """A service that cannot be reached in time, or refuses; the message says what was tried.

    `status` is that of the last answer, 0 if there was none; `name` is that of its problem;
    `images` are those of the request that cannot be used, if it failed by them.
    """

    def __init__(
        self, message: str, status: int = 0, name: str = "", images: Sequence[BrokenImage] = ()
    ) -> None:
        super().__init__(message + _listed(images))
        self.status, self.name, self.images = status, name, tuple(images)
        self._message = message

    def naming(self, names: Sequence[str]) -> "RemoteError":
        """Return the error with the images called as the caller calls them."""
        images = [replace(image, name=names[image.index]) if image.index < len(names) else image
                  for image in self.images]  # fmt: skip
        return RemoteError(self._message, self.status, self.name, images)


def _listed(images: Sequence[BrokenImage]) -> str:
    if not images:
        return ""
    text = "; ".join(map(str, images[:TOLD]))
    rest = ", ".join(image.place for image in images[TOLD:])
    return f": {text}" + (f"; and {len(images) - TOLD} more: {rest}" if rest else "")


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is an error (RFC 9457)."""

    status: int
    name: str
    detail: str
    images: tuple[BrokenImage, ...] = ()

    @classmethod
    def of(cls, status: int, body: bytes) -> "Problem":
        """Return what an answer says, anyone who gave it: a proxy answers with pages of its own."""
        try:
            told = json.loads(body)
            name = str(told["type"]).rsplit("/", 1)[-1]
            detail = str(told.get("detail", ""))[:1000]
            return cls(status, name, detail, tuple(_broken(told.get("images"))))
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls(status, "", body[:200].decode("utf-8", "replace"))

    @property
    def passes(self) -> bool:
        """Whether another replica, or the same one later, may answer otherwise."""
        if self.status in (408, 412, 425, 429, 502, 503, 504):
            return True
        return self.status == 500 and self.name != "unreadable"

    def error(self, address: str, location: str | None = None) -> RemoteError:
        """Return what is raised for it; `address` is that which was asked, `location` where the
        answer points to."""
        message = f"{address}: {self}"
        if 300 <= self.status < 400:
            message = (
                f"{address}: {self.status}, a redirect to {shown(location)}, which is not followed "
                "with a key and a request: give the address that it leads to"
            )
        return RemoteError(message, self.status, self.name, self.images)

    def __str__(self) -> str:
        return f"{self.status} {self.name}: {self.detail}".rstrip(": ")


def _broken(listed: Any) -> list[BrokenImage]:
    entries = listed if isinstance(listed, list) else []
    return [
        BrokenImage(entry["index"], str(entry.get("detail", ""))[:400])
        for entry in entries
        if isinstance(entry, dict) and type(entry.get("index")) is int and entry["index"] >= 0
    ]
