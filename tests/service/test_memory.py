"""Memory: all that requests make is counted before it is made, and the process stays within it."""

import io
import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from augfeed.wire import MEDIA_TYPE, encode
from tests.service.servers import Process, Reply, Running, ask, described, serving
from tests.service.test_limits import form
from tests.waiting import HANG

Data = dict[str, Path]
Request = tuple[str, str, bytes, str]  # method, path, body, its type
MIB = 1 << 20
BOUNDS: dict[str, Any] = {
    "inflight_bytes": 96 * MIB, "max_batch_bytes": 48 * MIB, "cache_bytes": 16 * MIB,
    "decode_bytes": 64 * MIB, "plan_bytes": 16 * MIB, "idle_bytes": 16 * MIB,
}  # fmt: skip
SUM = 208 * MIB
PUSH = "/v1/augment"


def tensors(count: int = 1, side: int = 8, **more: Any) -> bytes:
    images = torch.zeros(count, side, side, 3, dtype=torch.uint8)
    return bytes(encode({"images": images, **more}, {}))


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (side, side)).save(file, "PNG")
    return file.getvalue()


def infer(policy: str, body: dict[str, Any]) -> Request:
    return "POST", f"/v2/models/{policy}/infer", json.dumps(body).encode(), "application/json"


def of_json(count: int) -> dict[str, Any]:
    return {"name": "IMAGES", "datatype": "UINT8", "shape": [count, 8, 8, 3],
            "data": [0] * (count * 192)}  # fmt: skip


def preview(policy: str, samples: int = 16, epochs: int = 8) -> Request:
    asked = {"dataset": "digits", "policy": policy, "indices": [*range(samples)],
             "epochs": [*range(epochs)]}  # fmt: skip
    return "POST", "/v1/preview", json.dumps(asked).encode(), "application/json"


def push(query: str, body: bytes) -> Request:
    return "POST", f"{PUSH}?{query}", body, MEDIA_TYPE


def put(plan: dict[str, Any]) -> Request:
    return "PUT", f"/v1/plans/{'0' * 32}", json.dumps(plan).encode(), "application/json"


STAGES = ['{"op":"kornia","name":"RandomGamma"}'] * 100_000
# Requests that can never be carried out within the bounds, by what they would make.
NEVER: dict[str, Callable[[], Request]] = {
    "dense labels": lambda: push("policy=hflip&labels=dense&num_classes=1048576",
                                 tensors(512, labels=torch.zeros(512, dtype=torch.int64))),
    "wide labels": lambda: push("policy=hflip",
                                tensors(300, labels=torch.full((300, 40_000), 1 / 40_000))),
    "large images": lambda: push("policy=random_resized_crop(16000)", tensors()),
    "many images": lambda: push("policy=resize([1000,1000])", tensors(64)),
    "a large file": lambda: ("POST", f"{PUSH}?policy=resize([8,8])", *form([png(2500)])),
    "a long name": lambda: put({"dataset": "digits", "policy": {"name": "n" * 12_000_000}}),
    "a long policy": lambda: put({"dataset": "digits", "policy": {"operations": STAGES}}),
    "JSON to read": lambda: infer("hflip", {"inputs": [of_json(30_000)]}),
    "JSON to write": lambda: infer("resize([700,700])", {"inputs": [of_json(5)]}),
    "a long asked-for preview": lambda: preview("hflip |" * 20_000, 1, 1),
}  # fmt: skip


def send(port: int, request: Request) -> Reply:
    method, path, body, kind = request
    path = path.replace("|", "%7C").replace(" ", "%20")
    headers = {"Content_Type": kind} if kind else {}
    return ask(port, method, path, body or None, HANG, **headers)


@pytest.fixture(scope="module")
def bounded(data: Data) -> Iterator[Running]:
    with serving(datasets=data, **BOUNDS) as made:
        yield made


