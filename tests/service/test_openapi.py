"""The interface says the truth of itself, and its page needs nobody else."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

import augfeed_service
from augfeed_service.auth import line_of
from tests.service.servers import Running, serving
from tests.waiting import HANG

VIEWER = Path(augfeed_service.__file__).parent / "viewer"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
METHODS = {"get", "put", "post"}


def document(running: Running) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(running.ask("GET", "/openapi.json").body)
    return found


def operations(running: Running) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in document(running)["paths"].items():
        for method, operation in found.items():
            assert method in METHODS
            yield method.upper(), path, operation


def can_be_wrong(operation: dict[str, Any]) -> bool:
    """Whether a request can differ from what is declared: any text is right for a plain string."""
    plain = [given["in"] == "path" and given["schema"].keys() <= {"type", "title"}
             and given["schema"]["type"] == "string"
             for given in operation.get("parameters", [])]  # fmt: skip
    return "requestBody" in operation or not all(plain)


def filled(path: str) -> str:
    return re.sub(r"\{model\}", "hflip", re.sub(r"\{(epoch|step|version)\}", "1", path)).replace(
        "{plan_id}", "0" * 32).replace("{name}", "a")  # fmt: skip


def test_every_answer_is_one_that_the_document_has(
    running: Running, pytestconfig: pytest.Config
) -> None:
    """For requests that are right and for wrong ones; in a usual run for either by turns."""
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis import checks as known

    names = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks = [getattr(known, name, None) or getattr(schemathesis.specs.openapi.checks, name)
              for name in names]  # fmt: skip
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    statuses, answered = set(), set()
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    declared = {(method, path): operation for method, path, operation in operations(running)}
    for found in schema.get_all_operations():
        modes.reverse()
        operation = declared[found.ok().method.upper(), found.ok().path]
        for mode in modes:
            # Hypothesis would seek what there is none of among hundreds.
            if mode == schemathesis.GenerationMode.NEGATIVE and not can_be_wrong(operation):
                continue
            strategy = found.ok().as_strategy(generation_mode=mode)

            @settings(
                max_examples=4, deadline=None, database=None, suppress_health_check=[*HealthCheck]
            )
            @given(case=strategy)
            def check(case: Any) -> None:
                # A longer URL is refused by the parser of HTTP, before there is a route.
                if len(repr(case.query)) + len(repr(case.path_parameters)) > 5000:
                    return
                response = case.call()
                assert response.status_code < 500 or response.status_code == 503
                statuses.add(response.status_code)
                answered.add((case.method, case.path))
                case.validate_response(response, checks=checks)

            with suppress(Unsatisfiable):  # nothing of it can be wrong
                check()
                if not pytestconfig.option.whole:
                    break
    assert {200, 400, 404} <= statuses
    assert answered == {(method, path) for method, path, _ in operations(running)}


def test_examples_are_carried_out(running: Running) -> None:
    """The examples of bodies are good ones: they are answered with 200 where there is the data."""
    found = document(running)["paths"]
    for path in ("/v1/plans", "/v1/preview", "/v2/models/hflip/infer"):
        named = path.replace("hflip", "{model}")
        body = found[named]["post"]["requestBody"]["content"]["application/json"]["example"]
        if "dataset" in body:
            body = {**body, "dataset": "photos"}
        if "batch_size" in body:
            body["batch_size"] = 4
        answer = running.ask("POST", path, json.dumps(body), Content_Type="application/json")
        assert answer.status in (200, 201), answer
    form = found["/v1/augment"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    request = form["properties"]["request"]["example"]
    image = (VIEWER / "favicon.png").read_bytes()
    parts = [b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + image,
             b'\r\n--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n',
             request.encode(), b"\r\n--x--\r\n"]  # fmt: skip
    kind = "multipart/form-data; boundary=x"
    answer = running.ask("POST", "/v1/augment", b"".join(parts), Content_Type=kind)
    assert answer.status == 200, answer


def test_the_document_says_where_the_service_is(running: Running) -> None:
    assert document(running)["servers"][0]["url"] == "/"
    schemas = document(running)["components"]["schemas"]
    assert {"Problem", "Error", "Plan"} == set(schemas)
    text = json.dumps(document(running))
    named = set(re.findall(r'"#/components/(\w+)/(\w+)"', text))
    assert named and all(name in document(running)["components"][kind] for kind, name in named)


@pytest.fixture(scope="module")
def locked(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    lines = [line_of(scope, scope, scope) for scope in ("pull", "push", "metrics", "admin")]
    keys.write_text("\n".join(lines))
    with serving(datasets=data, keys=keys) as made:
        yield made


def test_keys_are_for_what_the_document_says(locked: Running) -> None:
    count = 0
    for method, path, operation in operations(locked):
        where = filled(path)
        bare = locked.ask(method, where)
        if not operation["security"]:
            assert bare.status == 200 and not {"401", "403"} & set(operation["responses"]), path
            continue
        count += 1
        ((scope,),) = [need["key"] for need in operation["security"]]
        assert bare.status == 401 and bare.headers["www-authenticate"] == "Bearer", path
        for other in ("pull", "push", "metrics", "admin"):
            answer = locked.ask(method, where, Authorization=f"Bearer {other}")
            assert (answer.status == 403) == (other not in (scope, "admin")), (path, other)
        assert {"401", "403"} <= set(operation["responses"])
    assert count > 20


def test_without_keys_the_document_asks_for_none(running: Running) -> None:
    for _, path, operation in operations(running):
        assert operation["security"] == [] or {} in operation["security"], path
    assert document(running)["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_metrics_are_read_with_a_key_for_them(locked: Running) -> None:
    assert locked.ask("GET", "/metrics").status == 401
    assert locked.ask("GET", "/metrics", Authorization="Bearer pull").status == 403
    for key in ("metrics", "admin"):
        answer = locked.ask("GET", "/metrics", Authorization=f"Bearer {key}")
        assert answer.status == 200 and b"augfeed_ready" in answer.body
    assert locked.ask("GET", "/v1/info", Authorization="Bearer metrics").status == 403


# The page


class Linked(HTMLParser):
    """What a page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag in ("script", "link", "img"):
            self.found.append(given.get("src") or given["href"])


