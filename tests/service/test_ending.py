"""How a service ends, and how it reads keys and datasets again while it goes on."""

import asyncio
import http.client
import logging
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from augfeed import __version__
from augfeed_service import reload as reload_module
from augfeed_service.auth import line_of
from augfeed_service.reload import Reload
from tests.service.raw import head, line
from tests.service.servers import Process, Reply, Running, ask, described, digits, photos, serving
from tests.waiting import HANG, eventually

Data = dict[str, Path]


def get(port: int, path: str) -> Reply | None:
    try:
        return ask(port, "GET", path)
    except OSError:
        return None


def status(port: int, path: str) -> int:
    found = get(port, path)
    return 0 if found is None else found.status


# The end


def test_a_balancer_sees_the_end_before_the_socket_closes(data: Data) -> None:
    server = Process("--dataset", f"digits={data['digits']}", "--port", "0", AUGFEED_DRAIN="2")
    plan = described()
    assert ask(server.port, "PUT", f"/v1/plans/{plan.id}", plan.canonical()).status == 201
    path = f"/v1/plans/{plan.id}/epochs/0/batches/"
    before = get(server.port, f"{path}0")
    assert before is not None and before.status == 200 and "connection" not in before.headers
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG)
    idle.request("GET", "/livez")
    assert idle.getresponse().read() == b"live\n"
    sent = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: status(server.port, "/readyz") == 503)
    served = 0
    while (found := get(server.port, f"{path}{served % 8}")) is not None:
        assert found.status == 200 and found.headers["connection"] == "close"
        served += 1
        assert status(server.port, "/readyz") in (503, 0)
    assert time.monotonic() - sent >= 2 and served > 1
    idle.close()
    assert server.ended() == 0


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
def test_a_second_signal_and_ctrl_c_do_not_wait_for_balancers(
    data: Data, signals: tuple[signal.Signals, ...]
) -> None:
    server = Process("--dataset", f"digits={data['digits']}", "--port", "0",
                     AUGFEED_DRAIN="3600")  # fmt: skip
    assert status(server.port, "/readyz") == 200
    server.process.send_signal(signals[0])
    if len(signals) > 1:
        assert eventually(lambda: status(server.port, "/readyz") == 503)
        server.process.send_signal(signals[1])
    assert server.ended() == 0


STUCK = """
import ctypes, sys, threading
from augfeed_service import hard_exit, pull, server
from augfeed_service.cli import run, settings_of
from augfeed_service.logs import logging_to

libc, signalled, end_hard = ctypes.{library}(None), threading.Event(), server.end_hard

def armed(seconds):
    end_hard(seconds)
    signalled.set()

server.UNWIND = 1.0
if "{library}" == "PyDLL":
    hard_exit.AFTER = 0.1  # nothing of Python runs before it
pull.make = lambda *given: (print("begun", file=sys.stderr), signalled.wait(), libc.sleep(3600))
server.end_hard = armed
with logging_to(sys.stderr):
    run(settings_of({{"datasets": {{"digits": sys.argv[1]}}, "port": 0, "grace": 1, "drain": 0}}))
"""


@pytest.mark.parametrize("library", ["CDLL", "PyDLL"])
def test_the_process_ends_though_a_thread_does_not_come_back(data: Data, library: str) -> None:
    # A call by PyDLL keeps the interpreter's lock, so that no other thread of Python runs.
    code = STUCK.format(library=library)
    server = Process(str(data["digits"]), code=code)
    plan = described()
    assert ask(server.port, "PUT", f"/v1/plans/{plan.id}", plan.canonical()).status == 201
    with line(server.port) as one:
        one.sendall(head("GET", f"/v1/plans/{plan.id}/epochs/0/batches/0"))
        assert eventually(lambda: "begun\n" in server.lines)
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 1
    said = any("augfeed-service" in text for text in server.lines)
    assert said or library == "PyDLL", server.lines


