"""Every line of the log is one of JSON, unless a terminal shows it; settings are said in one."""

import io
import json
import logging
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from augfeed.errors import InputError
from augfeed_service import Settings, request_guard
from augfeed_service.auth import Keys
from augfeed_service.cli import settings_of
from augfeed_service.logs import JsonLines, TextLines, logging_to
from augfeed_service.settings import OTHERS, unknown_variables
from tests.service.servers import SERVE, SERVED, Process, Running, ask, described, serving
from tests.template import run_script
from tests.test_commands import VARIABLE, texts, variables
from tests.waiting import HANG, eventually


def read(lines: list[str]) -> list[dict[str, Any]]:
    """Return the lines, each of which is an object with the members that all have."""
    found = [json.loads(line) for line in lines]
    for line in found:
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["level"] in ("info", "warning", "error", "critical")
        assert line["message"] and line["logger"] and "request" in line
    return found


def test_every_line_of_a_service_is_json_from_its_start_to_its_end(data: dict[str, Path]) -> None:
    given = ("--dataset", f"digits={data['digits']}", "--port", "0")
    server = Process(*given, new=True, AUGFEED_PROT="1")  # what imports say is of interest, too
    assert ask(server.port, "GET", "/v1/info", X_Request_Id="mine").status == 200
    assert ask(server.port, "GET", "/nowhere%C3%A9%0A").status == 404
    with socket.create_connection(("127.0.0.1", server.port), HANG) as line:
        line.sendall(b"nonsense\r\n\r\n")
        line.recv(1000)
    assert server.end() == 0
    found = read(server.lines)
    said = [line["message"] for line in found]
    assert "AUGFEED_PROT is not read: did you mean 'AUGFEED_PORT'?" in said[0]
    assert any(text.startswith("digits: 120 samples") for text in said)
    assert f"serving on http://127.0.0.1:{server.port}" in said
    (mine,) = [line for line in found if line["request"] == "mine"]
    assert (mine["status"], mine["path"], mine["method"]) == (200, "/v1/info", "GET")
    assert any(line["status"] == 404 for line in found if "status" in line)
    assert any(line["logger"] == "augfeed.connections" for line in found)


def test_an_error_is_one_line_with_its_request_and_its_traceback(
    data: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    with logging_to(stream), serving(datasets=data) as running:

        def broken(*_: Any) -> None:
            logging.getLogger("somewhere").warning("from a thread\nof the pool")
            raise ZeroDivisionError("a\nb\u2028c")

        monkeypatch.setattr(running.service.plans, "put", broken)
        plan = b'{"dataset": "digits", "policy": {}}'
        answer = running.ask("POST", "/v1/plans", plan, X_Request_Id="broken-7")
        assert answer.status == 500
        assert eventually(lambda: '"request failed"' in stream.getvalue())
    lines = [line for line in read(stream.getvalue().splitlines()) if line["request"]]
    assert {line["request"] for line in lines} == {"broken-7"}
    (failed,) = [line for line in lines if line["message"] == "request failed"]
    assert failed["level"] == "error" and "ZeroDivisionError: a\nb" in failed["traceback"]
    (inner,) = [line for line in lines if line["logger"] == "somewhere"]
    assert inner["message"] == "from a thread\nof the pool"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/v1/datasets", None), ("HEAD", "/v1/datasets", None), ("POST", "/v1/plans", b"{}"),
     ("POST", "/v1/augment?policy=hflip", b"a" * 100_000), ("GET", "/v2/models/hflip", None)],
)  # fmt: skip
@pytest.mark.parametrize("where", ["allow", "the edge"])
def test_an_error_of_our_own_is_counted_and_logged_as_500(
    data: dict[str, Path], monkeypatch: pytest.MonkeyPatch, method: str, path: str,
    body: bytes | None, where: str,
) -> None:  # fmt: skip
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    stream = io.StringIO()
    with logging_to(stream), serving(datasets=data) as running:
        if where == "allow":
            monkeypatch.setattr(running.service, "allow", broken)
        else:
            monkeypatch.setattr(request_guard, "check_host", broken)
        answer = running.ask(method, path, body, X_Request_Id="broken-7")
        assert answer.status == 500
        assert eventually(lambda: '"status": 500' in stream.getvalue())
        families = running.service.metrics.registry.collect()
        counted = {sample.labels["status"] for family in families for sample in family.samples
                   if "status" in sample.labels}  # fmt: skip
    assert counted == {"500"}
    lines = [line for line in read(stream.getvalue().splitlines()) if line["request"]]
    assert {line["request"] for line in lines} == {"broken-7"}
    (failed,) = [line for line in lines if "traceback" in line]
    assert failed["level"] == "error" and "ZeroDivisionError" in failed["traceback"]
    assert answer.headers["x-request-id"] == "broken-7"
    assert method == "HEAD" or json.loads(answer.body)
    assert where != "allow" or ("connection" in answer.headers) == (body is not None)


def test_a_reader_that_is_too_slow_is_a_warning(data: dict[str, Path]) -> None:
    plan = described("digits", "resize([512, 512])", batch_size=100)
    stream = io.StringIO()
    with logging_to(stream), serving(datasets=data, send_seconds=0.2) as running:
        path = f"{running.register(plan)}/0/batches/0"
        with socket.create_connection(("127.0.0.1", running.port), HANG) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert eventually(lambda: "answer broken off" in stream.getvalue())
    lines = read(stream.getvalue().splitlines())
    (late,) = [line for line in lines if "broken off" in line["message"]]
    assert late["level"] == "warning" and late["request"] and "0.2 seconds" in late["message"]
    assert not any("traceback" in line for line in lines)


