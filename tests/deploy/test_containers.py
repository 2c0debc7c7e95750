"""Containers have what they need although their files are read-only, within their limits."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from augfeed_service.settings import Settings
from tests.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "service" / "Dockerfile").read_text().replace("\\\n", " ")
ENTRYPOINT = ROOT / "service" / "deploy" / "entrypoint.sh"
SERVICES = ("cpu", "gpu")
SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def compose() -> dict[str, Any]:
    """Return the compose file with the defaults of its variables."""
    text = (ROOT / "docker-compose.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*\}?)\}", r"\1", text))
    return found


def size(text: Any) -> int:
    return int(str(text)[:-1]) * SIZES[str(text)[-1]]


def mounts(service: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the options of each folder in memory."""
    found = {}
    for text in service["tmpfs"]:
        path, _, options = text.partition(":")
        found[path] = dict(option.partition("=")[::2] for option in options.split(","))
    return found


def environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    lines = re.findall(r"^ENV (.+)$", DOCKERFILE, re.MULTILINE)
    return dict(part.split("=", 1) for line in lines for part in line.split())


@pytest.mark.parametrize("name", compose()["services"])
def test_every_container_has_limits(name: str) -> None:
    service = compose()["services"][name]
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) >= 1 and size(limits["memory"]) and service["pids_limit"] > 0


@pytest.mark.parametrize(("name", "itself"), [("cpu", 1 << 29), ("gpu", 3 << 30)])
def test_what_a_replica_may_take_fits_within_its_limit(name: str, itself: int) -> None:
    service = compose()["services"][name]
    given = {key.removeprefix("AUGFEED_").lower(): value
             for key, value in service["environment"].items()}  # fmt: skip
    names = ("cache_bytes", "inflight_bytes", "max_client_connections", "threads")
    settings = Settings(**dict[str, Any]((key, int(given[key])) for key in names))
    folders = sum(size(options["size"]) for options in mounts(service).values())
    connections = settings.max_connections * (320 << 10)
    limits = service["deploy"]["resources"]["limits"]
    most = sum(settings.parts.values()) + connections + folders + itself
    assert most <= size(limits["memory"])
    assert settings.threads <= float(limits["cpus"])
    assert settings.max_client_connections >= settings.max_connections  # of nginx alone


def test_what_nginx_keeps_fits() -> None:
    service = compose()["services"]["nginx"]
    folder = size(mounts(service)["/tmp"]["size"])
    text = (ROOT / "service/deploy/nginx.conf").read_text()
    kept = re.search(r"max_size=(\w+)", text)
    assert kept and size(kept[1]) < folder
    assert folder < size(service["deploy"]["resources"]["limits"]["memory"])


@pytest.mark.parametrize("name", SERVICES)
def test_caches_are_writable_and_code_may_be_mapped_from_there(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    made = {**environment(), **service["environment"]}
    writable = mounts(service)
    for variable in ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "AUGFEED_CACHE",
                     "XDG_CACHE_HOME"):  # fmt: skip
        folder = str(Path(made[variable]).parent)
        # Docker mounts folders in memory as noexec, from where no library is loaded.
        assert "exec" in writable[folder] and writable[folder]["mode"] == "1777", variable
    assert "exec" not in writable["/tmp"]


def test_the_image_for_gpus_has_a_compiler_and_triton() -> None:
    built = compose()["services"]["gpu"]["build"]["args"]
    assert {"gcc", "libc6-dev"} <= set(built["PACKAGES"].split())
    assert "cuda" in built["EXTRAS"].split(",")
    assert re.search(r"apt-get install [^&]*\$PACKAGES", DOCKERFILE)


def test_arguments_of_builds_are_those_of_the_image() -> None:
    declared = set(re.findall(r"^ARG (\w+)=", DOCKERFILE, re.MULTILINE))
    for name in SERVICES:
        assert set(compose()["services"][name]["build"]["args"]) <= declared
    # So that it can be given by its digest.
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE) == ["${BASE}"]
    assert DOCKERFILE.index("ARG BASE=") < DOCKERFILE.index("FROM")


def test_nobody_has_a_default_password() -> None:
    given = compose()["services"]["grafana"]["environment"]
    assert given["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert given["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"(?i)password[\w ]*[:=] *\S", text.split("grafana:")[0])


def test_prometheus_reads_metrics_with_a_key() -> None:
    config = yaml.safe_load((ROOT / "service/deploy/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    secret = Path(job["authorization"]["credentials_file"])
    assert str(secret.parent) == "/run/secrets"
    assert secret.name in compose()["services"]["prometheus"]["secrets"]
    assert secret.name in compose()["secrets"]


def start(folder: Path, **given: str) -> str:
    """Return what a command prints that is started as the container starts it."""
    command = [
        "sh",
        str(ENTRYPOINT),
        sys.executable,
        "-c",
        "import sys; print(*sys.argv[1:])",
        "a b",
    ]
    found = {**os.environ, "BUILT_NUMBA": str(folder / "built"), **given}
    done = subprocess.run(command, env=found, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_container_starts_with_a_copy_of_what_was_built(tmp_path: Path) -> None:
    (tmp_path / "built" / "x").mkdir(parents=True)
    (tmp_path / "built" / "x" / "one.nbi").write_bytes(b"1")
    cache = tmp_path / "cache" / "numba"
    assert start(tmp_path, NUMBA_CACHE_DIR=str(cache)) == "a b\n"
    assert (cache / "x" / "one.nbi").read_bytes() == b"1"
    (cache / "x" / "one.nbi").write_bytes(b"2")
    start(tmp_path, NUMBA_CACHE_DIR=str(cache))
    assert (cache / "x" / "one.nbi").read_bytes() == b"2"  # what is there already is newer
    shutil.rmtree(tmp_path / "built")
    assert start(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "other")) == "a b\n"


@pytest.mark.timeout(900)
def test_a_start_compiles_nothing_that_the_image_was_built_with(tmp_path: Path) -> None:
    (built,) = re.findall(r'NUMBA_CACHE_DIR=/opt/augfeed/numba python -c +"([^"]+)"', DOCKERFILE)
    (cpu,) = re.findall(r"^ARG CPU=(\S+)$", DOCKERFILE, re.MULTILINE)
    # The loops of a few draws alone: all take a core a minute. Without optimization some would not
    # be kept.
    less = (
        "service.WARM = ['hflip | cutout(2)']; "
        "service.DTYPES = {'float32': service.DTYPES['float32']}; "
        "whole = service.Place; service.Place = lambda device: whole(device, 'portable')"
    )
    code = f"from augfeed_service import service; {less}; {built}"
    made = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": environment()["NUMBA_CPU_FEATURES"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "NUMBA_DEBUG_CACHE": "1"}  # fmt: skip

    def warmed(folder: Path, *before: str) -> list[str]:
        done = subprocess.run(
            [*before, sys.executable, "-c", code], capture_output=True, text=True, timeout=800,
            env={**os.environ, **made, "BUILT_NUMBA": str(tmp_path / "built"),
                 "NUMBA_CACHE_DIR": str(folder)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return re.findall(r"data (saved|loaded)", done.stdout)

    first = warmed(tmp_path / "built")
    again = warmed(tmp_path / "copy", "sh", str(ENTRYPOINT))
    assert len(first) > 2 and set(first) == {"saved"} and again == ["loaded"] * len(first)
