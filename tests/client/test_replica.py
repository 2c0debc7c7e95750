"""One replica: what is kept of connections, what is never shown or followed, forked processes."""

import logging
import os
import pickle
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from augfeed.errors import InputError
from augfeed_client import Client, Connection, RemoteError, RemoteLoader
from augfeed_client import replicas as replicas_module
from augfeed_client.errors import Problem
from augfeed_client.replica import Answer, HttpRequest, Replica, allocate
from augfeed_client.replicas import ASKED, FIRST, Replicas, asked_pause
from tests.client.fronts import Front, Scripted, answered
from tests.service.servers import Running, described, serving
from tests.template import run_script
from tests.waiting import HANG, eventually

KEY = "very-secret-key"
FAST = Connection(workers=3, ahead=4, deadline=HANG, timeout=HANG / 4)


def loader_of(urls: Any, connection: Connection = FAST, **given: Any) -> RemoteLoader:
    options: dict[str, Any] = {"dataset": "digits", "policy": "hflip", "batch_size": 4, "seed": 3}
    return RemoteLoader(urls, connection=connection, **{**options, **given})


# Connections


def test_connections_are_as_many_as_workers_and_none_is_left(running: Running) -> None:
    with Front(running.port) as front:
        loader = loader_of(front.url)
        for _ in range(3):
            assert len(list(loader)) == 30
        # One of the main thread for the plan, which is kept; each pass begins again.
        assert front.taken <= 3 * FAST.workers + 1
        assert eventually(lambda: front.open == 0)
        iterator = iter(loader)
        next(iterator)
        assert 1 <= front.open <= FAST.workers
        del iterator
        assert eventually(lambda: front.open == 0)
        held = iter(loader)
        next(held)
        del loader, held
        assert eventually(lambda: front.open == 0)


def test_a_client_keeps_its_connection(running: Running) -> None:
    with Front(running.port) as front, Client(front.url) as client:
        for _ in range(5):
            client.info()
        assert front.taken == front.open == 1
    assert eventually(lambda: front.open == 0)


def test_a_connection_that_ends_as_it_is_used_again_is_no_failure() -> None:
    def leave(head: bytes, number: int) -> bytes:
        if number == 1:
            raise ConnectionError
        return answered(200, b"{}")

    with Scripted(leave) as server, Client(server.url, Connection(deadline=HANG)) as client:
        assert client.info() == client.info() == {}
        assert server.taken == 2 and not client._replicas.stats.retries


def test_requests_under_way_end_with_the_client_at_once() -> None:
    gate, ended = threading.Event(), threading.Event()

    def stall(head: bytes, number: int) -> bytes:
        gate.set()
        ended.wait(HANG)
        return b""

    found: list[BaseException] = []

    def ask(client: Client) -> None:
        try:
            client.info()
        except RemoteError as error:
            found.append(error)

    with Scripted(stall) as server:
        client = Client(server.url, Connection(deadline=10 * HANG, timeout=10 * HANG))
        thread = threading.Thread(target=ask, args=(client,))
        thread.start()
        assert gate.wait(HANG)
        client.close()
        thread.join(HANG)
        assert not thread.is_alive()
        ended.set()
    assert "closed" in str(found[0])


@pytest.mark.parametrize("inner", [1, 30])
def test_passes_side_by_side_do_not_end_each_other(running: Running, inner: int) -> None:
    with Front(running.port) as front:
        loader = loader_of(front.url)
        expected = [images for images, _ in loader]
        found = []
        loader.set_epoch(0)
        outer = iter(loader)
        for step, (images, _) in enumerate(outer):
            found.append(images)
            if step % 10 == 0:
                loader.set_epoch(0)
                for count, (other, _) in enumerate(loader, 1):
                    assert torch.equal(other, expected[count - 1])
                    if count == inner:
                        break
        assert len(found) == 30 and all(map(torch.equal, found, expected))
        assert not loader.stats.retries and eventually(lambda: front.open == 0)


# Answers


@pytest.mark.parametrize("size", [0, 1, 100, 5 << 20])
def test_memory_for_an_answer_is_writable_and_of_its_own(size: int) -> None:
    first, second = allocate(size), allocate(size)
    first[:], second[:] = b"a" * size, b"b" * size
    assert first.nbytes == size and bytes(first) == b"a" * size and bytes(second) == b"b" * size


