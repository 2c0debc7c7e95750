"""KServe's v2 protocol, as Triton's client speaks it and as its text has it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.wire import MEDIA_TYPE, decode_batch, encode
from augfeed_service import kserve_models
from augfeed_service.auth import line_of
from augfeed_service.kserve_models import MOST_NAMES, Clock, Statistics
from tests.service.servers import Reply, Running, serving

PIXELS = {"name": "IMAGES", "shape": [2, 4, 4, 3], "datatype": "UINT8", "data": [*range(96)]}
LABELS = {"name": "LABELS", "shape": [2], "datatype": "INT64", "data": [1, 3]}
POLICIES = ["hflip", "hflip | normalize(0.5, 0.5)", "mixup(1.0)", "center_crop(2)",
            "cutmix | label_smoothing(0.1) | normalize(0.5, 0.5)", "label_smoothing(0.2)",
            "center_crop(3) | normalize(0.5, 0.2)", "grayscale"]  # fmt: skip


def infer(running: Running, policy: str = "hflip", **asked: Any) -> Reply:
    path = f"/v2/models/{quote(policy, safe='')}/infer"
    return running.ask("POST", path, json.dumps({"inputs": [PIXELS], **asked}))


def good_error(answer: Reply, status: int) -> str:
    """Return the text of an error in the form that the protocol gives them."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    said = json.loads(answer.body)
    assert [*said] == ["error"] and isinstance(said["error"], str) and len(said["error"]) > 10
    return str(said["error"])


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v2/nothing", {}, 404),
        ("GET", "/v2/models/hflop", {}, 404),
        ("GET", "/v2/models/hflip/versions/99", {}, 404),
        ("GET", "/v2/", {}, 404),
        ("GET", "/v2//", {}, 404),
        ("DELETE", "/v2", {}, 405),
        ("GET", "/v2/models/hflip/infer", {}, 405),
        ("PATCH", "/v2/health/live", {}, 405),
        ("POST", "/v2/models/hflip/infer", {"Content_Encoding": "gzip"}, 415),
        ("GET", "/v2", {"Content_Encoding": "gzip"}, 415),
        ("POST", "/v2/models/hflip/infer", {"Content_Length": str(1 << 40)}, 413),
        ("POST", "/v2/models/hflip/infer", {}, 400),
        ("GET", "/v2?x=1", {}, 400),
    ],
)
def test_every_error_has_the_form_of_the_protocol(
    running: Running, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert good_error(running.ask(method, path, **headers), status)


@settings(max_examples=50, deadline=None)
@given(path=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=20),
       method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]))  # fmt: skip
def test_whatever_is_below_v2_has_that_form(running: Running, path: str, method: str) -> None:
    answer = running.ask(method, f"/v2/{quote(path)}")
    if answer.status != 200:
        good_error(answer, answer.status)


def test_errors_beside_v2_keep_their_own_form(running: Running) -> None:
    for path in ("/v2x", "/v1/v2/", "/"):
        answer = running.ask("DELETE", path)
        assert answer.status in (404, 405) and answer.problem