@pytest.mark.parametrize("name", NEVER)
def test_what_can_never_be_made_is_refused_with_its_size_and_a_cure(
    bounded: Running, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    augment = bounded.service.together.augment

    def counted(push: Any) -> Any:
        made.append(push)
        return augment(push)

    monkeypatch.setattr(bounded.service.together, "augment", counted)
    peak = bounded.metric("augfeed_memory_bytes", part="inflight")
    request = NEVER[name]()
    answer = send(bounded.port, request)
    assert answer.status == 413, answer.detail
    assert request[1].startswith("/v2") or answer.problem == "too-large"
    assert re.search(r"[\d,]{3,}.* above .*[\d,]{3,}", answer.detail), answer.detail
    assert ": " in answer.detail and "retry-after" not in answer.headers
    assert bounded.metric("augfeed_memory_bytes", part="inflight") == peak == 0
    assert not made or name == "JSON to write"  # what is written depends on the batch


def test_a_batch_that_never_fits_in_one_format_is_refused_in_that(bounded: Running) -> None:
    plan = described("photos", "random_resized_crop(560)", batch_size=12, dtype="float32")
    path = f"{bounded.register(plan)}/0/batches/0"
    answer = bounded.ask("GET", path, Accept="application/x-npz")
    assert (answer.status, answer.problem) == (413, "too-large") and "batch_size" in answer.detail
    assert bounded.ask("GET", f"{path}?rank=0&world=4", Accept="application/x-npz").status == 200
    assert bounded.ask("GET", path).status == 200


def test_what_fits_later_is_asked_to_wait(bounded: Running) -> None:
    body = tensors()
    room = BOUNDS["inflight_bytes"] - len(body) - 100
    bounded.service.batches.take(room, "a test")
    try:
        answer = send(bounded.port, push("policy=hflip", body))
        assert answer.status == 503, answer
        assert answer.headers["retry-after"] == "1"
    finally:
        bounded.service.batches.give_back(room)
    assert send(bounded.port, push("policy=hflip", tensors())).status == 200


def test_the_parts_of_the_budget_are_shown_with_their_bounds(bounded: Running) -> None:
    text = bounded.ask("GET", "/metrics").body.decode()
    limits = dict(re.findall(r'augfeed_memory_limit_bytes\{part="(\w+)"\} (\S+)', text))
    used = dict(re.findall(r'augfeed_memory_bytes\{part="(\w+)"\} (\S+)', text))
    assert sum(float(value) for value in limits.values()) == SUM
    assert set(limits) == {"inflight", "batches", "images", "decoding", "plans", "blocks"}
    assert set(used) >= set(limits) - {"images"}
    assert all(float(used[part]) <= float(limits[part]) for part in used)
    bounded.register(described())
    assert bounded.metric("augfeed_memory_bytes", part="plans") > 0


def test_a_budget_below_its_parts_is_refused(data: Data) -> None:
    from augfeed_service import Settings

    assert sum(Settings(**BOUNDS, memory_bytes=SUM).parts.values()) == SUM
    with pytest.raises(ValueError, match=f"memory_bytes={SUM - 1} is below {SUM}"):
        Settings(**BOUNDS, memory_bytes=SUM - 1)


def test_ranks_and_plans_take_no_more_than_their_part(data: Data) -> None:
    with serving(datasets=data, plan_bytes=1 << 20) as running:
        for seed in range(12):
            root = running.register(described(batch_size=64, seed=seed))
            for rank in range(64):
                answer = running.ask("GET", f"{root}/0/batches/0?rank={rank}&world=64")
                assert answer.status == 200
                if seed:
                    break
        assert 1 <= len(running.service.plans) < 12
        assert running.metric("augfeed_memory_bytes", part="plans") <= 1 << 20
        oldest = described(batch_size=64, seed=0)
        gone = running.ask("GET", f"/v1/plans/{oldest.id}")
        assert (gone.status, gone.problem) == (404, "unknown-plan")
        assert running.register(oldest)


def test_a_dataset_whose_orders_cannot_fit_is_said_at_the_start(tmp_path: Path) -> None:
    from augfeed.errors import InputError
    from augfeed_service import Settings, make_app

    images = np.zeros((30_000, 1, 1, 1), np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=np.zeros(30_000, np.int64))
    with pytest.raises(InputError, match=r"dataset many: .*--set plan_bytes=1440000"):
        make_app(Settings(datasets={"many": tmp_path / "many.npz"}, plan_bytes=1 << 20))


def test_who_reads_slowly_holds_no_image_of_another(bounded: Running) -> None:
    from augfeed_service.images import from_tensors
    from augfeed_service.push import Ask, Push, augment

    settings, engine = bounded.service.settings, bounded.service.engine
    made = Ask.of({"policy": "hflip"})
    pushes = [Push(from_tensors(bytearray(tensors(2)), settings), made, made.resolved(settings))
              for _ in range(3)]  # fmt: skip
    batches: Any = augment(pushes, engine)
    held = {batch.images.untyped_storage().data_ptr() for batch in batches}
    assert len(held) == 3
    assert all(batch.images.untyped_storage().nbytes() == 2 * 192 for batch in batches)


# A process of its own


@pytest.mark.skipif(sys.platform != "linux", reason="measured by Linux's peak of a process")
def test_the_resident_set_stays_within_the_budget_whatever_is_asked(data: Data) -> None:
    given = [f"{name}={value}" for name, value in {**BOUNDS, "threads": 4}.items()]
    server = Process(
        "--port", "0", *(part for name, path in data.items() for part in
                         ("--dataset", f"{name}={path}")),
        *(part for text in given for part in ("--set", text)),
    )  # fmt: skip
    slow: list[socket.socket] = []
    try:
        base = _warmed(server.port, server.process.pid)
        requests = [make() for make in NEVER.values()] + [*_heavy()] * 3
        statuses: list[int] = []
        with ThreadPoolExecutor(12) as threads:
            slow = _slow_readers(server.port)
            answers = list(threads.map(lambda one: send(server.port, one), requests * 2))
            statuses = [answer.status for answer in answers]
        assert set(statuses) <= {200, 201, 404, 413, 429, 503}, set(statuses)
        assert statuses.count(200) >= 10
        waiting = [answer for answer in answers if answer.status in (429, 503)]
        assert all("retry-after" in answer.headers for answer in waiting)
        peak = _peak(server.process.pid)
        assert peak - base <= SUM, (peak - base) / MIB
        assert send(server.port, push("policy=hflip", tensors())).status == 200
    finally:
        for line in slow:
            line.close()
        server.process.kill()
        server.ended()


def _heavy() -> Iterator[Request]:
    # What can be done, one or few at a time.
    files, kind = form([png(1900), png(1900)])
    yield "POST", f"{PUSH}?policy=resize([64,64])", files, kind
    yield push("policy=resize([600,600])&dtype=float32", tensors(8))
    yield push("policy=hflip&labels=dense&num_classes=20000",
               tensors(256, labels=torch.zeros(256, dtype=torch.int64)))  # fmt: skip
    yield infer("hflip", {"inputs": [of_json(4000)]})
    yield infer("resize([150,150])", {"inputs": [of_json(8)]})
    yield preview("random_resized_crop(16000) | cutmix", 6, 4)
    body, kind = form([png(1500)] * 3)
    yield "POST", "/v1/preview?policy=center_crop(1000)", body, kind
    for k in range(3):
        plan = described("photos", "random_resized_crop(500)", batch_size=16, seed=k)
        path = f"/v1/plans/{plan.id}"
        yield "PUT", path, plan.canonical(), "application/json"
        yield "GET", f"{path}/epochs/{k}/batches/0", b"", ""
        yield "GET", f"{path}/epochs/{k}/batches/0?rank=1&world=8", b"", ""


def _slow_readers(port: int) -> list[socket.socket]:
    lines = []
    for _ in range(8):
        line = socket.create_connection(("127.0.0.1", port), HANG)
        body = tensors(8)
        line.sendall(
            f"POST {PUSH}?policy=resize([600,600]) HTTP/1.1\r\nHost: x\r\nContent-Type: "
            f"{MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        lines.append(line)
    return lines


def _warmed(port: int, pid: int) -> int:
    # All code is loaded and compiled: what the process takes by itself.
    small = [push("policy=resize([9,9])", tensors()), infer("hflip", {"inputs": [of_json(1)]}),
             push("policy=resize([9,9])&dtype=float32", tensors()),
             preview("random_resized_crop(8) | cutmix", 1, 1)]  # fmt: skip
    files, kind = form([png(8)])
    small.append(("POST", f"{PUSH}?policy=resize([8,8])", files, kind))
    small.append(("POST", "/v1/preview?policy=center_crop(5)", files, kind))
    small.append(push("policy=hflip&labels=dense&num_classes=9",
                      tensors(2, labels=torch.zeros(2, dtype=torch.int64))))  # fmt: skip
    plan = described("photos", "random_resized_crop(8)", batch_size=2)
    small.append(("PUT", f"/v1/plans/{plan.id}", plan.canonical(), "application/json"))
    small.append(("GET", f"/v1/plans/{plan.id}/epochs/0/batches/0", b"", ""))
    for _ in range(2):
        for request in small:
            assert send(port, request).status in (200, 201)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins again
    return int(psutil.Process(pid).memory_info().rss)


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
