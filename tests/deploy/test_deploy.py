"""Files for deployment: valid by their schema, and true to the service."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tritonclient import http as triton

from augfeed_service.auth import Keys, line_of
from augfeed_service.metrics import Metrics
from augfeed_service.server import UNWIND
from augfeed_service.settings import Settings
from tests.client.faults import free_port
from tests.service.servers import Reply, ask, described, digits, serving
from tests.waiting import HANG, eventually

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "service" / "deploy"
NGINX = os.environ.get("AUGFEED_NGINX") or shutil.which("nginx")
needs_nginx = pytest.mark.skipif(not NGINX, reason="no nginx: AUGFEED_NGINX names its binary")


def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_compose_file_follows_the_schema() -> None:
    # The schema is the one of the Compose specification that Docker Compose 1.29.2 brings.
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    validator = jsonschema.Draft201909Validator(schema)
    validator.validate(compose())
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"services": {"a": {"imag": "x"}}})


def test_profiles_start_what_belongs_together() -> None:
    services = compose()["services"]
    profiles: dict[str, set[str]] = {}
    for name, service in services.items():
        for profile in service["profiles"]:
            profiles.setdefault(profile, set()).add(name)
    assert profiles == {"cpu": {"cpu", "nginx"}, "gpu": {"gpu", "nginx"},
                        "monitoring": {"prometheus", "grafana"}}  # fmt: skip
    for service in services.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_every_variable_is_a_setting_of_the_service() -> None:
    for name in ("cpu", "gpu"):
        service = compose()["services"][name]
        given = {key: value for key, value in service["environment"].items()
                 if key.startswith("AUGFEED_")}  # fmt: skip
        assert {key.removeprefix("AUGFEED_").lower() for key in given} <= set(Settings.model_fields)
        times = Settings(grace=float(given["AUGFEED_GRACE"]), drain=float(given["AUGFEED_DRAIN"]))
        assert float(service["stop_grace_period"].rstrip("s")) > times.drain + times.grace + UNWIND


def test_files_that_are_mounted_are_there() -> None:
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = str(volume).split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
    text = (ROOT / "service" / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in (ROOT / ".dockerignore").read_text().split()


def known_metrics() -> set[str]:
    metrics = Metrics()
    names = set()
    for family in metrics.registry.collect():
        names |= {family.name, f"{family.name}_total"}
        names |= {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
    return names


def test_dashboard_and_alerts_ask_for_metrics_that_there_are() -> None:
    dashboard = json.loads((DEPLOY / "grafana/dashboards/augfeed.json").read_text())
    texts = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    texts += [rule["expr"] for rule in rules]
    asked = {name for text in texts
             for name in re.findall(r"\b(?:augfeed|http_server)_[a-z_]+", text)}  # fmt: skip
    assert len(asked) > 10 and asked <= known_metrics()
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    uids = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in panels} == uids


class Upstream(BaseHTTPRequestHandler):
    """Answers as the service does, and counts."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        if self.path != "/v1/info":  # by which nginx asks about keys
            type(self).asked.append(self.path)
        time.sleep(0.1)
        body = hashlib.sha256(self.path.encode()).hexdigest().encode() * 2000
        tag = f'"{hashlib.sha256(self.path.encode()).hexdigest()[:8]}"'
        self.send_response(200)
        for name, value in (("ETag", tag), ("Cache-Control", "public, max-age=60, immutable"),
                            ("Vary", "Accept, Authorization"),
                            ("Content-Length", str(len(body)))):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/").status > 0
    except OSError:
        return False


@contextmanager
def nginx(tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    handler = type("Counted", (Upstream,), {"asked": asked})
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    try:
        with in_front_of(upstream.server_address[1], tmp_path) as port:
            yield port, asked
    finally:
        upstream.shutdown()
        upstream.server_close()


@contextmanager
def in_front_of(replica: int, tmp_path: Path) -> Iterator[int]:
    """Start nginx with the configuration that is deployed; yield its port."""
    assert NGINX
    port = free_port()
    text = (DEPLOY / "nginx.conf").read_text()
    text = text.replace("http://augfeed:8000", f"http://127.0.0.1:{replica}")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{tmp_path}/")
    user = "user root;\n" if os.geteuid() == 0 else ""  # or workers could not use the folder
    (tmp_path / "nginx.conf").write_text(f"daemon off;\n{user}{text}")
    command = [NGINX, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path), "-e", "stderr"]
    subprocess.run([*command, "-t"], check=True, capture_output=True, timeout=240)
    process = subprocess.Popen(command)
    try:
        assert eventually(lambda: answers(port)), process.poll()
        yield port
    finally:
        process.terminate()
        process.wait(HANG)


