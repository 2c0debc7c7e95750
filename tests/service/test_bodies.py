"""Bodies of requests: counted as they come, given a time and a place only when they are there."""

import asyncio
import io
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from augfeed.wire import MEDIA_TYPE, encode
from augfeed_service import Settings, request_guard
from augfeed_service.problems import Problem
from augfeed_service.protocol import FREE_CHUNKS, LEAST_CHUNK
from tests.service.raw import OK, answer, ended, head, line, push
from tests.service.servers import Running, described, serving
from tests.waiting import eventually

Data = dict[str, Path]
GOOD = bytes(encode({"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}, {}))
MIB = 1 << 20
PART = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
JSON = "Content-Type: application/json"
KINDS = {
    "tensors": ("POST", "/v1/augment?policy=hflip", f"Content-Type: {MEDIA_TYPE}", b"a" * 10),
    "a form": ("POST", "/v1/augment", "Content-Type: multipart/form-data; boundary=x", PART),
    "a form to look at": ("POST", "/v1/preview", "Content-Type: multipart/form-data; boundary=x",
                          PART),
    "a request to look at": ("POST", "/v1/preview", JSON, b'{"dataset": '),
    "an inference": ("POST", "/v2/models/hflip/infer", JSON, b'{"inputs": '),
    "a plan": ("PUT", "/v1/plans/1", JSON, b'{"dataset": '),
}  # fmt: skip
FRAMES = ["Content-Length: 60000000", "Transfer-Encoding: chunked"]


def begun(kind: str, frame: str = FRAMES[0]) -> bytes:
    """Return a request whose body has begun."""
    method, path, content, body = KINDS[kind]
    if frame != FRAMES[0]:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    if kind == "a plan":
        frame = frame.replace("60000000", "60000")  # a longer one is refused at once
    return head(method, path, content, frame) + body


def served(running: Running) -> None:
    """Check that batches are given out and images augmented."""
    path = f"{running.register(described())}/0/batches/0"
    assert running.ask("GET", path).status == 200
    assert (
        running.ask("POST", "/v1/augment?policy=hflip", GOOD, Content_Type=MEDIA_TYPE).status == 200
    )


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_bodies_that_never_come_keep_nobody_from_anything(
    data: Data, kind: str, frame: str
) -> None:
    with serving(datasets=data, max_push=4) as running, ExitStack() as stack:
        request = begun(kind, frame)
        for _ in range(40):
            stack.enter_context(line(running.port)).sendall(request)
        come = 40 * len(KINDS[kind][3])
        assert eventually(lambda: running.metric("augfeed_inflight_bytes") == come)
        assert running.service.pushes == 0
        served(running)


@pytest.fixture(scope="module")
def hasty(data: Data) -> Iterator[Running]:
    """A service that soon gives up on a body."""
    with serving(datasets=data, stall_seconds=0.4, body_seconds=1.5, body_rate=1000) as made:
        yield made


@pytest.mark.parametrize("frame", FRAMES)
def test_a_body_that_stalls_is_given_up(hasty: Running, frame: str) -> None:
    with ExitStack() as stack:  # side by side, as each waits for its time
        ones = {kind: stack.enter_context(line(hasty.port)) for kind in KINDS}
        for kind, one in ones.items():
            one.sendall(begun(kind, frame))
        for kind, one in ones.items():
            late = answer(one)
            assert (late.status, late.closes) == (408, True), kind
            assert "send it faster" in late.detail, kind
    assert eventually(lambda: hasty.service.batches.idle and not hasty.service.bodies.nbytes)
    served(hasty)


@pytest.mark.parametrize(("piece", "said"), [(20, "a second"), (2000, "more than")])
def test_a_body_that_drips_is_given_up(hasty: Running, piece: int, said: str) -> None:
    with line(hasty.port) as one:
        one.sendall(begun("tensors"))
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1) and push(one, b"a" * piece):
                pass

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            late = answer(one)
            assert late.status == 408 and said in late.detail
        finally:
            stop.set()
            thread.join()


def test_much_that_came_at_first_does_not_pay_for_what_does_not_come(data: Data) -> None:
    with serving(datasets=data, stall_seconds=0.3) as running, line(running.port) as one:
        one.sendall(begun("tensors") + b"a" * MIB)
        late = answer(one)
        assert late.status == 408
        assert re.match(r"[\d,]+ bytes of the body came in 0.3 seconds, below", late.detail)


def test_a_body_that_is_always_there_has_its_time_too() -> None:
    async def receive() -> Any:
        time.sleep(0.001)  # nothing else runs meanwhile
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def read() -> None:
        hasty = Settings(stall_seconds=0.1, body_seconds=0.2, body_rate=0)
        arriving = request_guard._Arriving(receive, {b"transfer-encoding": b"chunked"}, 5000, hasty)
        while True:
            await arriving.receive()

    with pytest.raises(Problem, match="more than 0") as caught:
        asyncio.run(read())
    assert caught.value.status == 408


def test_a_process_that_slept_does_not_blame_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_guard, "LATE", 0.05)
    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            asyncio.get_running_loop().call_soon(time.sleep, 0.3)
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"a", "more_body": False}

    async def read() -> Any:
        hasty = Settings(stall_seconds=0.1, body_seconds=0.1)
        return await request_guard._Arriving(
            receive, {b"content-length": b"1"}, 10, hasty
        ).receive()

    assert asyncio.run(read())["body"] == b"a" and asked == 2