def test_a_second_ctrl_c_cuts_off_what_is_under_way(data: Data) -> None:
    code = STUCK.format(library="CDLL").replace('"grace": 1', '"grace": 3600')
    server = Process(str(data["digits"]), code=code)
    plan = described()
    assert ask(server.port, "PUT", f"/v1/plans/{plan.id}", plan.canonical()).status == 201
    with line(server.port) as one:
        one.sendall(head("GET", f"/v1/plans/{plan.id}/epochs/0/batches/0"))
        assert eventually(lambda: "begun\n" in server.lines)
        server.process.send_signal(signal.SIGINT)
        assert eventually(lambda: any("requests under way: 1" in text for text in server.lines))
        server.process.send_signal(signal.SIGINT)
        assert server.ended() == 130
    assert any("requests cut off: 1" in text for text in server.lines), server.lines


@pytest.mark.parametrize("idle", [b"", b"GET /livez HTT", head("GET", "/livez")])
def test_ctrl_c_does_not_wait_for_connections_without_a_request(data: Data, idle: bytes) -> None:
    server = Process("--dataset", f"digits={data['digits']}", "--port", "0", AUGFEED_GRACE="3600")
    with line(server.port) as one:
        one.sendall(idle)
        assert status(server.port, "/readyz") == 200
        assert server.end(signal.SIGINT) == 0
    assert not any("requests under way" in text for text in server.lines)


