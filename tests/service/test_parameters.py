"""What a request names is known, given once, and of one spelling; or it is refused."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
import torch
from fastapi.routing import APIRoute, iter_route_contexts

from augfeed.wire import encode
from augfeed_client import Client
from augfeed_service import Settings, make_app
from augfeed_service.parameters import integer_of, numbers_of
from tests.service.servers import Reply, Running, described

pytestmark = pytest.mark.timeout(300)
BODY = bytes(encode({"images": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}, {}))
SPELLINGS = ["+1", "01", "-01", "00", " 1", "1 ", "\t1", "1\n", "1_0", "1.0", "1e1", "0x1", "-",
             "--1", "-0", "\uff11", "\u06f1", "\u00b2", "1,0", "true", "", "9" * 50]  # fmt: skip


def routes() -> Iterator[tuple[str, str, Any]]:
    """Yield the method, the path and the dependant of every route of the service."""
    for found in iter_route_contexts(make_app(Settings(threads=1)).routes):
        # A route of another kind would not depend on the check.
        assert isinstance(found.original_route, APIRoute), found.path
        for method in sorted(found.methods or ()):
            yield method, str(found.path), found.original_route.dependant


ROUTES = [pytest.param(*given, id=f"{given[0]} {given[1]}") for given in routes()]
NUMBERS = [
    pytest.param(method, path, place, name, id=f"{method} {path} {name}")
    for method, path, dependant in routes()
    for place in ("query_params", "path_params")
    for name, number in numbers_of(dependant, place).items()
    if number
]


def body_of(method: str) -> bytes | None:
    return None if method in ("GET", "HEAD") else BODY


def filled(path: str, **given: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: quote(given.get(found[1], "1"), safe=""), path)


def refused(answer: Reply, *said: str) -> None:
    assert answer.status == 400, answer
    if answer.body:  # there is none for HEAD
        assert "error" in json.loads(answer.body) or answer.problem == "malformed"
        assert all(text in answer.detail for text in said), answer.detail


def test_the_routes_are_those_that_are_known() -> None:
    paths = {path for _, path, _ in routes()}
    assert {"/v1/augment", "/v2", "/metrics", "/docs", "/", "/openapi.json"} < paths
    assert len(NUMBERS) >= 9


@pytest.mark.parametrize(("method", "path", "dependant"), ROUTES)
def test_no_route_takes_a_parameter_that_it_does_not_name(
    running: Running, method: str, path: str, dependant: Any
) -> None:
    known, body = numbers_of(dependant, "query_params"), body_of(method)
    near = [name[:-1] for name in known] + [name.upper() for name in known]
    for name in ("nonsense", "", "é", *near):
        cure = known or ["it takes none"]
        refused(running.ask(method, f"{filled(path)}?{quote(name)}=1", body), repr(name), *cure)
        bare = f"{filled(path)}?{quote(name)}" if name else f"{filled(path)}?="
        refused(running.ask(method, bare, body), repr(name), *cure)


@pytest.mark.parametrize(("method", "path", "dependant"), ROUTES)
def test_no_route_takes_a_parameter_twice(
    running: Running, method: str, path: str, dependant: Any
) -> None:
    for name in numbers_of(dependant, "query_params"):
        for query in (
            f"{name}=1&{name}=1",
            f"{name}=1&{name}=2",
            f"{name}=&%{ord(name[0]):x}{name[1:]}",
        ):
            answer = running.ask(method, f"{filled(path)}?{query}", body_of(method))
            refused(answer, repr(name), "2 times")


@pytest.mark.parametrize(("method", "path", "place", "name"), NUMBERS)
def test_no_route_takes_a_number_in_another_spelling(
    running: Running, method: str, path: str, place: str, name: str
) -> None:
    for text in SPELLINGS:
        if place == "query_params":
            asked = f"{filled(path)}?{name}={quote(text)}"
        elif not text:
            continue  # it would be another path
        else:
            asked = filled(path, **{name: text})
        refused(running.ask(method, asked, body_of(method)), f"{name}=", "whole number")


@pytest.mark.parametrize(("method", "path", "dependant"), ROUTES)
def test_every_parameter_is_a_text_a_whole_number_or_a_choice(
    method: str, path: str, dependant: Any
) -> None:
    # Another kind has spellings of its own, which the check would have to know.
    for place in ("query_params", "path_params"):
        for field in getattr(dependant, place):
            kinds = (str, int, str | None, int | None, Literal["true", "false"])
            assert field.field_info.annotation in kinds


def test_a_number_is_what_it_is_written_as() -> None:
    for number in (0, 1, -1, 10, 101, 2**64):
        assert integer_of(str(number)) == number
    assert not any(integer_of(text) is not None for text in SPELLINGS)


def test_a_rank_that_is_spelt_right_gets_its_own_part(running: Running) -> None:
    root = running.register(described(batch_size=16))
    parts = [running.ask("GET", f"{root}/0/batches/0?{query}")
             for query in ("rank=0&world=2", "rank=1&world=2", "rank=1&world=2")]  # fmt: skip
    assert [part.status for part in parts] == [200] * 3
    assert parts[0].body != parts[1].body == parts[2].body
    refused(running.ask("GET", f"{root}/0/batches/0?rnk=1&world=2"), "'rnk'", "'rank'", "world")
    assert running.ask("GET", f"{root}/0/batches/0?rank=-1&world=2").problem == "uneven-ranks"


def test_a_world_without_a_rank_is_nobodys(running: Running) -> None:
    path = f"{running.register(described())}/0/batches/0"
    for method in ("GET", "HEAD"):
        refused(running.ask(method, f"{path}?world=2"), "world=2", "rank")
        assert running.ask(method, f"{path}?world=1").status == 200


def test_what_is_nowhere_is_not_found_whatever_is_asked(running: Running) -> None:
    assert running.ask("GET", "/nowhere?x=1").status == 404
    assert running.ask("DELETE", "/v1/info?x=1").status == 405


# Bodies


def form(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    made = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data
            if name != "images" else
            b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + data
            for name, data in parts]  # fmt: skip
    return b"\r\n".join(made) + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("query", "fields", "said"),
    [
        ("?seed=1", [b'{"seed": 1, "policy": "hflip"}'], "query and in the field"),
        ("", [b'{"policy": "hflip"}', b'{"policy": "hflip"}'], "comes 2 times"),
        ("", [b'{"policy": "hflip", "seed": 1, "seed": 2}'], "'seed' 2 times"),
        ("", [b'{"policy": "hflip", "sed": 1}'], "'sed'"),
        ("", [b'{"policy": "hflip", "seed": "1"}'], "seed='1'"),
        ("", [b'{"policy": "hflip", "seed": 1.0}'], "seed=1.0"),
        ("", [b'{"policy": "hflip", "seed": true}'], "seed=True"),
        ("", [b'{"policy": "hflip", "seed": 01}'], "not JSON"),
        ("", [b""], "not JSON"),
    ],
)
def test_the_field_of_a_form_has_the_same_rules(
    running: Running, query: str, fields: list[bytes], said: str
) -> None:
    body, kind = form(("images", b"x"), *(("request", text) for text in fields))
    refused(running.ask("POST", f"/v1/augment{query}", body, Content_Type=kind), said)


@pytest.mark.parametrize(
    ("query", "body", "said"),
    [
        ("?seed=1", {}, "'seed'"),
        ("", {"seed": "1"}, "seed='1'"),
        ("", {"seed": 1.0}, "seed=1.0"),
        ("", {"epochs": ["1"]}, "epochs"),
        ("", {"indices": [True]}, "indices"),
        ("", {"index": [1]}, "'index'"),
    ],
)
def test_a_preview_has_the_same_rules(
    running: Running, query: str, body: dict[str, Any], said: str
) -> None:
    text = json.dumps({"dataset": "digits", "policy": "hflip", **body})
    kind = {"Content_Type": "application/json"}
    refused(running.ask("POST", f"/v1/preview{query}", text, **kind), said)
    twice = text[:-1] + ', "policy": "hflip"}'
    refused(running.ask("POST", "/v1/preview", twice, **kind), "'policy' 2 times")


@pytest.mark.parametrize(
    "change",
    [{"seed": "3"}, {"seed": 3.0}, {"seed": True}, {"batch_size": "16"}, {"batch_size": True},
     {"sed": 3}],
)  # fmt: skip
def test_a_description_has_the_same_rules(running: Running, change: dict[str, Any]) -> None:
    plan = described()
    text = json.dumps({**json.loads(plan.canonical()), **change})
    answer = running.ask("PUT", f"/v1/plans/{plan.id}", text)
    assert (answer.status, answer.problem) == (422, "invalid-description")
    assert next(iter(change)) in answer.detail
    twice = plan.canonical().decode()[:-1] + ',"seed":0}'
    refused(running.ask("PUT", f"/v1/plans/{plan.id}", twice), "'seed' 2 times")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"sed": 3}}, "'sed'"),
        ({"parameters": {"seed": "3"}}, "seed='3'"),
        ({"parameters": {"seed": 3.0}}, "seed=3.0"),
        ({"parameters": 3}, "parameters=3"),
        ({"parameters": None}, "parameters=None"),
        ({"parameters": {"priority": "high"}}, "priority='high'"),
        ({"parameters": {"timeout": -1}}, "timeout=-1"),
        ({"parameters": {"sequence_id": 7}}, "'sequence_id'"),
        ({"parameter": {"seed": 3}}, "'parameter'"),
        ({"id": 7}, "id=7"),
    ],
)
def test_kserve_has_the_same_rules(running: Running, change: dict[str, Any], said: str) -> None:
    images = {"name": "IMAGES", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [0] * 12}
    good: dict[str, Any] = {"id": "a", "inputs": [images], "parameters": {"seed": 3, "priority": 1}}
    path = "/v2/models/hflip/versions/1/infer"
    assert running.ask("POST", path, json.dumps(good)).status == 200
    refused(running.ask("POST", path, json.dumps({**good, **change})), said)
    other = running.ask("POST", "/v2/models/hflip/versions/01/infer", json.dumps(good))
    assert other.status == 404 and "'01'" in other.detail


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"binary_data_output": "false"}}, "binary_data_output='false'"),
        ({"outputs": [{"name": "IMAGES", "parameters": {"binary_data": 1}}]}, "binary_data=1"),
        ({"outputs": "IMAGES"}, "outputs='IMAGES'"),
        ({"outputs": [{"name": "IMAGES"}] * 2}, "'IMAGES' comes twice"),
        ({"outputs": [{"name": "IMAGES", "parameters": {"classification": 3}}]}, "classification"),
    ],
)
def test_kserve_asks_for_outputs_by_the_same_rules(
    running: Running, change: dict[str, Any], said: str
) -> None:
    images = {"name": "IMAGES", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [0] * 12}
    body = json.dumps({"inputs": [images], **change})
    answer = running.ask("POST", "/v2/models/hflip/infer", body)
    assert answer.status in (400, 422) and said in answer.detail, answer


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("INT64", [1.7], "1.7"),
        ("INT32", [2**31], "overflow"),
        ("UINT8", [-1], "-1"),
        ("BOOL", [5], "5"),
        ("INT64", ["1"], "str"),
        ("INT64", [[[1]]], "shape"),
        ("INT64", [float("nan")], "overflow"),
    ],
)
@pytest.mark.parametrize("name", ["LABELS", "IDS"])
def test_no_value_of_a_tensor_becomes_another(
    running: Running, name: str, kind: str, values: list[Any], said: str
) -> None:
    images = {"name": "IMAGES", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [0] * 12}
    other = {"name": name, "shape": [1], "datatype": kind, "data": values}
    answer = running.ask("POST", "/v2/models/hflip/infer", json.dumps({"inputs": [images, other]}))
    assert answer.status == 422 and said in answer.detail and name in answer.detail, answer


def test_pixels_are_values_of_bytes_or_refused(running: Running) -> None:
    for pixel, status in ((255, 200), (3.0, 200), (-1, 422), (256, 422), (0.5, 422)):
        data = [0] * 11 + [pixel]
        images = {"name": "IMAGES", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": data}
        answer = running.ask("POST", "/v2/models/hflip/infer", json.dumps({"inputs": [images]}))
        assert answer.status == status, answer


ASCII = [text for text in SPELLINGS if text.isascii() and text.strip() == text]


@pytest.mark.parametrize("text", ASCII)
def test_numbers_in_headers_have_one_spelling(running: Running, text: str) -> None:
    root = running.register(described())
    refused(running.ask("GET", f"{root}/0/batches/0", Augfeed_Deadline_Ms=text))
    given = {"Inference_Header_Content_Length": text}
    refused(running.ask("POST", "/v2/models/hflip/infer", b"{}", **given))


def test_the_client_sends_numbers_in_that_spelling(running: Running, data: dict[str, Path]) -> None:
    import numpy as np

    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    with Client(running.url) as client:
        for number in (3, np.int64(3), torch.tensor(3)):
            made = client.augment(images, policy="hflip", seed=number, epoch=number)  # type: ignore[arg-type]
            assert made.epoch == 3
            assert client.batch(described(), number, number).step == 3  # type: ignore[arg-type]
        for wrong in (3.0, "3", True):
            with pytest.raises(TypeError, match=f"seed={wrong!r}"):
                client.augment(images, policy="hflip", seed=wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=f"num_classes={wrong!r}"):
                client.augment(images, policy="hflip", num_classes=wrong)
            with pytest.raises(TypeError, match=f"step={wrong!r}"):
                client.batch(described(), 0, wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="indices"):
            client.preview(images, policy="hflip", indices=[1])
        with pytest.raises(ValueError, match="epoch"):
            client.preview(dataset="digits", policy="hflip", epoch=1)
