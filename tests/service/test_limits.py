"""Hostile and heavy requests: refused, nothing grows, the next one is served."""

import http.client
import io
import json
import signal
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augfeed.errors import InputError
from augfeed.wire import MEDIA_TYPE, encode
from augfeed_service import Settings, pull
from augfeed_service.auth import Keys, line_of
from augfeed_service.cli import run, settings_of
from tests.augfeed.read.test_hostile import png_bomb
from tests.service.servers import Process, Running, ask, described, serving
from tests.waiting import HANG, eventually

Data = dict[str, Path]
GOOD = bytes(encode({"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}, {}))
PUSH = "/v1/augment?policy=hflip"


def alive(running: Running) -> None:
    assert running.ask("POST", PUSH, GOOD, Content_Type=MEDIA_TYPE).status == 200
    # The end of an answer is seen here a little earlier than there.
    assert eventually(lambda: running.service.batches.idle)


def form(files: list[bytes], name: str = "images") -> tuple[bytes, str]:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode() + one
        for one in files
    ]
    return b"\r\n".join(parts) + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_break_the_service(running: Running, data: Any) -> None:
    body = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    answer = running.ask("POST", PUSH, bytes(body[:cut]), Content_Type=MEDIA_TYPE)
    assert answer.status in (200, 400, 413, 422)
    alive(running)


def test_bombs_are_refused_by_what_they_declare(running: Running) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    jpeg = file.getvalue()
    at = jpeg.index(b"\xff\xc0") + 5
    declared = jpeg[:at] + struct.pack(">HH", 65500, 65500) + jpeg[at + 4 :]
    counted = running.metric("augfeed_decode_errors_total", reason="sent")
    body, kind = form([jpeg])
    assert running.ask("POST", PUSH, body, Content_Type=kind).status == 200  # all is loaded
    before = psutil.Process().memory_info().rss
    for bomb in (png_bomb(20000), declared):
        body, kind = form([jpeg, bomb])
        answer = running.ask("POST", f"{PUSH}", body, Content_Type=kind)
        assert answer.status == 422
        assert [one["index"] for one in json.loads(answer.body)["images"]] == [1]
        counted += 1
        assert running.metric("augfeed_decode_errors_total", reason="sent") == counted
    assert psutil.Process().memory_info().rss - before < 64 << 20
    alive(running)


def test_many_parts_fields_and_names_are_refused(running: Running) -> None:
    bodies = [form([b""] * 100_000), form([b"x"], "other"), form([b"x"] * 1025),
              (b'--x\r\nContent-Disposition: form-data; name="' + b"n" * 70_000 + b'"\r\n\r\n1\r\n'
               b"--x--\r\n", "multipart/form-data; boundary=x"),
              (b"", "multipart/form-data; boundary=" + "b" * 5000)]  # fmt: skip
    for body, kind in bodies:
        assert running.ask("POST", PUSH, body, Content_Type=kind).status in (400, 413, 422)
    alive(running)


def test_bodies_beyond_the_limit_are_refused_whatever_they_declare(data: Data) -> None:
    with serving(datasets=data, max_body_bytes=10_000) as running:
        declared = running.ask("POST", PUSH, b"x" * 20_000, Content_Type=MEDIA_TYPE)
        assert (declared.status, declared.problem) == (413, "too-large")
        line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=HANG)
        chunks = iter([b"x" * 4000] * 10)
        try:
            line.request("POST", PUSH, chunks, {"Content-Type": MEDIA_TYPE}, encode_chunked=True)
            assert line.getresponse().status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass  # cut off before all was sent
        finally:
            line.close()
        alive(running)


def test_a_header_that_declares_much_takes_no_memory(running: Running) -> None:
    alive(running)  # all is loaded
    before = psutil.Process().memory_info().rss
    for size in (1 << 40, 1 << 62):
        header = json.dumps({"images": {"dtype": "U8", "shape": [size, 8, 8, 3],
                                        "data_offsets": [0, size * 192]}}).encode()  # fmt: skip
        body = struct.pack("<Q", len(header)) + header + b"\0" * 64
        assert running.ask("POST", PUSH, body, Content_Type=MEDIA_TYPE).status == 400
    with socket.create_connection(("127.0.0.1", running.port), HANG) as line:
        line.sendall(f"POST {PUSH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MEDIA_TYPE}\r\n"
                     f"Content-Length: {1 << 40}\r\n\r\n".encode())  # fmt: skip
        assert b" 413 " in line.recv(1000)
    assert psutil.Process().memory_info().rss - before < 32 << 20
    alive(running)


def test_too_many_images_pixels_and_requests_are_refused(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, Any] = {"max_images": 4, "max_pixels": 100, "max_push": 1}
    with serving(datasets=data, **limits) as running:
        for shape in ((5, 8, 8, 3), (1, 11, 10, 3)):
            body = bytes(encode({"images": torch.zeros(shape, dtype=torch.uint8)}, {}))
            answer = running.ask("POST", PUSH, body, Content_Type=MEDIA_TYPE)
            assert (answer.status, answer.problem) == (413, "too-large")
        monkeypatch.setattr(running.service, "pushes", 1)
        answer = running.ask("POST", PUSH, GOOD, Content_Type=MEDIA_TYPE)
        assert (answer.status, answer.problem) == (429, "too-many-requests")
        assert answer.headers["retry-after"] == "1"


def test_pixels_of_files_count_together_before_any_is_decoded(data: Data) -> None:
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "JPEG")
    with serving(datasets=data, max_pixels=100, max_request_pixels=250) as running:
        for count, status in ((2, 200), (3, 413)):
            body, kind = form([file.getvalue()] * count)
            assert running.ask("POST", PUSH, body, Content_Type=kind).status == status


