"""Previews: bounded before anything is made, in a thread of their own, ended when nobody waits."""

import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch

from augfeed.wire import MEDIA_TYPE, encode
from augfeed_service import preview as previews
from augfeed_service.auth import line_of
from augfeed_service.problems import Problem
from tests.service.servers import Running, described, serving
from tests.waiting import HANG, eventually

Data = dict[str, Path]


def asked(policy: str, **more: Any) -> bytes:
    return json.dumps({"dataset": "digits", "policy": policy, **more}).encode()


def draw(running: Running, policy: str, **more: Any) -> Any:
    body = asked(policy, **more)
    return running.ask("POST", "/v1/preview", body, Content_Type="application/json")


def test_large_images_are_shown_small(running: Running) -> None:
    indices, epochs = list(range(16)), list(range(8))
    answer = draw(running, "random_resized_crop(16000)", indices=indices, epochs=epochs)
    assert answer.status == 200 and len(answer.body) < 16 << 20


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"indices": [0] * (previews.MOST_SAMPLES + 1)}, "indices"), ({"indices": []}, "indices"),
     ({"epochs": [0] * (previews.MOST_EPOCHS + 1)}, "epochs"), ({"epochs": []}, "epochs")],
)  # fmt: skip
def test_samples_and_epochs_are_few(running: Running, wrong: dict[str, Any], name: str) -> None:
    answer = draw(running, "hflip", **wrong)
    assert (answer.status, answer.problem) == (400, "malformed") and name in answer.detail


def test_of_many_images_the_first_are_shown(running: Running) -> None:
    def shown(count: int) -> bytes:
        images = torch.arange(count * 192).remainder(251).to(torch.uint8).reshape(count, 8, 8, 3)
        body = bytes(encode({"images": images}, {}))
        path = "/v1/preview?policy=hflip"
        answer = running.ask("POST", path, body, Content_Type=MEDIA_TYPE)
        assert answer.status == 200, answer.detail
        return answer.body

    assert shown(previews.MOST_SAMPLES + 5) == shown(previews.MOST_SAMPLES)


@pytest.mark.parametrize(("channels", "policy", "status"), [
    (5, "hflip | rotate(20)", 200), (2, "hflip", 200), (5, "hflip | gray(0.5)", 422),
    (3, "normalize([0.5, 0.5], 0.5)", 422),
])  # fmt: skip
def test_images_of_many_channels_are_shown_or_refused_with_the_reason(
    running: Running, channels: int, policy: str, status: int
) -> None:
    images = torch.zeros(3, channels, 9, 20, dtype=torch.uint8)
    body, path = bytes(encode({"images": images}, {})), f"/v1/preview?policy={quote(policy)}"
    answer = running.ask("POST", path, body, Content_Type=MEDIA_TYPE)
    assert answer.status == status, answer.body
    assert status == 200 or f"have {channels}" in answer.detail


def test_previews_one_after_the_other_are_all_drawn(running: Running) -> None:
    statuses = [draw(running, "hflip", indices=[0], epochs=[0]).status
                for _ in range(previews.MOST_WAITING + 3)]  # fmt: skip
    assert set(statuses) == {200}


def test_more_pixels_than_are_made_in_all_are_refused_before_any_is(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(datasets=data) as running:
        crop = "center_crop(3000)"  # of files of unknown size: it cannot be made smaller
        body = json.dumps({"dataset": "photos", "policy": crop, "indices": [0, 1, 2, 3],
                           "epochs": [0, 1]}).encode()  # fmt: skip
        monkeypatch.setattr(previews, "MOST_PIXELS", 8 * 3000**2 - 1)
        answer = running.ask("POST", "/v1/preview", body, Content_Type="application/json")
        assert (answer.status, answer.problem) == (413, "too-large")
        assert "4 samples x 2 epochs x 9,000,000 pixels" in answer.detail
        assert "resizes before it crops" in answer.detail


def test_previews_leave_the_threads_to_plans_and_batches(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    import augfeed.show

    begun, go = threading.Event(), threading.Event()

    def stuck(*_: Any, **__: Any) -> Any:
        begun.set()
        go.wait(HANG)
        raise Problem(503, "deadline", "it was a test", retry_after=1)

    monkeypatch.setattr(augfeed.show, "preview", stuck)
    with serving(datasets=data, threads=1) as running:
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(draw(running, "hflip").status))
                   for _ in range(previews.MOST_WAITING + 4)]  # fmt: skip
        for thread in threads:
            thread.start()
        try:
            assert begun.wait(HANG)
            assert eventually(lambda: statuses.count(429) == 3)
            root = running.register(described())
            assert running.ask("GET", f"{root}/0/batches/0").status == 200
        finally:
            go.set()
            for thread in threads:
                thread.join(HANG)
        assert statuses.count(503) == previews.MOST_WAITING + 1
        assert eventually(lambda: running.service.batches.idle)


def test_a_preview_ends_when_its_client_has_gone(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    import augfeed.show

    begun, ended = threading.Event(), threading.Event()

    def endless(*_: Any, before: Any, **__: Any) -> Any:
        begun.set()
        try:
            while True:
                before()
        finally:
            ended.set()

    monkeypatch.setattr(augfeed.show, "preview", endless)
    with serving(datasets=data) as running:
        body = asked("hflip")
        with socket.create_connection(("127.0.0.1", running.port), HANG) as line:
            line.sendall(b"POST /v1/preview HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                         % len(body) + body)  # fmt: skip
            assert begun.wait(HANG) and not ended.is_set()
        assert ended.wait(HANG)
        assert eventually(lambda: running.service.batches.idle)


def test_the_end_of_the_service_ends_previews_and_those_that_wait(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    import augfeed.show

    drawn: list[int] = []
    begun = threading.Event()

    def endless(*_: Any, before: Any, **__: Any) -> Any:
        drawn.append(1)
        begun.set()
        while True:
            before()

    monkeypatch.setattr(augfeed.show, "preview", endless)
    with serving(datasets=data) as running:
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(draw(running, "hflip").status))
                   for _ in range(3)]  # fmt: skip
        for thread in threads:
            thread.start()
        assert begun.wait(HANG)
        assert eventually(lambda: running.service.previews._waiting == 3)
        running.service.close()
        for thread in threads:
            thread.join(HANG)
        assert statuses == [503] * 3 and len(drawn) == 1


@pytest.mark.parametrize(("key", "status"), [("one", 200), ("two", 403), ("three", 200)])
def test_samples_of_a_dataset_are_shown_to_who_may_pull_it(
    data: Data, tmp_path: Path, key: str, status: int
) -> None:
    lines = [line_of("trainer", "pull", "one"), line_of("app", "push", "two"),
             line_of("boss", "admin", "three")]  # fmt: skip
    (tmp_path / "keys").write_text("\n".join(lines) + "\n")
    with serving(datasets=data, keys=tmp_path / "keys") as running:
        for name, found in (("digits", status), ("absent", 404 if status == 200 else status)):
            body = json.dumps({"dataset": name, "policy": "hflip"}).encode()
            answer = running.ask("POST", "/v1/preview", body, Content_Type="application/json",
                                 Authorization=f"Bearer {key}")  # fmt: skip
            assert answer.status == found