COMPILING = """
import sys, threading
from augfeed_service.cli import run, settings_of
from augfeed_service.logs import logging_to
from augfeed_service.service import Service

def warm(self):
    print("serving on http://nowhere:1", file=sys.stderr)
    threading.Event().wait()

Service.warm = warm
with logging_to(sys.stderr):
    run(settings_of({"datasets": {"digits": sys.argv[1]}, "port": 0, "grace": 3600}))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_it_serves_ends_it_at_once(data: Data, sent: signal.Signals) -> None:
    server = Process(str(data["digits"]), code=COMPILING)
    assert server.end(sent) == 128 + sent


# Read again


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photos(tmp_path, 12)


def hung_up(running: Running) -> None:
    asyncio.run(Reload(running.service).run())


def test_a_signal_reads_keys_and_datasets_anew_and_loses_no_request(tmp_path: Path) -> None:
    root, keys = photos(tmp_path, 12), tmp_path / "keys"
    keys.write_text(line_of("one", "pull", "first"))
    server = Process("--dataset", f"photos={root}", "--port", "0", "--keys", str(keys))
    plan = described("photos", "resize([16, 16])", batch_size=4)
    lost: list[Any] = []
    done = threading.Event()

    def held() -> Any:
        found = ask(server.port, "GET", "/v1/datasets", Authorization="Bearer second")
        return found.status == 200 and b'"num_samples":13' in found.body

    def pull() -> int:
        count = 0
        key: Any = {"Authorization": "Bearer second"}
        while not done.is_set():
            found = ask(server.port, "GET", f"/v1/plans/{plan.id}/epochs/0/batches/0", **key)
            if found.status == 404 and found.problem == "unknown-plan":
                found = ask(server.port, "PUT", f"/v1/plans/{plan.id}", plan.canonical(), **key)
            if found.status not in (200, 201):
                lost.append(found)
            count += 1
        return count

    keys.write_text(line_of("two", "pull", "second"))
    assert ask(server.port, "GET", "/v1/info", Authorization="Bearer first").status == 200
    server.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: ask(server.port, "GET", "/v1/info",
                                  Authorization="Bearer second").status == 200)  # fmt: skip
    assert ask(server.port, "GET", "/v1/info", Authorization="Bearer first").status == 401
    with ThreadPoolExecutor(3) as threads:
        pulls = [threads.submit(pull) for _ in range(3)]
        try:
            shutil.copy(next(root.glob("*/*.jpg")), root / "a" / "new.jpg")
            for _ in range(3):
                server.process.send_signal(signal.SIGHUP)
            assert eventually(held)
        finally:
            done.set()
        assert all(one.result() > 0 for one in pulls)
    assert not lost
    assert server.end() == 0


def test_a_dataset_that_changed_has_another_fingerprint_and_its_plans_are_asked_for_again(
    tmp_path: Path, folder: Path
) -> None:
    with serving(datasets={"digits": digits(tmp_path), "photos": folder}) as running:
        same, other = described(), described("photos", "resize([16, 16])", batch_size=4)
        kept, changed = (f"{running.register(plan)}/0/batches/0" for plan in (same, other))
        before = {path: running.ask("GET", path) for path in (kept, changed)}
        shutil.copy(next(folder.glob("*/*.jpg")), folder / "a" / "new.jpg")
        hung_up(running)
        assert running.ask("GET", kept).body == before[kept].body
        assert running.ask("GET", changed).problem == "unknown-plan"
        running.register(other)
        after = running.ask("GET", changed)
        assert (
            after.headers["augfeed-fingerprint"] != before[changed].headers["augfeed-fingerprint"]
        )
        assert after.headers["etag"] != before[changed].headers["etag"]
        labels = {"version": __version__, "dataset": "photos"}
        for answered, value in ((before[changed], 0.0), (after, 1.0)):
            given = {**labels, "fingerprint": answered.headers["augfeed-fingerprint"]}
            assert running.metric("augfeed_info", **given) == value


def test_a_plan_that_is_registered_meanwhile_does_not_outlive_its_dataset(folder: Path) -> None:
    with serving(datasets={"photos": folder}) as running:
        plans, plan = running.service.plans, described("photos", "resize([8, 8])", batch_size=4)
        old = running.service.datasets.get("photos")
        get, done = running.service.datasets.get, threading.Event()

        def late(name: str) -> Any:
            found = get(name)
            shutil.copy(next(folder.glob("*/*.jpg")), folder / "a" / "new.jpg")
            hung_up(running)
            done.set()
            return found

        running.service.datasets.get = late  # type: ignore[method-assign]
        made, _ = plans.put(plan.id, plan)
        running.service.datasets.get = get  # type: ignore[method-assign]
        assert done.is_set() and made.mounted is old
        assert running.ask("GET", f"/v1/plans/{plan.id}").problem == "unknown-plan"


def test_what_cannot_be_read_anew_stays_as_it_was(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(line_of("one", "pull", "first"))
    with serving(datasets={"photos": folder}, keys=keys) as running:
        key = {"Authorization": "Bearer first"}
        before = running.ask("GET", "/v1/datasets", **key)
        shutil.rmtree(folder)
        for text in (None, "", "one pull nonsense"):
            if text is None:
                keys.unlink()
            else:
                keys.write_text(text)
            with caplog.at_level(logging.ERROR):
                hung_up(running)
            assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
            assert "keys" in caplog.text and "photos" in caplog.text
            caplog.clear()
            assert running.ask("GET", "/v1/datasets", **key).body == before.body


def test_reading_anew_waits_for_no_batch_and_for_what_is_read_already(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, most, go, mount = 0, 0, threading.Event(), reload_module.mount

    def counted(*given: Any) -> Any:
        nonlocal begun, most
        begun += 1
        most = max(most, begun)
        made = mount(*given)
        begun -= 1
        return made

    async def thrice(running: Running) -> None:
        reload = Reload(running.service)
        await asyncio.gather(*(reload.run() for _ in range(3)))

    monkeypatch.setattr(reload_module, "mount", counted)
    with serving(datasets={"photos": folder}, threads=1) as running:
        running.service.pool.submit(go.wait, HANG)  # the only thread that makes batches
        try:
            asyncio.run(asyncio.wait_for(thrice(running), HANG / 2))
        finally:
            go.set()
    assert (begun, most) == (0, 1)