def test_images_of_a_dataset_have_no_more_pixels_than_others(data: Data) -> None:
    with serving(datasets=data, max_pixels=100 * 100) as running:  # theirs are 90 x 120
        shown = json.dumps({"dataset": "photos", "policy": "random_resized_crop(8)"})
        answer = running.ask("POST", "/v1/preview", shown, Content_Type="application/json")
        assert answer.status == 422 and "max_pixels" in answer.detail, answer.detail
        assert str(data["photos"]) not in answer.detail
        root = running.register(described("photos", "random_resized_crop(8)", batch_size=4))
        answer = running.ask("GET", f"{root}/0/batches/0")
        assert (answer.status, answer.problem) == (500, "unreadable")
        assert str(data["photos"]) not in answer.detail


def test_readers_that_stop_hold_no_more_than_the_limit_and_are_cut_off(data: Data) -> None:
    limits: dict[str, Any] = {"inflight_bytes": 30 << 20, "max_batch_bytes": 30 << 20,
                              "cache_bytes": 0, "send_seconds": 1.5, "look_ahead": 0}  # fmt: skip
    plan = described("digits", "resize([256, 256])", dtype="float32", batch_size=40)
    with serving(datasets=data, **limits) as running:
        root, lines = running.register(plan), []
        assert running.ask("GET", f"{root}/20/batches/0").status == 200  # all is loaded
        before, peak = psutil.Process().memory_info().rss, 0
        for k in range(20):
            line = socket.create_connection(("127.0.0.1", running.port), HANG)
            line.sendall(f"GET {root}/{k}/batches/0 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            lines.append(line)

        def cut_off() -> bool:
            nonlocal peak
            assert running.metric("augfeed_inflight_bytes") <= 30 << 20
            peak = max(peak, psutil.Process().memory_info().rss)
            answered = running.metric("augfeed_batches_total", source="made") >= 20 + 1
            return answered and running.service.batches.idle

        assert eventually(cut_off)
        assert peak - before < 140 << 20, peak - before
        for line in lines:
            line.close()
        assert running.ask("GET", f"{root}/0/batches/0").status == 200


def test_ten_times_the_load_gets_batches_or_is_asked_to_wait(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, said, make = described("digits", "resize([96, 96])", batch_size=60), Event(), pull.make
    monkeypatch.setattr(pull, "make", lambda *given: (said.wait(HANG), make(*given))[1])
    with serving(datasets=data, max_waiting=4, look_ahead=0, cache_bytes=0) as running:
        root = running.register(plan)

        def get(k: int) -> int:
            status = running.ask("GET", f"{root}/{k}/batches/0").status
            if status == 503:
                said.set()  # no batch is made before: all that are taken wait
            return status

        with ThreadPoolExecutor(40) as threads:
            statuses = list(threads.map(get, range(160)))
        assert set(statuses) == {200, 503} and statuses.count(200) >= 6
        assert get(0) == 200
        alive(running)


# Keys


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    lines = [line_of("trainer", "pull", "one"), "# none", line_of("app", "push", "two"),
             line_of("boss", "admin", "three")]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def test_keys_open_what_they_are_for(data: Data, keys: Path) -> None:
    with serving(datasets=data, keys=keys) as running:
        pull, push = "/v1/datasets", PUSH
        for key, expected in (("one", (200, 403)), ("two", (403, 200)), ("three", (200, 200)),
                              ("four", (401, 401)), ("", (401, 401))):  # fmt: skip
            given = {"Authorization": f"Bearer {key}"}
            found = (
                running.ask("GET", pull, **given).status,
                running.ask("POST", push, GOOD, Content_Type=MEDIA_TYPE, **given).status,
            )
            assert found == expected
        for header in ("one", "Basic one", "Bearer", "Bearer \xe9", "bearer one two"):
            assert running.ask("GET", pull, Authorization=header).status == 401
        assert running.ask("GET", pull).headers["www-authenticate"] == "Bearer"
        assert running.ask("GET", "/livez").status == 200
        plan = described()
        answer = running.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical(),
                             Authorization="Bearer one")  # fmt: skip
        path = f"/v1/plans/{plan.id}/epochs/0/batches/0"
        batch = running.ask("GET", path, Authorization="Bearer one")
        assert answer.status == 201 and "private" in batch.headers["cache-control"]
        assert running.ask("GET", path).status == 401


def test_every_key_is_compared_in_constant_time(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from augfeed_service import auth

    compared: list[Any] = []
    module: Any = auth
    compare = module.hmac.compare_digest

    def counted(a: str, b: str) -> bool:
        compared.append((a, b))
        return bool(compare(a, b))

    monkeypatch.setattr(module.hmac, "compare_digest", counted)
    assert Keys(keys).check("Bearer one", "pull") == "trainer" and len(compared) == 3


@pytest.mark.parametrize("text", ["", "# none", "name pull", "name pull abc",
                                  "name nothing " + "0" * 64, "name pull " + "g" * 64])  # fmt: skip
def test_a_file_of_keys_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match="keys="):
        Keys(tmp_path / "keys")
    with pytest.raises(InputError, match="cannot be read"):
        Keys(tmp_path / "absent")


def test_an_address_that_others_reach_needs_keys(keys: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(InputError, match="reached by others and no keys"):
            run(Settings(host=host))
        Settings(host=host, keys=keys).check_address()
        Settings(host=host, insecure=True).check_address()
    for host in ("127.0.0.1", "::1", "localhost"):
        Settings(host=host).check_address()


def test_settings_come_from_options_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AUGFEED_MAX_PLANS", "7")
    monkeypatch.setenv("AUGFEED_DATASETS", json.dumps({"digits": str(tmp_path)}))
    assert settings_of({"port": 9}).max_plans == 7
    assert settings_of({}).datasets == {"digits": tmp_path}
    assert settings_of({"kornia": "RandomGaussianBlur,RandomFog"}).kornia == (
        "RandomGaussianBlur", "RandomFog"
    )  # fmt: skip
    for wrong in ({"max_plans": 0}, {"nonsense": 1}, {"datasets": {"../a": "x"}},
                  {"inflight_bytes": 5}):  # fmt: skip
        with pytest.raises(InputError):
            settings_of(wrong)


def test_stages_of_kornia_are_served_if_they_are_allowed(data: Data) -> None:
    policy = "kornia('RandomGaussianBlur', kernel_size=[3, 3], sigma=[0.5, 1.0], p=1.0)"
    with serving(datasets=data, kornia=("RandomGaussianBlur",)) as running:
        root = running.register(described(policy=policy))
        assert running.ask("GET", f"{root}/0/batches/0").status == 200


# A process of its own


def test_sigterm_finishes_what_is_under_way_and_exits_with_0(data: Data) -> None:
    server = Process("--dataset", f"digits={data['digits']}", "--port", "0",
                     "--set", "cache_bytes=0", "--set", "look_ahead=0")  # fmt: skip
    plan = described("digits", "resize([256, 256])", batch_size=120, dtype="float32")
    assert ask(server.port, "PUT", f"/v1/plans/{plan.id}", plan.canonical()).status == 201
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANG)
    line.request("GET", f"/v1/plans/{plan.id}/epochs/0/batches/0")
    answer = line.getresponse()  # its head: the body is larger than what sockets hold
    server.process.send_signal(signal.SIGTERM)
    assert answer.status == 200 and len(answer.read()) > 120 * 256**2 * 4
    line.close()
    assert server.ended() == 0
    assert any('"status": 200' in line for line in server.lines)  # a line of JSON each
    with pytest.raises(OSError):
        ask(server.port, "GET", "/livez")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--dataset", "digits=/nowhere"], "dataset digits"), (["--dataset", "digits"], "NAME=PATH"),
     (["--host", "0.0.0.0"], "no keys are set"), (["--set", "max_plans=x"], "max_plans"),
     (["--dataset", "a=/b", "--dataset", "a=/c"], "'a' is given 2 times"),
     (["--set", "max_plans=3", "--set", "max_plans=4"], "'max_plans' is given 2 times")],
)  # fmt: skip
def test_what_keeps_a_service_from_starting_is_said(arguments: list[str], said: str) -> None:
    from typer.testing import CliRunner

    from augfeed.cli import app

    done = CliRunner().invoke(app, ["serve", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2 and said in done.stderr


@pytest.mark.slow  # with fewer requests `test_openapi` holds it, too
def test_what_the_interface_says_of_itself_holds_for_any_request(running: Running) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    count = 0
    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=12, deadline=None, database=None)
        @given(case=strategy)
        def check(case: Any) -> None:
            nonlocal count
            count += 1
            response = case.call()
            assert response.status_code < 500 or response.status_code == 503, case.as_curl_command()

        check()
    assert count > 100
    alive(running)
