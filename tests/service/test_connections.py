"""Connections: bounded in number, in time, and in what they hold before a request is read."""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from augfeed_service import protocol
from augfeed_service.connections import Connections, client_of
from augfeed_service.metrics import Metrics
from augfeed_service.protocol import Flow, bounded_protocol
from augfeed_service.settings import Settings
from tests.service.raw import OK, Raw, answer, ended, head, line, push
from tests.service.servers import Running, described, serving
from tests.waiting import eventually

Data = dict[str, Path]
KIB, MIB = 1 << 10, 1 << 20
MOST = 64 * KIB
PUSH = ("POST", "/v1/augment?policy=hflip", "Content-Type: application/octet-stream")
CHUNKED = head(*PUSH, "Transfer-Encoding: chunked")

ENDLESS = {
    "a URL": (b"GET /", b"a", {414}),
    "a query": (b"GET /livez?a=", b"b", {414}),
    "a header": (b"GET / HTTP/1.1\r\na: ", b"b", {431}),
    "a header's name": (b"GET / HTTP/1.1\r\n", b"a", {431}),
    "headers": (b"GET / HTTP/1.1\r\n", b"some: thing\r\n", {431}),
    "short headers": (b"GET / HTTP/1.1\r\n", b"a:\r\n", {431}),
    "empty lines": (b"", b"\r\n", {431}),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\n", b"some: thing\r\n", {431}),
    "a trailer": (CHUNKED + b"1\r\na\r\n0\r\nsome: ", b"a", {431}),
    "a chunk's extension": (CHUNKED + b"1;a=", b"b", {400, 431}),
    "zeros of a chunk's length": (CHUNKED, b"0", {400, 431}),
    "headers behind another request": (OK + b"GET / HTTP/1.1\r\n", b"some: thing\r\n", {431}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_comes_before_a_body_is_refused_when_it_does_not_end(
    running: Running, kind: str
) -> None:
    begin, piece, statuses = ENDLESS[kind]
    with line(running.port) as one:
        push(one, begin)
        push(one, piece * (16 * MOST // len(piece)))
        if begin.startswith(OK):
            assert answer(one).status == 200
        refused = answer(one)
        assert refused.status in statuses and refused.closes, refused
        before = psutil.Process().memory_info().rss
        for _ in range(64):
            if not push(one, piece * (MIB // len(piece))):
                break
        assert psutil.Process().memory_info().rss - before < 16 * MIB
    assert eventually(lambda: running.metric("augfeed_connections") == 0)


def test_a_head_within_the_bound_is_read(running: Running) -> None:
    for given in ([f"A: {'b' * (MOST - 200)}"], [f"A{k}: {'b' * 500}" for k in range(120)]):
        with line(running.port) as one:
            one.sendall(head("GET", "/livez", *given))
            assert answer(one).status == 200
            one.sendall(OK)  # and it is counted again for each request
            assert answer(one).status == 200


def test_a_head_beyond_the_bound_is_refused_also_when_it_comes_at_once(running: Running) -> None:
    long = "a" * (100 * KIB)
    for path, header, status in ((f"/{long}", "A: b", 414), ("/livez", f"A: {long}", 431)):
        with line(running.port) as one:
            push(one, head("GET", path, header))
            refused = answer(one)
            assert refused.status == status and refused.closes


def test_a_body_is_not_a_head(running: Running) -> None:
    size = 8 * MIB
    with line(running.port) as one:
        one.sendall(head(*PUSH, f"Content-Length: {size}") + b" " * size)
        assert answer(one).status == 400  # it is not a tensor
        one.sendall(OK)
        assert answer(one).status == 200


# Time


@pytest.fixture(scope="module")
def hasty(data: Data) -> Iterator[Running]:
    """A service that waits for nobody."""
    with serving(datasets=data, head_seconds=0.4, send_seconds=1.0) as made:
        yield made


BEGUN = {
    "nothing": (b"", []),
    "an empty line": (b"\r\n", [408]),
    "a letter": (b"G", [408]),
    "half a URL": (b"GET /liv", [408]),
    "half a header": (b"GET /livez HTTP/1.1\r\nHo", [408]),
    "all but the end": (OK[:-2], [408]),
    "half of a second request": (OK + OK[:-2], [200, 408]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BEGUN)
def test_a_head_that_does_not_come_is_not_waited_for(hasty: Running, kind: str) -> None:
    begin, statuses = BEGUN[kind]
    with ExitStack() as stack:
        ones = [stack.enter_context(line(hasty.port)) for _ in range(40)]
        for one in ones:
            one.sendall(begin)
        for one in ones:
            assert [answer(one).status for _ in statuses] == statuses
            assert ended(one)
    assert eventually(lambda: hasty.metric("augfeed_connections") == 0)


def test_a_head_that_comes_by_drops_is_not_waited_for(hasty: Running) -> None:
    with line(hasty.port) as one:
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nA: ")
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05) and push(one, b"b"):
                pass

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert answer(one).status == 408
        finally:
            stop.set()
            thread.join()


def test_a_reader_that_stops_loses_its_connection(
    hasty: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER", 3600.0)  # the answer itself gives up
    plan = described("digits", "resize([512, 512])", batch_size=100)
    path = f"{hasty.register(plan)}/0/batches/0"
    with line(hasty.port) as one:
        one.sendall(head("GET", path))
        assert one.recv(10)  # and no more, though the connection stays open here
        assert eventually(lambda: hasty.metric("augfeed_inflight_bytes") == 0)
        assert eventually(lambda: hasty.metric("augfeed_connections") == 0)


def test_answers_that_nobody_reads_end_the_connection(
    hasty: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER", 0.1)
    one: Any = SimpleNamespace(gone=False)
    one.abort = lambda: setattr(one, "gone", True)

    async def written(*steps: str) -> bool:
        made = bounded_protocol(hasty.service.settings, Connections(Settings(), Metrics()))(
            config=uvicorn.Config(hasty.app, log_config=None), server_state=ServerState(),
            app_state={},
        )  # fmt: skip
        made.transport, made.flow, one.gone = one, FlowControl(one), False
        for step in steps:
            getattr(made, step)()
        await asyncio.sleep(hasty.service.settings.send_seconds + 0.5)
        return bool(one.gone)

    assert asyncio.run(written("pause_writing"))
    assert not asyncio.run(written("pause_writing", "resume_writing"))


# Number


@pytest.mark.parametrize(
    ("bounds", "status"),
    [({"max_client_connections": 5}, 429), ({"max_connections": 5}, 503)],
)
def test_connections_beyond_the_bound_are_refused_and_closed(
    data: Data, bounds: dict[str, int], status: int
) -> None:
    with serving(datasets=data, **bounds) as running, ExitStack() as stack:
        ones = [stack.enter_context(line(running.port)) for _ in range(5)]
        for one in ones:
            one.sendall(OK[:-2])  # under way
        assert eventually(lambda: running.metric("augfeed_connections") == 5)
        for _ in range(20):
            with line(running.port) as more:
                refused = answer(more)
                assert refused.status == status and refused.closes
                assert refused.headers["retry-after"] == "1" and ended(more)
        assert running.metric("augfeed_rejected_total", reason="connections") == 20
        ones[0].close()
        assert eventually(lambda: running.metric("augfeed_connections") == 4)
        with line(running.port) as more:
            more.sendall(OK)
            assert answer(more).status == 200
        ones[1].sendall(b"\r\n")
        assert answer(ones[1]).status == 200


@pytest.mark.parametrize("bound", ["max_client_connections", "max_connections"])
def test_the_longest_idle_connection_makes_room(data: Data, bound: str) -> None:
    bounds = {bound: 5}
    with serving(datasets=data, **bounds) as running, ExitStack() as stack:
        ones = [stack.enter_context(line(running.port)) for _ in range(5)]
        for one in (*ones, ones[0]):  # the first was used last
            one.sendall(OK)
            assert answer(one).status == 200
        assert eventually(lambda: running.metric("augfeed_connections") == 5)
        with line(running.port) as more:
            more.sendall(OK)
            assert answer(more).status == 200
            assert ended(ones[1])
            for one in (ones[0], *ones[2:], more):
                one.sendall(OK)
                assert answer(one).status == 200


def test_a_client_is_an_address_or_the_network_of_one() -> None:
    class One:
        def __init__(self, host: str | None) -> None:
            self.client = None if host is None else (host, 1)

        def close_idle(self) -> None:
            raise AssertionError

    for host, client in (("10.0.0.1", "10.0.0.1"), (None, ""), ("::ffff:10.0.0.1", "10.0.0.1"),
                         ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
                         ("fe80::1%eth0", "fe80::/64")):  # fmt: skip
        assert client_of(One(host)) == client
    connections = Connections(Settings(max_client_connections=2), Metrics())
    ones = [One(f"2001:db8::{k}") for k in range(3)]
    assert [connections.admit(one) is None for one in ones] == [True, True, False]
    assert connections.admit(One("2001:db8:0:1::1")) is None
    for one in ones * 2:
        connections.leave(one)
    assert len(connections) == 1 and connections.admit(ones[2]) is None


# One after the other


def test_requests_that_are_sent_at_once_are_answered_in_their_order(running: Running) -> None:
    paths = ["/livez", "/v2", "/readyz", "/v1/info", "/nowhere"]
    alone = [running.ask("GET", path) for path in paths]
    with line(running.port) as one:
        one.sendall(b"".join(head("GET", path) for path in paths))
        for expected in alone:
            found = answer(one)
            assert (found.status, found.body) == (expected.status, expected.body)
        one.sendall(head("POST", "/v1/augment", "Content-Length: 3") + b"abc" + OK)
        assert answer(one).status == 415


def test_nothing_more_is_read_while_a_request_waits() -> None:
    class Socket:
        paused = False

        def pause_reading(self) -> None:
            self.paused = True

        def resume_reading(self) -> None:
            self.paused = False

    transport: Any = Socket()
    waiting: deque[Any] = deque(["a request"])
    flow = Flow(transport, waiting)
    flow.pause_reading()
    flow.resume_reading()
    assert transport.paused
    waiting.clear()
    flow.resume_reading()
    assert not transport.paused


def test_requests_beyond_a_few_are_not_kept(running: Running) -> None:
    with line(running.port) as one:
        one.sendall(OK * 4000)
        statuses = []
        try:
            while True:
                statuses.append(answer(one).status)
        except (EOFError, ConnectionResetError):
            pass
    assert 1 < len(statuses) <= 64 and statuses.pop() == 429 and set(statuses) == {200}


@pytest.mark.parametrize("garbage", [b"\0\0\0\r\n\r\n", b"GET / HTTP/1.1\r\na b: c\r\n\r\n",
                                     b"GET /" + b"a" * 2 * MOST,
                                     CHUNKED + b"nonsense\r\n", OK * 100])  # fmt: skip
def test_what_follows_a_request_does_not_change_its_answer(
    running: Running, garbage: bytes
) -> None:
    path = f"{running.register(described(seed=len(garbage)))}/0/batches/0"
    with line(running.port) as one:
        one.sendall(head("GET", path) + garbage)
        found = answer(one)
        rest = _rest(one)
    assert found.status == 200 and found.body == running.ask("GET", path).body
    assert rest[-1].status in (400, 414, 415, 429) and rest[-1].closes
    assert all(other.status == 200 for other in rest[:-1])


def _rest(one: socket.socket) -> list[Raw]:
    found: list[Raw] = []
    try:
        while len(found) < 200:
            found.append(answer(one))
    except (EOFError, ConnectionResetError):
        pass
    return found


def test_a_client_that_leaves_ends_every_request_of_its_connection(data: Data) -> None:
    with serving(datasets=data) as running:
        with line(running.port) as one:
            one.sendall(head(*PUSH, "Content-Length: 100") + b"a")
            assert eventually(lambda: running.metric("augfeed_inflight_bytes") == 1)
        assert eventually(lambda: running.service.batches.idle)
        assert eventually(lambda: running.metric("augfeed_connections") == 0)