@needs_nginx
def test_nginx_keeps_batches_and_asks_for_each_once(tmp_path: Path) -> None:
    path = "/v1/plans/0123abcd/epochs/0/batches/"
    with nginx(tmp_path) as (port, asked):
        found = []
        threads = [threading.Thread(target=lambda: found.append(ask(port, "GET", f"{path}1")))
                   for _ in range(8)]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
        assert [answer.status for answer in found] == [200] * 8
        assert len({answer.body for answer in found}) == 1
        assert asked == [f"{path}1"]  # eight at once, one upstream
        again = ask(port, "GET", f"{path}1")
        assert again.headers["x-cache"] == "HIT" and len(asked) == 1
        known = ask(port, "GET", f"{path}1", If_None_Match=again.headers["etag"])
        assert known.status == 304 and len(asked) == 1
        for headers in ({"Authorization": "Bearer a"}, {"Accept": "application/x-npz"},
                        {"Augfeed_Expect_Fingerprint": "x"}):  # fmt: skip
            ask(port, "GET", f"{path}1", **headers)  # type: ignore[arg-type]
        assert len(asked) == 4
        assert ask(port, "GET", "/metrics").status == 404
        assert ask(port, "GET", "/v1/policies").status == 200


@needs_nginx
def test_nginx_leads_nowhere_from_what_the_protocol_asks_for(tmp_path: Path) -> None:
    with serving() as running, in_front_of(running.port, tmp_path) as port:
        for path in ("/v2", "/v2/health/live", "/v2/models/hflip"):
            answer = ask(port, "GET", path)
            assert answer.status == 200 and answer.body == running.ask("GET", path).body
        assert ask(port, "GET", "/v2/").status == 404  # and not a redirection
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        assert client.get_server_metadata()["name"] == "augfeed"
        client.close()


@needs_nginx
def test_a_key_that_is_revoked_gets_no_batch_that_nginx_keeps(tmp_path: Path) -> None:
    path, data = tmp_path / "keys", {"digits": digits(tmp_path)}
    good, push = line_of("a", "pull", "A"), line_of("b", "push", "B")
    path.write_text(f"{good}\n{push}")
    with (serving(datasets=data, keys=path, shared_cache=True) as running,
          in_front_of(running.port, tmp_path) as port):  # fmt: skip

        def got(method: str, path: str, body: Any = None, **headers: str) -> Reply:
            return ask(port, method, path, body, HANG, **headers)

        plan = described()
        key = {"Authorization": "Bearer A"}
        asked = got("PUT", f"/v1/plans/{plan.id}", plan.canonical(), **key)
        assert asked.status == 201
        where = f"/v1/plans/{plan.id}/epochs/0/batches/0"
        for kept in ("MISS", "HIT", "HIT"):
            answer = got("GET", where, **key)
            assert (answer.status, answer.headers["x-cache"]) == (200, kept)
        etag = answer.headers["etag"]
        wrong: list[tuple[dict[str, str], int]] = [({}, 401), ({"Authorization": "Bearer X"}, 401),
                                ({"Authorization": "Bearer B"}, 403)]  # fmt: skip
        for headers, status in wrong:
            refused = got("GET", where, **headers)
            assert refused.status == status and refused.problem in ("unauthorized", "forbidden")
            assert (status == 401) == ("www-authenticate" in refused.headers)
        path.write_text(push)
        running.service.keys = Keys(path)  # as after a restart
        for headers in (key, {**key, "If_None_Match": etag}, {**key, "Range": "bytes=0-9"}):
            answer = got("GET", where, **headers)
            assert (answer.status, answer.problem) == (401, "unauthorized")
        assert got("HEAD", where, **key).status == 401


@needs_nginx
def test_nginx_says_that_nobody_can_be_asked_about_a_key(tmp_path: Path) -> None:
    with in_front_of(free_port(), tmp_path) as port:
        answer = ask(port, "GET", "/v1/plans/0123abcd/epochs/0/batches/0")
        assert (answer.status, answer.problem) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
