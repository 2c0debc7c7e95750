"""The connections of a service: how many there are, whose they are, and which are idle."""

import ipaddress
from collections import Counter
from typing import Protocol

from augfeed_service.metrics import Metrics
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings


class Connection(Protocol):
    """What is counted."""

    client: tuple[str, int] | None

    def close_idle(self) -> None:
        """Close it, as nothing is under way."""


class Connections:
    """Bounds connections, in all and for each client; all methods are for the loop's thread.

    An idle connection makes room for a new one: its client opens another when it needs it. A
    client is an IPv4 address, or the first 64 bits of an IPv6 address.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.most, self.most_of_one = settings.max_connections, settings.max_client_connections
        self.metrics = metrics
        self._clients: dict[Connection, str] = {}
        self._counts: Counter[str] = Counter()
        self._idle: dict[Connection, None] = {}  # the longest idle first

    def admit(self, one: Connection) -> Problem | None:
        """Count a connection; return the answer to it if there is no room."""
        client = client_of(one)
        if self._counts[client] >= self.most_of_one and not self._make_room(client):
            return self._refused(
                429, "too-many-requests",
                f"{self._counts[client]} connections of this client are open, the most that "
                "max_client_connections allows: use those again, or close some",
            )  # fmt: skip
        if len(self._clients) >= self.most and not self._make_room(None):
            return self._refused(
                503, "overloaded",
                f"{len(self._clients)} connections are open, the most that max_connections "
                "allows: ask again",
            )  # fmt: skip
        self._clients[one] = client
        self._counts[client] += 1
        self.metrics.connections.set(len(self._clients))
        return None

    def _refused(self, status: int, name: str, detail: str) -> Problem:
        self.metrics.rejected.labels("connections").inc()
        return Problem(status, name, detail, retry_after=1)

    def _make_room(self, client: str | None) -> bool:
        found = (one for one in self._idle if client in (None, self._clients[one]))
        oldest = next(found, None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.close_idle()
        return True

    def leave(self, one: Connection) -> None:
        """End the counting of a connection, if it is counted."""
        self._idle.pop(one, None)
        client = self._clients.pop(one, None)
        if client is None:
            return
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]
        self.metrics.connections.set(len(self._clients))

    def idle(self, one: Connection) -> None:
        """Note that nothing is under way in a connection."""
        if one in self._clients:
            self._idle[one] = None

    def busy(self, one: Connection) -> None:
        """Note that something came."""
        self._idle.pop(one, None)

    def __len__(self) -> int:
        return len(self._clients)


def client_of(one: Connection) -> str:
    """Return whose a connection is: an address, or the network of one that has billions."""
    host = "" if one.client is None else one.client[0]
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