def test_a_body_in_pieces_is_the_same_body(hasty: Running) -> None:
    method, path, content, _ = KINDS["tensors"]
    whole = hasty.ask(method, path, GOOD, Content_Type=MEDIA_TYPE)
    with line(hasty.port) as one:
        one.sendall(head(method, path, content, "Transfer-Encoding: chunked"))
        for at in range(0, len(GOOD), 100):
            piece = GOOD[at : at + 100]
            one.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        one.sendall(b"0\r\nAuthorization: trailer\r\n\r\n")
        found = answer(one)
        assert (found.status, found.body) == (200, whole.body)
        one.sendall(OK)
        assert answer(one).status == 200


@pytest.mark.parametrize("size", [1, 2, LEAST_CHUNK // 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_body_of_very_many_small_chunks_is_refused(
    running: Running, kind: str, size: int
) -> None:
    piece = b"%x\r\n%b\r\n" % (size, b"a" * size)
    with line(running.port) as one:
        one.sendall(begun(kind, FRAMES[1]))
        push(one, piece * 40 * FREE_CHUNKS)
        refused = answer(one)
        assert (refused.status, refused.closes) == (400, True)
        said = re.match(r"([\d,]+) chunks of the body", refused.detail)
        assert said and FREE_CHUNKS < int(said[1].replace(",", "")) < 3 * FREE_CHUNKS
        assert ended(one)


@pytest.mark.parametrize(
    "sizes", [[1] * (FREE_CHUNKS - 100), [LEAST_CHUNK] * 4 * FREE_CHUNKS,
              [2 * LEAST_CHUNK, 1] * 2 * FREE_CHUNKS],
    ids=["few", "as large as they must be", "on average"],
)  # fmt: skip
def test_a_body_of_chunks_that_are_large_on_average_is_the_same_body(
    running: Running, sizes: list[int]
) -> None:
    method, path, content, _ = KINDS["tensors"]
    rows = max(1, (sum(sizes) - 400) // (8 * 3))
    images = torch.arange(rows * 24).remainder(251).to(torch.uint8).reshape(1, rows, 8, 3)
    body = bytes(encode({"images": images}, {}))
    whole = running.ask(method, path, body, Content_Type=MEDIA_TYPE)
    with line(running.port) as one:
        one.sendall(head(method, path, content, "Transfer-Encoding: chunked"))
        pieces, at = [], 0
        for size in sizes:
            if piece := body[at : at + size]:
                pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
            at += size
        assert at >= len(body)
        one.sendall(b"".join(pieces) + b"0\r\n\r\n" + OK)
        found = answer(one)
        assert (found.status, found.body) == (200, whole.body)
        assert answer(one).status == 200


def test_bodies_leave_half_of_what_is_in_flight_to_others(data: Data) -> None:
    bounds = {"inflight_bytes": 32 * MIB, "max_batch_bytes": 16 * MIB, "max_body_bytes": 8 * MIB}
    with serving(datasets=data, **bounds) as running, ExitStack() as stack:
        ones = [stack.enter_context(line(running.port)) for _ in range(4)]
        for one in ones:  # within the bounds of each, and never ending
            one.sendall(head(*KINDS["tensors"][:3], f"Content-Length: {4 * MIB}"))
            one.sendall(b"a" * (4 * MIB - 1))
        assert eventually(lambda: running.service.bodies.nbytes == 16 * MIB - 4)
        large = b"a" * (128 << 10)
        refused = running.ask("POST", "/v1/augment?policy=hflip", large, Content_Type=MEDIA_TYPE)
        assert (refused.status, refused.problem) == (503, "overloaded")
        served(running)
        ones[0].sendall(b"a")
        assert answer(ones[0]).status == 400  # it is not a tensor
        body = running.ask("POST", "/v1/augment?policy=hflip", large, Content_Type=MEDIA_TYPE)
        assert body.status == 400


def test_a_body_that_could_never_be_in_flight_is_too_large(data: Data) -> None:
    bounds = {"inflight_bytes": 4 * MIB, "max_batch_bytes": 4 * MIB}
    with serving(datasets=data, **bounds) as running, line(running.port) as one:
        one.sendall(head(*KINDS["tensors"][:3], f"Content-Length: {5 * MIB}"))
        assert answer(one).status == 413


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_leaves_while_it_sends_is_not_an_error_of_the_service(
    data: Data, kind: str, frame: str, caplog: pytest.LogCaptureFixture
) -> None:
    def counted() -> set[str]:
        families = running.service.metrics.registry.collect()
        return {sample.labels["status"] for family in families for sample in family.samples
                if "status" in sample.labels}  # fmt: skip

    with caplog.at_level(logging.WARNING), serving(datasets=data) as running:
        for rest in (b"", b"\r\n--", b"a" * 50_000):
            with line(running.port) as one:
                one.sendall(begun(kind, frame) + (rest if frame == FRAMES[0] else b""))
                assert eventually(lambda: running.service.bodies.nbytes > 0)
            assert eventually(lambda: running.service.batches.idle)
        assert eventually(lambda: counted() == {"499"})
    assert not caplog.records


@pytest.mark.parametrize("frame", [FRAMES[0], None])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/livez", 405), ("POST", "/nowhere", 404), ("POST", "/v1/augment", 415),
     ("GET", "/livez", 400), ("HEAD", "/livez", 400), ("PUT", "/v1/plans/1?a=b", 400),
     ("POST", "/v1/augment?policy=hflip&policy=hflip", 400)],
)  # fmt: skip
def test_a_body_that_is_refused_is_not_taken_for_a_request(
    running: Running, method: str, path: str, status: int, frame: str | None
) -> None:
    hidden = OK * 3
    with line(running.port) as one:
        if frame is None:
            one.sendall(head(method, path, "Transfer-Encoding: chunked"))
            one.sendall(b"%x\r\n%b\r\n" % (len(hidden), hidden) + hidden)
        else:
            one.sendall(head(method, path, f"Content-Length: {2 * len(hidden)}") + hidden)
        refused = answer(one, bodiless=method == "HEAD")
        # What is behind the first chunk is not HTTP, and may be read before the request is refused.
        assert refused.status in (status, 400 if frame is None else status) and refused.closes
        push(one, hidden)
        push(one, hidden)
        assert ended(one)


def test_who_still_sends_a_body_that_is_refused_can_read_why(running: Running) -> None:
    size = 60 * MIB
    with line(running.port) as one:
        one.sendall(head("POST", "/v1/augment", f"Content-Length: {size}"))
        for _ in range(60):
            one.sendall(b"a" * MIB)  # is taken, though nobody reads it
        assert answer(one).status == 415


def test_files_of_a_form_do_not_go_to_a_disk(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_disk(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file was made")

    monkeypatch.setattr("tempfile.TemporaryFile", on_disk)
    monkeypatch.setattr("tempfile._io.open", on_disk)
    file = io.BytesIO()
    Image.effect_noise((1200, 1200), 200).convert("RGB").save(file, "PNG")
    assert len(file.getvalue()) > 1 << 20
    body = PART + file.getvalue() + b"\r\n--x--\r\n"
    answered = running.ask("POST", "/v1/augment?policy=resize([8,8])", body,
                           Content_Type="multipart/form-data; boundary=x")  # fmt: skip
    assert answered.status == 200, answered.body