def test_warnings_and_errors_of_threads_are_lines_too() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("over\nlines", stacklevel=1)
        thread = threading.Thread(target=lambda: 1 // 0, name="mine")
        thread.start()
        thread.join()
        logging.getLogger("x").info("%s", object(), extra={"fields": {"odd": {1, 2}}})
    found = read(stream.getvalue().splitlines())
    assert "over\nlines" in found[0]["message"]
    assert "mine" in found[1]["message"] and "ZeroDivisionError" in found[1]["traceback"]
    assert found[2]["odd"] == "{1, 2}"
    assert not any(isinstance(handler.formatter, JsonLines | TextLines)
                   for handler in logging.getLogger().handlers)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "variables_", "said"),
    [
        (["--set", "max_plans=x"], {}, "max_plans='x'"),
        (["--dataset", "digits=/nowhere"], {}, "'/nowhere' does not exist"),
        (["--host", "0.0.0.0"], {}, "give --keys FILE"),
        ([], {"AUGFEED_DATASETS": "nope"}, "AUGFEED_DATASETS='nope' is not JSON"),
        ([], {"AUGFEED_KEYS": "/"}, "keys='/'"),
    ],
)
def test_what_keeps_a_service_from_starting_is_one_line(
    arguments: list[str], variables_: dict[str, str], said: str
) -> None:
    module = "import runpy; runpy.run_module('augfeed_service', run_name='__main__')"
    for code in (SERVE, module):
        done = run_script(code, "--port", "0", *arguments, imports=SERVED, environment=variables_)
        (line,) = read(done.stderr.splitlines())
        assert done.returncode == 2 and not done.stdout
        assert line["level"] == "error" and said in line["message"] and "traceback" not in line


def test_a_terminal_shows_text() -> None:
    main, side = pty.openpty()
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "augfeed.cli", "serve", "--set", "max_plans=x"]
    with subprocess.Popen(command, stderr=side, env={**os.environ, "PYTHONPATH": paths}) as process:
        os.close(side)
        assert process.wait(HANG) == 2
    shown = os.read(main, 10_000).decode()
    os.close(main)
    assert "error:" in shown and "max_plans='x'" in shown
    assert '"message"' not in shown and "Traceback" not in shown
    record = logging.makeLogRecord({"msg": "serving on %s", "args": ("x",), "levelname": "INFO"})
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    serving on x", TextLines().format(record))


# Settings


BAD = {
    "port": ["x", "70000", "-1", "1.5", "", "tcp://10.0.0.1:8000"],
    "threads": ["-1", "x"],
    "grace": ["nan", "inf", "-1", "x"],
    "send_seconds": ["nan", "inf", "0", "x"],
    "cache_bytes": ["-1", "1GB"],
    "insecure": ["maybe"],
    "reader": ["x"],
    "on_error": ["ignore"],
    "datasets": ["nope", "[]", '{"a": 3}', '{"/": "x"}', "3"],
    "kornia": ["x", "{}", "[3]"],
    "max_batch_bytes": [str(1 << 40)],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items()
                                             for value in values])  # fmt: skip
def test_a_bad_value_is_one_line_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AUGFEED_{name.upper()}", value)
    with pytest.raises(InputError) as caught:
        settings_of({})
    text = str(caught.value)
    assert "\n" not in text and name in text.lower() and len(text) < 500, text


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"a pull x", b"a nonsense " + b"0" * 64])
def test_a_file_of_keys_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(repr(str(path)))):
        Keys(path)


@pytest.mark.parametrize(
    ("name", "near"),
    [("AUGFEED_PORTT", "'AUGFEED_PORT'"), ("AUGFEED_CACHE_BYTE", "'AUGFEED_CACHE_BYTES'"),
     ("augfeed_dataset", "'AUGFEED_DATASETS'"), ("AUGFEED_", "AUGFEED_PORT"),
     ("AUGFEED_ZZZZZZZZ", "AUGFEED_HOST")],
)  # fmt: skip
def test_a_variable_that_nothing_reads_is_named_with_a_near_one(name: str, near: str) -> None:
    (text,) = unknown_variables({name: "1", "PATH": "/", "AUGFEEDER": "1"})
    assert name in text and near in text


def test_a_variable_that_something_reads_is_not_named() -> None:
    assert unknown_variables(dict.fromkeys(variables(), "1")) == []
    assert unknown_variables({"augfeed_port": "1"}) == []
    settings = {f"AUGFEED_{name.upper()}" for name in Settings.model_fields}
    assert variables() - settings <= set(OTHERS)
    named = {name for where, text in texts() for name in VARIABLE.findall(text)
             if where.startswith("pipelines/")}  # fmt: skip
    assert set(OTHERS) <= named


def test_settings_that_a_text_names_exist() -> None:
    count = 0
    for where, text in texts():
        named = re.findall(r"--set[ =]([a-z_]+)=", text) + re.findall(r"\bsetting `(\w+)`", text)
        for name in named:
            assert name in Settings.model_fields, f"{where}: there is no setting {name}"
            count += 1
    assert count >= 2 and VARIABLE.search("AUGFEED_PORT")


def test_a_request_that_is_served_after_another_bears_its_own_id(running: Running) -> None:
    stream = io.StringIO()
    with logging_to(stream):
        for name in ("one", "two"):
            running.ask("GET", "/v1/info", X_Request_Id=name)
        running.ask("GET", "/v1/info")
        assert eventually(lambda: stream.getvalue().count('"status": 200') == 3)
    first, second, third = (line["request"] for line in read(stream.getvalue().splitlines()))
    assert (first, second) == ("one", "two") and third not in ("one", "two", None)
