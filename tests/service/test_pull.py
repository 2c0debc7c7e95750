"""Plans and batches over real sockets."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from augfeed import Order, parse_policy
from augfeed.batch import Batch
from augfeed.engines import DTYPES
from augfeed.wire import Description, decode_batch
from augfeed_service import pull
from augfeed_service.formats import wanted
from augfeed_service.problems import Problem
from tests.service.servers import MIXED, Running, described, local, serving
from tests.waiting import HANG, eventually

Data = dict[str, Path]


def fetched(running: Running, plan: Description, query: str = "", at: str = "2/batches/1") -> Batch:
    answer = running.ask("GET", f"{running.register(plan)}/{at}{query}")
    assert answer.status == 200, answer.body
    return decode_batch(bytearray(answer.body))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dataset", ["digits", "photos"])
def test_a_batch_is_that_of_the_pipeline(
    running: Running, data: Data, dataset: str, dtype: Any, layout: Any
) -> None:
    policy = MIXED if dataset == "digits" else f"random_resized_crop(24) | {MIXED}"
    plan = described(dataset, policy, dtype=dtype, layout=layout, batch_size=8, seed=5)
    for world in (1, 2):
        batch = fetched(running, plan, f"?rank={world - 1}&world={world}")
        made = local(plan, data[dataset], rank=world - 1, world=world, form="sparse").batch(2, 1)
        assert torch.equal(batch.images, made.images) and torch.equal(batch.ids, made.ids)
        assert batch.images.stride() == made.images.stride()
        assert torch.equal(batch.targets.dense(), made.targets.dense())
        assert (batch.epoch, batch.step) == (2, 1)


def test_batches_of_many_channels_and_of_16_bits_are_those_of_the_pipeline(tmp_path: Path) -> None:
    draw, data = np.random.default_rng(0), {}
    for name, most, kind in (("bands", 256, np.uint8), ("wide", 65536, np.uint16)):
        images = draw.integers(0, most, (32, 20, 24, 5)).astype(kind)
        data[name] = tmp_path / f"{name}.npz"
        np.savez(data[name], images=images, labels=np.arange(32) % 4)
    with serving(datasets=data) as running:
        for name in data:
            plan = described(name, f"random_resized_crop(12) | rotate(20) | {MIXED}", batch_size=8)
            batch, made = fetched(running, plan), local(plan, data[name], form="sparse").batch(2, 1)
            assert batch.images.shape == (8, 5, 12, 12) and torch.equal(batch.images, made.images)
        plan = described("wide", "equalize")
        answer = running.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
        assert answer.status == 422 and "these are uint16" in answer.detail


def test_labels_come_dense_if_that_is_asked(running: Running, data: Data) -> None:
    plan = described(labels="dense")
    batch = fetched(running, plan)
    assert torch.equal(batch.targets, local(plan, data["digits"], form="dense").batch(2, 1).targets)


def test_the_library_of_safetensors_and_numpy_read_a_batch(running: Running) -> None:
    path = f"{running.register(described())}/0/batches/0"
    tensors = safetensors.torch.load(running.ask("GET", path).body)
    assert set(tensors) == {"images", "ids", "label_a", "label_b", "lam"}
    answer = running.ask("GET", path, Accept="application/x-npz")
    with np.load(io.BytesIO(answer.body)) as file:
        for name, tensor in tensors.items():
            assert np.array_equal(file[name], tensor.numpy())
        assert file["epsilon"] == pytest.approx(0.1)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_file_for_numpy_has_the_layout_that_was_asked_for(running: Running, layout: Any) -> None:
    path = f"{running.register(described('digits', 'resize([6, 10])', layout=layout))}/0/batches/0"
    images = decode_batch(bytearray(running.ask("GET", path).body))[0].images
    with np.load(io.BytesIO(running.ask("GET", path, Accept="application/x-npz").body)) as file:
        found = torch.from_numpy(file["images"])
    assert found.shape == ((16, 1, 6, 10) if layout == "NCHW" else (16, 6, 10, 1))
    assert torch.equal(found if layout == "NCHW" else found.permute(0, 3, 1, 2), images)


def test_a_plan_shows_its_sizes(running: Running) -> None:
    plan = described(batch_size=32)
    first = running.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
    again = running.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
    assert (first.status, again.status) == (201, 200)
    said = running.ask("GET", f"/v1/plans/{plan.id}")
    assert said.body == again.body
    found: Any = safetensors and __import__("json").loads(said.body)
    assert (found["num_samples"], found["batches_per_epoch"]) == (120, 4)
    assert found["image_shape"] == [1, 8, 8] and found["softens"] is True
    assert Description.model_validate(found["description"]) == plan


def test_a_batch_that_the_client_has_is_not_made(running: Running) -> None:
    path = f"{running.register(described(seed=11))}/0/batches/3"
    made = running.metric("augfeed_batches_total", source="made")
    tag = running.ask("GET", path, If_None_Match="*").headers["etag"]
    for method in ("GET", "HEAD"):
        for given in (tag, f'W/{tag}, "x"', "*"):
            answer = running.ask(method, path, If_None_Match=given)
            assert answer.status == 304 and answer.body == b""
            assert answer.headers["etag"] == tag
    assert running.metric("augfeed_batches_total", source="made") == made
    assert running.ask("GET", path, If_None_Match='"other"').status == 200
    assert running.metric("augfeed_batches_total", source="made") == made + 1


def test_every_part_of_the_address_is_in_the_tag(running: Running) -> None:
    root = running.register(described())
    ranks = [f"{root}/0/batches/0?rank={rank}&world=2" for rank in (0, 1)]
    paths = [f"{root}/0/batches/0", f"{root}/1/batches/0", f"{root}/0/batches/1", *ranks]
    paths.append(f"{running.register(described(seed=1))}/0/batches/0")
    tags = [running.ask("HEAD", path).headers["etag"] for path in paths]
    tags.append(running.ask("HEAD", paths[0], Accept="application/x-npz").headers["etag"])
    assert len(set(tags)) == len(tags)


def test_batches_may_be_kept_for_ever(running: Running) -> None:
    answer = running.ask("GET", f"{running.register(described())}/0/batches/0", X_Request_Id="me-1")
    headers = answer.headers
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["vary"] == "Accept, Authorization" and headers["x-request-id"] == "me-1"
    assert len(headers["augfeed-fingerprint"]) == 32
    assert int(headers["content-length"]) == len(answer.body)
    assert {part.split(";")[0] for part in headers["server-timing"].split(", ")} == {
        "queue", "make", "encode"
    }  # fmt: skip


BATCH = "{root}/0/batches/0"


@pytest.mark.parametrize(
    ("path", "headers", "status", "name"),
    [
        ("/v1/plans/" + "0" * 32 + "/epochs/0/batches/0", {}, 404, "unknown-plan"),
        ("/v1/plans/" + "0" * 32, {}, 404, "unknown-plan"),
        ("{root}/0/batches/8", {}, 404, "unknown-batch"),
        ("{root}/-1/batches/0", {}, 404, "unknown-batch"),
        ("{root}/4294967296/batches/0", {}, 404, "unknown-batch"),
        ("{root}/0/batches/zero", {}, 400, "malformed"),
        (BATCH + "?world=3", {}, 422, "uneven-ranks"),
        (BATCH + "?rank=2&world=2", {}, 422, "uneven-ranks"),
        (BATCH + "?world=0", {}, 400, "malformed"),
        (BATCH, {"Accept": "image/png"}, 406, "not-acceptable"),
        (BATCH, {"Augfeed_Expect_Fingerprint": "x"}, 412, "fingerprint-mismatch"),
        (BATCH, {"Augfeed_Deadline_Ms": "soon"}, 400, "malformed"),
        (BATCH, {"Content_Encoding": "gzip"}, 415, "unsupported-media-type"),
        ("/nothing", {}, 404, "not-found"),
    ],
)
def test_what_cannot_be_answered_is_named(
    running: Running, path: str, headers: dict[str, str], status: int, name: str
) -> None:
    answer = running.ask("GET", path.format(root=running.register(described())), **headers)
    assert (answer.status, answer.problem) == (status, name)


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"dataset": "other"}, 404, "unknown-dataset"),
        ({"batch_size": 65536, "policy": parse_policy("resize([512, 512])")}, 422,
         "invalid-description"),
        ({"policy": parse_policy("resize([20000, 8])")}, 422, "invalid-policy"),
        ({"policy": parse_policy("random_crop(8, padding=20)"), "dtype": "uint8"}, 201, ""),
        ({"policy": parse_policy("center_crop(9)")}, 422, "invalid-description"),
        ({"policy": parse_policy("normalize(0.5, 0.5)")}, 422, "invalid-description"),
        ({"dataset": "photos", "policy": parse_policy("hflip")}, 422, "invalid-description"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_carried_out_is_refused(
    running: Running, change: dict[str, Any], status: int, name: str
) -> None:
    plan = Description(**{"dataset": "digits", "policy": parse_policy("hflip"), **change})
    answer = running.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
    assert answer.status == status and (status == 201 or answer.problem == name)
    other = running.ask("PUT", "/v1/plans/" + "0" * 32, plan.canonical())
    assert (other.status, other.problem) == (409, "plan-id-mismatch")
    text = running.ask("PUT", f"/v1/plans/{plan.id}", b'{"dataset": 3}')
    assert (text.status, text.problem) == (422, "invalid-description")


def test_all_who_ask_at_once_share_one_computation(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, made = threading.Event(), []
    make = pull.make

    def slow(*given: Any) -> Any:
        made.append(given)
        gate.wait(HANG)
        return make(*given)

    assert eventually(lambda: running.service.batches.idle)  # none is being made ahead
    joined = running.metric("augfeed_batches_total", source="joined")
    monkeypatch.setattr(pull, "make", slow)
    path = f"{running.register(described(seed=21))}/0/batches/7"
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(running.ask, "GET", path) for _ in range(8)]
        assert eventually(
            lambda: running.metric("augfeed_batches_total", source="joined") == joined + 7
        )
        gate.set()
        bodies = {answer.result().body for answer in answers}
    assert len(bodies) == 1 and len(made) == 1


def test_the_cache_keeps_within_its_bytes_and_forgets_the_oldest(data: Data) -> None:
    with serving(datasets=data, cache_bytes=6000, look_ahead=0) as running:
        root = running.register(described())
        for step in (0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 0):
            assert running.ask("GET", f"{root}/0/batches/{step}").status == 200
            assert running.metric("augfeed_cache_bytes") <= 6000
        assert running.metric("augfeed_batches_total", source="cache") == 2
        assert eventually(lambda: running.metric("augfeed_inflight_bytes") == 0)


def test_the_next_batches_are_made_before_they_are_asked_for(data: Data) -> None:
    with serving(datasets=data, look_ahead=2) as running:
        root = running.register(described())
        running.ask("GET", f"{root}/0/batches/0")
        assert eventually(lambda: running.metric("augfeed_batches_ahead_total") == 2)
        assert eventually(lambda: running.service.batches.idle)
        running.ask("GET", f"{root}/0/batches/1")
        assert running.metric("augfeed_batches_total", source="cache") == 1


def test_plans_are_forgotten_when_there_are_too_many(data: Data) -> None:
    with serving(datasets=data, max_plans=2) as running:
        roots = [running.register(described(seed=seed)) for seed in range(3)]
        assert running.ask("GET", f"{roots[0]}/0/batches/0").problem == "unknown-plan"
        assert running.ask("GET", f"{roots[2]}/0/batches/0").status == 200


def test_nobody_waits_longer_than_the_deadline(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, make = threading.Event(), pull.make
    monkeypatch.setattr(pull, "make", lambda *given: (gate.wait(HANG), make(*given))[1])
    path = f"{running.register(described(seed=31))}/0/batches/0"
    answer = running.ask("GET", path, Augfeed_Deadline_Ms="100")  # while the gate is shut
    assert (answer.status, answer.problem) == (503, "deadline") and answer.headers["retry-after"]
    gate.set()
    assert running.ask("GET", path).status == 200


@pytest.mark.parametrize("limit", [{"inflight_bytes": 3000, "max_batch_bytes": 3000},
                                   {"max_waiting": 1}])  # fmt: skip
def test_a_busy_service_refuses_before_it_takes_memory(
    data: Data, limit: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, make = threading.Event(), pull.make
    monkeypatch.setattr(pull, "make", lambda *given: (gate.wait(HANG), make(*given))[1])
    with serving(datasets=data, look_ahead=0, threads=1, **limit) as running:
        root = running.register(described())
        with ThreadPoolExecutor(8) as threads:
            paths = [f"{root}/0/batches/{step}" for step in range(8)]
            answers = [threads.submit(running.ask, "GET", path) for path in paths]
            assert eventually(lambda: sum(answer.done() for answer in answers) >= 5)
            gate.set()
            found = [answer.result() for answer in answers]
        refused = [answer for answer in found if answer.status != 200]
        assert {answer.problem for answer in refused} == {"overloaded"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert len(refused) < 8 and running.ask("GET", f"{root}/0/batches/0").status == 200


def test_a_file_that_cannot_be_read_is_named_and_its_place_is_not(tmp_path: Path) -> None:
    from tests.service.servers import photos

    root = photos(tmp_path)
    (root / "a" / "00.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    plan = described("photos", "random_resized_crop(16)", shuffle=False, batch_size=4)
    with serving(datasets={"photos": root}) as running:
        answer = running.ask("GET", f"{running.register(plan)}/0/batches/0")
        assert (answer.status, answer.problem) == (500, "unreadable")
        assert "photos/a/00.jpg" in answer.detail and str(tmp_path) not in answer.detail
        assert running.metric("augfeed_decode_errors_total", reason="dataset") == 1
        assert running.ask("GET", f"{running.register(plan)}/0/batches/4").status == 200
    with serving(datasets={"photos": root}, on_error="replace") as running:
        batch = fetched(running, plan, at="0/batches/0")
        expected = local(plan, root, form="sparse")
        assert batch.ids.tolist()[0] != 0 and len(expected) == 5


@pytest.mark.parametrize(
    ("accept", "format_"),
    [(None, "safetensors"), ("", "safetensors"), ("*/*", "safetensors"),
     ("application/x-npz", "npz"), ("application/x-npz;q=0.5, */*;q=0.1", "npz"),
     ("application/x-npz;q=0, application/octet-stream", "safetensors"),
     ("text/html, application/vnd.safetensors;q=0.2", "safetensors")],
)  # fmt: skip
def test_the_format_is_the_one_that_is_asked_for_most(accept: str | None, format_: str) -> None:
    assert wanted(accept) == format_
    with pytest.raises(Problem):
        wanted("application/x-npz;q=x")


def test_what_the_service_holds_is_reported(running: Running) -> None:
    found = {path: running.ask("GET", path) for path in ("/v1/info", "/v1/datasets", "/v1/policies",
                                                         "/openapi.json", "/docs", "/livez",
                                                         "/readyz", "/metrics")}  # fmt: skip
    assert {answer.status for answer in found.values()} == {200}
    assert b"augfeed_make_seconds" in found["/metrics"].body
    assert b'"digits"' in found["/v1/datasets"].body
    assert local(described(), (np.zeros((4, 8, 8, 1), np.uint8), np.arange(4)), form="auto").order \
        == Order(16, True)  # fmt: skip