def test_keys_are_asked_for_in_that_form(data: dict[str, Path], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("\n".join([line_of("a", "pull", "A"), line_of("b", "push", "B")]))
    with serving(keys=keys) as running:
        paths = ["models/hflip", "models/hflip/config", "models/stats", "systemsharedmemory/status"]
        for path in paths:
            answer = running.ask("GET", f"/v2/{path}")
            good_error(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            other = running.ask("GET", f"/v2/{path}", Authorization="Bearer A")
            assert "'push'" in good_error(other, 403)
            assert running.ask("GET", f"/v2/{path}", Authorization="Bearer B").status == 200
        for path in ("", "/health/live", "/health/ready"):
            assert running.ask("GET", f"/v2{path}").status == 200


def test_a_service_that_ends_is_not_ready_in_that_form() -> None:
    with serving() as running:
        assert json.loads(running.ask("GET", "/v2/health/ready").body)["ready"] is True
        running.service.drain()
        for path in ("health/ready", "models/hflip/ready", "models/hflip/versions/1/ready"):
            answer = running.ask("GET", f"/v2/{path}")
            good_error(answer, 503)
            assert answer.headers["retry-after"]
        assert json.loads(running.ask("GET", "/v2/health/live").body) == {"live": True}


# What models are said to be


@pytest.mark.parametrize("tail", ["", "/ready", "/config", "/stats", "/infer"])
def test_a_model_has_one_version_everywhere(running: Running, tail: str) -> None:
    method = "POST" if tail == "/infer" else "GET"
    body = json.dumps({"inputs": [PIXELS]}) if tail == "/infer" else None
    root = "/v2/models/hflip"
    found = [running.ask(method, f"{root}{version}{tail}", body)
             for version in ("", "/versions/1")]  # fmt: skip
    assert [answer.status for answer in found] == [200, 200]
    if tail != "/stats":
        assert found[0].body == found[1].body
    for version in ("99", "0", "01", "1.0", "-1", "latest", "1 "):
        answer = running.ask(method, f"{root}/versions/{quote(version)}{tail}", body)
        assert repr(version) in good_error(answer, 404)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_metadata_and_configuration_tell_what_comes(
    running: Running, policy: str, labelled: bool
) -> None:
    root = f"/v2/models/{quote(policy, safe='')}"
    reported = json.loads(running.ask("GET", root).body)
    configured = json.loads(running.ask("GET", f"{root}/config").body)
    outputs = {one["name"]: one for one in reported["outputs"]}
    inputs = [PIXELS, LABELS] if labelled else [PIXELS]
    answer = infer(running, policy, inputs=inputs, parameters={"num_classes": 5})
    assert answer.status == 200, answer
    made = json.loads(answer.body)
    assert {"IMAGES", "IDS"} <= {one["name"] for one in made["outputs"]} <= set(outputs)
    assert (len(made["outputs"]) > 2) == labelled
    for one in made["outputs"]:
        said = outputs[one["name"]]
        assert said["datatype"] == one["datatype"] and len(said["shape"]) == len(one["shape"])
        assert all(side in (-1, true) for side, true in zip(said["shape"], one["shape"],
                                                            strict=True))  # fmt: skip
    for side in ("input", "output"):
        typed = [{"name": one["name"], "data_type": f"TYPE_{one['datatype']}",
                  "dims": one["shape"]} for one in reported[f"{side}s"]]  # fmt: skip
        given = [{k: v for k, v in one.items() if k != "optional"} for one in configured[side]]
        assert given == typed
    optional = {one["name"] for one in configured["input"] if one["optional"]}
    assert optional == {"LABELS", "IDS"} and reported["versions"] == ["1"]


def test_compact_labels_come_with_their_smoothing(running: Running) -> None:
    answer = infer(running, "mixup(1.0) | label_smoothing(0.25)", inputs=[PIXELS, LABELS],
                   parameters={"num_classes": 5})  # fmt: skip
    assert json.loads(answer.body)["parameters"] == {
        "epsilon": 0.25, "multi_hot": False, "num_classes": 5
    }  # fmt: skip
    dense = infer(running, "mixup(1.0)", inputs=[PIXELS, LABELS],
                  parameters={"num_classes": 5, "labels": "dense"})  # fmt: skip
    (labels,) = [one for one in json.loads(dense.body)["outputs"] if one["name"] == "LABELS"]
    assert (labels["datatype"], labels["shape"]) == ("FP32", [2, 5])
    assert "parameters" not in json.loads(dense.body)


@pytest.mark.parametrize(("policy", "kind"), [("hflip", torch.uint8),
                                              ("normalize(0.5, 0.5)", torch.float32)])  # fmt: skip
def test_the_element_type_follows_the_policy_in_both_protocols(
    running: Running, policy: str, kind: torch.dtype
) -> None:
    body = bytes(encode({"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}, {}))
    for query, expected in (("", kind), ("&dtype=float16", torch.float16)):
        path = f"/v1/augment?policy={quote(policy)}{query}"
        answer = running.ask("POST", path, body, Content_Type=MEDIA_TYPE)
        assert answer.status == 200 and decode_batch(answer.body)[0].images.dtype == expected
    names = {torch.uint8: "UINT8", torch.float32: "FP32"}
    assert json.loads(infer(running, policy).body)["outputs"][0]["datatype"] == names[kind]
    half = infer(running, policy, parameters={"dtype": "float16"})
    assert json.loads(half.body)["outputs"][0]["datatype"] == "FP16"


def test_bytes_cannot_hold_what_is_normalised(running: Running) -> None:
    body = bytes(encode({"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}, {}))
    policy = quote("normalize(0.5, 0.5)")
    path = f"/v1/augment?policy={policy}&dtype=uint8"
    answer = running.ask("POST", path, body, Content_Type=MEDIA_TYPE)
    assert (answer.status, answer.problem) == (422, "invalid-policy")
    # The model is there: it is the parameter that is wrong.
    answer = infer(running, "normalize(0.5, 0.5)", parameters={"dtype": "uint8"})
    assert "uint8" in good_error(answer, 422)


# What requests may say


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"datatyp": "UINT8"}, "'datatyp'"),
        ({"binary_data_size": 96}, "'binary_data_size'"),
        ({"parameters": {"binary_data": True}}, "'binary_data'"),
        ({"parameters": {"shared_memory_region": "a"}}, "shared memory"),
        ({"parameters": []}, "parameters=[]"),
        ({"parameters": None}, "parameters=None"),
        ({"parameters": {"binary_data_size": 96}}, "data and binary_data_size"),
        ({"parameters": {"binary_data_size": None}}, "data and binary_data_size"),
        ({"name": "PICTURES"}, "'PICTURES'"),
        ({"name": ["IMAGES"]}, "['IMAGES']"),
        ({"datatype": "BYTES"}, "IMAGES"),
    ],
)
def test_an_input_has_no_members_but_its_own(
    running: Running, change: dict[str, Any], said: str
) -> None:
    answer = infer(running, inputs=[{**PIXELS, **change}])
    assert said in good_error(answer, answer.status) and answer.status in (400, 422)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"name": "IMAGES", "shape": [1]}, "'shape'"),
        ({"name": "IMAGES", "parameters": {"binary": True}}, "'binary'"),
        ({"name": "IMAGES", "parameters": {"shared_memory_region": "a"}}, "shared memory"),
        ({"name": "IMAGES", "parameters": 3}, "parameters=3"),
        ({"name": "IMAGES", "parameters": {"binary_data": None}}, "binary_data=None"),
        ({"name": "LABELS"}, "'LABELS'"),
        ({"name": {}}, "{}"),
        ("IMAGES", "'IMAGES'"),
    ],
)
def test_an_output_has_no_members_but_its_own(running: Running, output: Any, said: str) -> None:
    answer = infer(running, outputs=[output])
    assert said in good_error(answer, answer.status) and answer.status in (400, 422)