@pytest.mark.parametrize("chunked", [False, True])
def test_answers_are_taken_with_a_length_and_in_chunks(running: Running, chunked: bool) -> None:
    plan = described(batch_size=16)
    path = f"{running.register(plan)}/0/batches/1"
    body = running.ask("GET", path).body

    def relay(head: bytes, number: int) -> bytes:
        method, target = head.decode().split(" ")[:2]
        if method == "PUT":
            answer = running.ask("PUT", target, plan.canonical())
            return answered(200, answer.body, chunked=chunked)
        return answered(200, body, chunked=chunked)

    with Scripted(relay) as server, Client(server.url) as client:
        batch = client.batch(plan, 0, 1)
    with Client(running.url) as direct:
        assert torch.equal(batch.images, direct.batch(plan, 0, 1).images)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [100, 3 << 20])
def test_an_error_is_read_however_it_is_sent_but_not_without_end(chunked: bool, size: int) -> None:
    page = b"<html>forbidden" + b"x" * size
    with (
        Scripted(lambda head, n: answered(403, page, chunked=chunked)) as server,
        Client(server.url, Connection(deadline=1.0)) as client,
        pytest.raises(
            RemoteError, match="403 : <html>forbidden" if size < 1000 else "above"
        ) as one,
    ):
        client.info()
    assert len(str(one.value)) < 1000


def test_an_answer_without_length_or_chunks_is_not_a_batch() -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"
    with (
        Scripted(lambda head, n: answer) as server,
        Client(server.url, Connection(deadline=0.5)) as client,
        pytest.raises(RemoteError, match="without Content-Length"),
    ):
        client.info()


def test_a_refusal_that_comes_before_the_body_was_sent_is_read() -> None:
    refusal = answered(413, b'{"type": "x/too-large", "detail": "less"}', "Connection: close")
    with (
        Scripted(lambda head, n: refusal, reads_bodies=False) as server,
        Client(server.url, Connection(deadline=HANG)) as client,
        pytest.raises(RemoteError, match="413 too-large: less"),
    ):
        client.augment([b"x" * (8 << 20)], policy="hflip")


@pytest.mark.parametrize(
    "said",
    [b"[" * 100_000, b"Infinity", b'{"id": 3}', b"[]", b"\xff", b"3" * 5000,
     b'{"id": "ID", "image_shape": [Infinity, 1, 1], "classes": null}'],
)  # fmt: skip
def test_what_is_said_of_a_plan_is_an_answer_or_an_error_of_ours(said: bytes) -> None:
    def answer(head: bytes, number: int) -> bytes:
        name = head.split(b" ")[1].rsplit(b"/", 1)[-1]
        return answered(200, said.replace(b"ID", name))

    with Scripted(answer) as server:
        loader = loader_of(server.url, Connection(deadline=0.5))
        with pytest.raises(RemoteError, match="no whole answer within deadline"):
            len(loader)


@pytest.mark.parametrize(
    "url",
    ["http://a b", "http://a/#part", "http://a/?", "http://[::1", "http://", "http://a:99999", 3,
     "HTTP//a", "http://a\r\n"],
)  # fmt: skip
def test_what_is_no_address_is_named_at_once(url: Any) -> None:
    with pytest.raises((InputError, TypeError), match="url="):
        Replica(url)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_errors_and_the_key_goes_nowhere(status: int) -> None:
    with Scripted(lambda head, n: answered(200, b"{}")) as other:
        leads = f"Location: {other.url}/v1/info"
        with (
            Scripted(lambda head, n: answered(status, b"", leads)) as server,
            Client(server.url, Connection(deadline=HANG, key=KEY)) as client,
            pytest.raises(RemoteError, match=f"{status}, a redirect to '{other.url}") as caught,
        ):
            client.info()
        assert not other.taken and KEY not in str(caught.value)


# Keys


def test_a_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    given = Connection(key=KEY, deadline=0.5)
    loader = loader_of("http://127.0.0.1:1", given)
    wish = HttpRequest("GET", "/", {"Authorization": f"Bearer {KEY}"}, KEY.encode(), 1.0, 1.0, 1)
    shown = [
        repr(one) for one in (given, loader, loader._replicas, wish, Replica("http://x", given))
    ]
    with Scripted(lambda head, n: answered(503 if n % 2 else 401, b"no")) as server:
        for urls in (server.url, "http://127.0.0.1:1"):
            with pytest.raises(RemoteError) as caught:
                len(loader_of(urls, given))
            shown.append(repr(caught.getrepr(showlocals=False)))
        assert all(f"Bearer {KEY}".encode() in head for head in server.heads)
    assert server.heads and KEY not in "".join([*shown, caplog.text])
    assert pickle.loads(pickle.dumps(loader)).connection.key == KEY  # spawned workers need it