def test_the_page_asks_for_nothing_from_elsewhere(running: Running) -> None:
    page = running.ask("GET", "/docs")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    linked = Linked()
    linked.feed(page.body.decode())
    assert len(linked.found) == 4
    for name in linked.found:
        path = urljoin("/docs", name)
        assert path.startswith("/docs/")  # a relative one, which is right below a prefix, too
        answer = running.ask("GET", path)
        assert answer.status == 200 and len(answer.body) > 100
    rules = page.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in rules
    assert not any(re.search(r"https?:|\*|'unsafe-eval'", rule) for rule in rules)


def test_the_root_leads_to_the_page(running: Running) -> None:
    for method in ("GET", "HEAD"):
        answer = running.ask(method, "/")
        assert (answer.status, answer.headers["location"]) == (307, "/docs")


def test_parts_come_packed_to_those_that_unpack_them(running: Running) -> None:
    said = (VIEWER / "README.md").read_text()
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        plain = running.ask("GET", f"/docs/{name}")
        packed = running.ask("GET", f"/docs/{name}", Accept_Encoding="gzip, br")
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert hashlib.sha256(plain.body).hexdigest() in said
    for name in ("start.js", "favicon.png"):
        answer = running.ask("GET", f"/docs/{name}", Accept_Encoding="gzip")
        assert answer.body == (VIEWER / name).read_bytes()


@pytest.mark.parametrize("name", ["README.md", "..%2Fapp.py", "index.html", "nothing", "LICENSE"])
def test_nothing_else_is_given_out(running: Running, name: str) -> None:
    answer = running.ask("GET", f"/docs/{name}")
    assert (answer.status, answer.problem) == (404, "not-found")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page cannot be looked at")
def test_a_browser_without_a_network_shows_the_page(running: Running, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr",
         "--virtual-time-budget=20000", "--dump-dom", f"{running.url}/docs"],
        capture_output=True, text=True, timeout=HANG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path in ("/v1/augment", "/v2/models/{model}/infer", "/metrics"):
        assert path.replace("/", "/\u200b") in done.stdout or path in done.stdout
    assert "Content Security Policy" not in done.stderr, done.stderr
