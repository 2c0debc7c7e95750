"""Requests as HTTP has them: their host, their methods, and what is not a request."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from augfeed_service.auth import line_of
from tests.service.raw import OK, answer, ended, head, line, push
from tests.service.servers import Running, described, serving
from tests.service.test_parameters import filled, routes
from tests.waiting import eventually

Data = dict[str, Path]
PATHS = sorted({path for _, path, _ in routes()})
GETS = sorted({path for method, path, _ in routes() if method == "GET"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def asked(port: int, *hosts: str, version: str = "1.1", target: str = "/livez") -> int:
    """Return the status of a request with some headers `Host`."""
    text = "".join(f"Host: {host}\r\n" for host in hosts)
    with line(port) as one:
        one.sendall(f"GET {target} HTTP/{version}\r\n{text}\r\n".encode("latin-1"))
        return answer(one).status


# Host


def test_a_request_has_one_host(running: Running) -> None:
    for hosts in ((), ("localhost", "localhost"), ("localhost", "evil.example"), ("",), ("a b",),
                  ("localhost:port",), ("local/host",), ("[::1",), ("user@localhost",),
                  ("localhost, localhost",), ("localhost:80:80",), ("\xe9",)):  # fmt: skip
        assert asked(running.port, *hosts) == 400, hosts
    assert asked(running.port, version="1.0") == 200  # which has none
    assert asked(running.port, "localhost", "localhost", version="1.0") == 400


FOREIGN = ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
           "192.168.1.1", "0.0.0.0", "[::2]", "notlocalhost", "127.0.0.1evil")  # fmt: skip


def test_on_loopback_without_keys_only_names_of_this_machine_are_asked_for(data: Data) -> None:
    with serving(datasets=data, allowed_hosts=("pool.internal",)) as running:
        for host in ("localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.8.8.8:1",
                     "[::1]", "[::1]:8000", "a.localhost", "Pool.internal:80"):  # fmt: skip
            assert asked(running.port, host) == 200, host
        for host in FOREIGN:
            assert asked(running.port, host) == 400, host
            target = f"http://{host}/livez"  # the host of the URL is the one that counts
            assert asked(running.port, "localhost", target=target) == 400
        assert asked(running.port, "evil.example", target="http://localhost/livez") == 200


def test_any_name_is_asked_for_where_keys_are_or_everyone_may(data: Data, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line_of("one", "pull", "key"))
    for given in ({"keys": tmp_path / "keys"}, {"insecure": True}):
        with serving(datasets=data, **given) as running:
            assert {asked(running.port, host) for host in FOREIGN[:8]} == {200}
            assert asked(running.port) == 400


# Methods


@pytest.mark.parametrize("path", GETS)
def test_head_is_answered_as_get_without_the_body(running: Running, path: str) -> None:
    plan = described()
    running.register(plan)
    place = filled(path, plan_id=plan.id, epoch="0", step="0", model="hflip", version="1")
    get = running.ask("GET", place)
    with line(running.port) as one:
        one.sendall(head("HEAD", place) + OK)
        found = answer(one, bodiless=True)
        assert found.status == get.status < 500
        assert answer(one).body == b"live\n"  # right behind it, so there was no body
    for name in ("content-type", "location"):
        assert found.headers.get(name) == get.headers.get(name)
    if path != "/metrics":  # which counts the requests
        assert found.headers["content-length"] == str(len(get.body))
        assert get.body or get.headers["location"]
    if get.status == 200:
        name, labels = "http_server_request_duration_seconds_count", {"method": "HEAD"}
        assert eventually(lambda: running.metric(name, route=path, status="200", **labels))


@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(
    running: Running, path: str
) -> None:
    place = filled(path)
    right = {method for method, other, _ in routes() if other == path}
    right |= {"HEAD"} if "GET" in right else set()
    for method in METHODS:
        with line(running.port) as one:
            one.sendall(head(method, place, "Content-Length: 0"))
            found = answer(one, bodiless=method == "HEAD")
        if method in right:
            assert found.status != 405
        else:
            assert found.status == 405
            assert set(found.headers["allow"].split(", ")) == right


def test_the_routes_are_those_of_the_application(running: Running) -> None:
    listed = {str(found.path) for found in iter_route_contexts(running.app.routes)}
    assert set(PATHS) == listed and len(GETS) >= 15


# What is not a request

POST = "POST /livez HTTP/1.1\nHost: localhost\n"
BROKEN = {
    "two lengths": f"{POST}Content-Length: 1\nContent-Length: 2\n\nab",
    "a length and chunks": f"{POST}Content-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n",
    "a negative length": f"{POST}Content-Length: -1\n\n",
    "a length that is not one": f"{POST}Content-Length: 1e3\n\n",
    "an endless length": f"{POST}Content-Length: {'9' * 40}\n\n",
    "another encoding": f"{POST}Transfer-Encoding: xchunked\n\n0\n\n",
    "chunked and then not": f"{POST}Transfer-Encoding: chunked, identity\n\n0\n\n",
    "a space before a colon": "GET /livez HTTP/1.1\nHost : localhost\n\n",
    "a folded header": "GET /livez HTTP/1.1\nHost: localhost\nA: b\n c\n\n",
    "a zero byte": "GET /livez HTTP/1.1\nHost: localhost\nA: b\0c\n\n",
    "no version": "GET /livez\n\n",
    "another version": "GET /livez HTTP/3.0\nHost: localhost\n\n",
    "HTTP/2": "PRI * HTTP/2.0\n\nSM\n\n",
    "another protocol": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    "another method": "BREW /livez HTTP/1.1\nHost: localhost\n\n",
    "a tunnel": "CONNECT evil.example:443 HTTP/1.1\nHost: localhost\n\n",
    "a chunk of another length": "POST /v1/augment HTTP/1.1\nHost: localhost\n"
    "Content-Type: application/octet-stream\nTransfer-Encoding: chunked\n\nzz\nabc\n",
    "too many headers": "GET /livez HTTP/1.1\nHost: localhost\n" + "a: b\n" * 200 + "\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_not_a_request_is_refused_and_nothing_behind_it_is_read(
    running: Running, kind: str
) -> None:
    with line(running.port) as one:
        push(one, BROKEN[kind].replace("\n", "\r\n").encode("latin-1"))
        push(one, OK * 3)
        refused = answer(one)
        assert refused.status == (431 if kind == "too many headers" else 400), refused
        assert refused.closes and refused.problem in ("malformed", "too-large")
        assert re.fullmatch(r"application/problem\+json", refused.headers["content-type"])
        assert ended(one)


def test_an_upgrade_is_not_made(running: Running) -> None:
    for wish in ("websocket", "h2c"):
        with line(running.port) as one:
            one.sendall(head("GET", "/livez", "Connection: Upgrade", f"Upgrade: {wish}"))
            found = answer(one)
            assert found.status == 200 and found.body == b"live\n"
            push(one, OK)
            assert ended(one)


def test_a_header_behind_a_body_is_not_one(data: Data, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line_of("one", "push", "key"))
    with serving(datasets=data, keys=tmp_path / "keys") as running, line(running.port) as one:
        one.sendall(head("POST", "/v1/augment?policy=hflip", "Transfer-Encoding: chunked",
                         "Content-Type: application/octet-stream")
                    + b"0\r\nAuthorization: Bearer key\r\n\r\n")  # fmt: skip
        assert answer(one).status == 401


def called(running: Running, method: str = "GET", **more: Any) -> list[Any]:
    """Return what the application sends, called as a server with another parser calls it."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": "/livez", "raw_path": b"/livez", "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost")], "client": None, "server": None,
    }  # fmt: skip
    asyncio.run(running.app({**scope, **more}, receive, send))
    return sent


@pytest.mark.parametrize("place", ["headers", "query_string"])
@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (70_000, 431)])
def test_the_bound_of_a_head_holds_under_every_server(
    running: Running, place: str, size: int, status: int
) -> None:
    many = [(b"a%d" % k, b"b" * 1000) for k in range(size // 1000)]
    given: Any = [(b"host", b"localhost"), *many] if place == "headers" else b"a" * size
    if place == "query_string" and status == 200:
        status = 400  # it takes no parameter
    assert called(running, **{place: given})[0]["status"] == status


def test_head_has_no_body_under_every_server(running: Running) -> None:
    get, head = called(running), called(running, "HEAD")
    assert get[0]["status"] == head[0]["status"] == 200
    for sent, body in ((get, b"live\n"), (head, b"")):
        assert b"".join(message["body"] for message in sent[1:]) == body
    lengths = [dict(sent[0]["headers"])[b"content-length"] for sent in (get, head)]
    assert lengths == [b"5", b"5"]
