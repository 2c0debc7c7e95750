"""Bytes in flight: a request waits only for others, never for what it holds itself."""

import io
import json
import re
from bisect import bisect_left
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed.wire import MEDIA_TYPE, encode
from augfeed_service.memory_cost import preview_bytes
from augfeed_service.push import Push
from tests.service.servers import Reply, Running, serving
from tests.service.test_limits import form
from tests.waiting import eventually

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), np.uint8)
MIB = 1 << 20
PUSH = "/v1/augment?policy=resize([40,40])"
# From less than a body to enough for all.
BOUNDS = np.geomspace(5_000, 20_000_000, 40).astype(int).tolist()


def tensors(**more: Any) -> bytes:
    return bytes(encode({"images": torch.from_numpy(PIXELS), **more}, {}))


def files() -> tuple[bytes, str]:
    made = []
    for pixels in PIXELS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        made.append(file.getvalue())
    return form(made)


def infer(*, binary: bool) -> tuple[str, bytes, dict[str, str]]:
    entry: dict[str, Any] = {"name": "IMAGES", "datatype": "UINT8", "shape": [*PIXELS.shape]}
    path = "/v2/models/resize([40,40])/infer"
    if not binary:
        body = json.dumps({"inputs": [{**entry, "data": PIXELS.ravel().tolist()}]}).encode()
        return path, body, {}
    entry["parameters"] = {"binary_data_size": PIXELS.nbytes}
    text = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference_Header_Content_Length": str(len(text))}
    return path, text + PIXELS.tobytes(), length


@cache
def requests() -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Path, body and headers of each way to have something made of images."""
    body, kind = files()
    of_tensors, of_files = {"Content_Type": MEDIA_TYPE}, {"Content_Type": kind}
    npz = {"Accept": "application/x-npz"}
    dense = tensors(labels=torch.zeros(4, dtype=torch.int64))
    shown = {"dataset": "digits", "policy": "resize([40,40])", "epochs": [0], "indices": [0]}
    return {
        "tensors": (PUSH, tensors(), of_tensors),
        "files": (PUSH, body, of_files),
        "floats": (f"{PUSH}&dtype=float32", tensors(), of_tensors),
        "dense labels": (f"{PUSH}&labels=dense&num_classes=9000", dense, of_tensors),
        "npz of tensors": (PUSH, tensors(), {**of_tensors, **npz}),
        "npz of files": (f"{PUSH}&dtype=bfloat16", body, {**of_files, **npz}),
        "a preview of tensors": (PUSH.replace("augment", "preview"), tensors(), of_tensors),
        "a preview of files": (PUSH.replace("augment", "preview"), body, of_files),
        "a preview of a dataset": ("/v1/preview", json.dumps(shown).encode(),
                                    {"Content_Type": "application/json"}),
        "binary tensors": infer(binary=True),
        "tensors in JSON": infer(binary=False),
    }  # fmt: skip


def bound(running: Running, nbytes: int) -> None:
    """Have a service allow so many bytes in flight."""
    settings = running.service.settings.model_copy(update={"inflight_bytes": nbytes})
    running.service.batches.settings = settings
    bodies = running.service.bodies
    bodies.most = min(settings.max_body_bytes, nbytes)
    bodies.share = max(nbytes // 2, bodies.most)


def send(running: Running, name: str) -> Reply:
    assert eventually(lambda: running.service.batches.idle)
    path, body, headers = requests()[name]
    return running.ask("POST", path, body, **headers)


@pytest.fixture
def own(data: dict[str, Path]) -> Any:
    with serving(datasets=data) as made:
        yield made


@pytest.mark.parametrize("name", [*requests()])
def test_alone_a_request_fits_or_never_will(own: Running, name: str) -> None:
    statuses = []
    low, high = 0, 0
    for nbytes in [*BOUNDS, *[0] * 16]:
        nbytes = nbytes or (low + high) // 2  # nearer and nearer to what it takes
        bound(own, nbytes)
        answer = send(own, name)
        if answer.status == 413:
            low = max(low, nbytes)
        else:
            high = min(high or nbytes, nbytes)
        statuses.append((nbytes, answer.status))
        if answer.status == 413:
            assert "retry-after" not in answer.headers
            said = re.search(r"[\d,]{4,}.* above (?:the )?[\d,]{4,}.*: \w+|a body of more than",
                             answer.detail)  # fmt: skip
            assert said, answer.detail
        else:
            assert answer.status == 200, answer.detail
    found = [status for _, status in sorted(statuses)]
    assert sorted(found, reverse=True) == found  # whatever fits, fits into more
    assert found[0] == 413 and found[-1] == 200
    assert eventually(lambda: own.service.batches.idle)


@pytest.mark.parametrize("name", [*requests()])
def test_beside_others_a_request_that_fits_alone_is_asked_to_wait(own: Running, name: str) -> None:
    def fits(nbytes: int) -> bool:
        bound(own, nbytes)
        return send(own, name).status == 200

    # The first of the bounds that is enough: all above it are, too, as the test above shows.
    least = BOUNDS[bisect_left(BOUNDS, True, key=fits)]
    bound(own, least)
    assert eventually(lambda: own.service.batches.idle)
    own.service.batches.take(least - 2, "another request")
    path, body, headers = requests()[name]
    answer = own.ask("POST", path, body, **headers)
    assert answer.status == 503 and answer.headers["retry-after"] == "1"
    own.service.batches.give_back(least - 2)
    assert send(own, name).status == 200


@pytest.mark.parametrize(("copies", "status"), [(1, 503), (3, 200)])
def test_images_that_are_shown_are_counted_as_often_as_they_are_held(
    own: Running, copies: int, status: int
) -> None:
    images = torch.zeros(1, 1000, 1000, 3, dtype=torch.uint8)
    body = bytes(encode({"images": images}, {}))
    free = copies * len(body) + preview_bytes(8 * 8, 1, 3) + 100_000
    own.service.batches.take(own.service.settings.inflight_bytes - free, "other requests")
    path = "/v1/preview?policy=resize([8,8])"
    answer = own.ask("POST", path, body, Content_Type=MEDIA_TYPE)
    assert answer.status == status, answer.detail


def test_a_file_that_never_fits_is_refused_before_its_batch_is_made(
    own: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def made(*_: Any) -> Any:
        raise AssertionError("a batch was made")

    monkeypatch.setattr(own.service.together, "augment", made)
    monkeypatch.setattr(Push, "npz_bytes", own.service.settings.inflight_bytes)
    answer = send(own, "npz of tensors")
    assert (answer.status, answer.problem) == (413, "too-large") and "numpy" in answer.detail


def test_a_file_is_counted_beside_other_requests(
    own: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Push, "npz_bytes", own.service.settings.inflight_bytes - MIB)
    assert send(own, "npz of tensors").status == 200
    assert eventually(lambda: own.service.batches.idle)
    own.service.batches.take(MIB, "another request")
    path, body, headers = requests()["npz of tensors"]
    answer = own.ask("POST", path, body, **headers)
    assert answer.status == 503 and "numpy" in answer.detail
