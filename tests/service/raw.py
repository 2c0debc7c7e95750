"""Bytes to a service, and what comes back, with no client between."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tests.waiting import HANG

OK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Raw(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        return str(json.loads(self.body)["type"].rsplit("/", 1)[1])

    @property
    def detail(self) -> str:
        said = json.loads(self.body)
        return str(said["error"] if "error" in said else said["detail"])

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


@contextmanager
def line(port: int) -> Iterator[socket.socket]:
    """A connection."""
    with socket.create_connection(("127.0.0.1", port), HANG) as made:
        yield made


def head(method: str, path: str, *headers: str) -> bytes:
    """Return the head of a request."""
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


def push(one: socket.socket, data: bytes) -> bool:
    """Send; return whether the other side took all of it."""
    try:
        one.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def answer(one: socket.socket, *, bodiless: bool = False) -> Raw:
    """Read one answer; raise `EOFError` if none comes, or only a part of it."""
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        if not (piece := one.recv(1)):
            raise EOFError(text)
        text += piece
    first, *lines = text.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines), lines
    left, body = 0 if bodiless else int(headers.get("content-length", 0)), b""
    while left > len(body):
        if not (piece := one.recv(left - len(body))):
            raise EOFError(text)
        body += piece
    return Raw(int(first.split()[1]), headers, body)


def ended(one: socket.socket) -> bool:
    """Wait for the other side's end; return whether nothing else came before it."""
    with suppress(ConnectionResetError):
        return one.recv(1) == b""
    return True