def test_a_request_is_answered_with_its_id(running: Running) -> None:
    assert json.loads(infer(running, id="").body)["id"] == ""
    assert json.loads(infer(running, id="é 7").body)["id"] == "é 7"
    assert "id" not in json.loads(infer(running).body)


# Statistics


def test_statistics_count_what_was_asked(running: Running) -> None:
    policy = "hflip | vflip"
    root = f"/v2/models/{quote(policy)}"
    for asked in ({}, {}, {"parameters": {"sed": 1}}):
        infer(running, policy, **asked)
    (said,) = json.loads(running.ask("GET", f"{root}/stats").body)["model_stats"]
    assert (said["name"], said["version"]) == (policy, "1")
    assert (said["inference_count"], said["execution_count"]) == (4, 2)
    assert said["last_inference"] > 1_700_000_000_000
    parts = said["inference_stats"]
    assert {name: part["count"] for name, part in parts.items()} == {
        "success": 2, "fail": 1, "queue": 0, "compute_input": 2, "compute_infer": 2,
        "compute_output": 2, "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    inner = sum(parts[name]["ns"] for name in kserve_models.PARTS)
    assert 0 < inner <= parts["success"]["ns"]
    known = json.loads(running.ask("GET", "/v2/models/stats").body)["model_stats"]
    assert policy in [one["name"] for one in known]
    infer(running, "hflop")
    known = json.loads(running.ask("GET", "/v2/models/stats").body)["model_stats"]
    assert "hflop" not in [one["name"] for one in known]


def test_statistics_of_names_without_end_take_no_more_memory() -> None:
    made = Statistics()
    for k in range(3 * MOST_NAMES):
        made.note(f"posterize({k})", Clock(), 1)
        made.note("kept", Clock(), 1)
    assert len(made.names()) == MOST_NAMES
    assert made.of("kept")["execution_count"] == 3 * MOST_NAMES