@pytest.mark.parametrize("key", ["", "a b", f"{KEY}\n", f"{KEY}\r\nX: y", "schlüssel", b"key", 3])
def test_keys_that_no_header_holds_are_refused_unseen(key: Any) -> None:
    with pytest.raises(InputError, match=r"key=\.\.\. is not a bearer token") as caught:
        Connection(key=key)
    assert KEY not in str(caught.value)


def test_a_password_in_an_address_is_refused_unseen() -> None:
    with pytest.raises(InputError, match="names a user") as caught:
        Replica("http://me:word@127.0.0.1")
    assert "word" not in str(caught.value)


# Retry-After


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [(None, FIRST, 1), ("0", FIRST, FIRST), ("3", 3, 3), (" 7 ", 7, 7), ("86400", ASKED, ASKED),
     ("9" * 5000, FIRST, ASKED), ("-3", FIRST, 1), ("soon", FIRST, 1), ("1.5", FIRST, 1),
     ("Fri, 31 Dec 9999 23:59:59 GMT", ASKED, ASKED),
     ("Sun, 06 Nov 1994 08:49:37 GMT", FIRST, FIRST)],
)  # fmt: skip
def test_retry_after_counts_up_to_a_cap(text: str | None, least: float, most: float) -> None:
    assert least <= asked_pause(text) <= most


def test_a_replica_is_left_alone_at_least_as_long_as_it_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = Answer(503, {"Retry-After": "20"}, memoryview(b""))
    refused = replicas_module._Refused(Problem(503, "overloaded", ""), answer)
    found = Replicas(["http://a.test", "http://b.test"], Connection())
    for k in range(50):
        clock = SimpleNamespace(monotonic=lambda: 1000.0, monotonic_ns=lambda k=k: k)
        monkeypatch.setattr(replicas_module, "time", clock)
        found._leave(found.all[0], refused)
        assert 1020 <= found._states["http://a.test"].until <= 1040
    order = found._order("x")
    assert found._next(order, 1001.0, {}, threading.Event()).url == "http://b.test"


# Processes

IMPORTS = ("torch", "augfeed_client.loader")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_leaves_the_connections_of_its_parent_alone(running: Running) -> None:
    code = f"""
    import gc, os, sys, warnings
    import torch
    warnings.simplefilter("ignore")
    from augfeed.errors import StateError
    from augfeed_client import Client, Connection, RemoteLoader
    def made():
        return RemoteLoader({running.url!r}, dataset="digits", policy="hflip", batch_size=4, seed=3,
                            connection=Connection(workers=3, ahead=4))
    expected = [images for images, _ in made()]
    loader, client = made(), Client({running.url!r})
    info, found, iterator = client.info(), [], iter(loader)
    for step, (images, _) in enumerate(iterator):
        found.append(images)
        if step % 5 == 2:
            pid = os.fork()
            if pid == 0:
                try:
                    assert client.info() == info
                    try:
                        next(iterator)
                        os._exit(3)
                    except StateError as error:
                        assert "another process" in str(error)
                    assert len(list(loader)) == 30
                    del iterator, loader
                    client.close()
                    gc.collect()
                    os._exit(0)
                except BaseException as error:
                    print(repr(error), file=sys.stderr)
                    os._exit(4)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert client.info() == info
    assert len(found) == 30 and all(map(torch.equal, found, expected))
    assert not loader.stats.retries, loader.stats
    """
    ended = run_script(textwrap.dedent(code), imports=IMPORTS)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_has_connections_of_its_own(running: Running) -> None:
    code = """
    import os, sys, warnings
    warnings.simplefilter("ignore")
    from augfeed_client import Client
    client = Client(sys.argv[1])
    info = client.info()
    if (pid := os.fork()) == 0:
        same = client.info() == info
        client.close()
        os._exit(0 if same else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.info() == info
    """
    with Front(running.port) as front:
        run_script(textwrap.dedent(code), front.url, imports=IMPORTS).check_returncode()
        assert front.taken == 2


def test_a_pass_that_was_closed_stays_closed_while_a_new_one_runs(
    data: dict[str, Path], running: Running
) -> None:
    with serving(datasets=data) as other:
        loader = loader_of([running.url, other.url])
        expected = [images for images, _ in loader]
        for _ in range(10):
            loader.set_epoch(0)
            iterator = iter(loader)
            next(iterator)
            loader.close()
            loader.set_epoch(0)
            found = [images for images, _ in loader]
            assert len(found) == 30 and all(map(torch.equal, found, expected))
            with pytest.raises((RemoteError, StopIteration)):
                next(iterator)
        assert set(loader.stats.retries) <= {"unknown-plan"}
