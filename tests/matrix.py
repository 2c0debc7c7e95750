"""Run the core tests on every Python that is promised, and on the lowest versions: `make matrix`.

Each gets an environment in `.venv-matrix`, which is kept. The standard library is all that is
needed. What is promised is read from `pyproject.toml`: the classifiers name the Pythons, and the
lower bounds of the dependencies are what `lowest` installs.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-matrix"

# What a Python or a library could change: the plan's numbers, the loops, readers, processes,
# the command line, the service and training; not what only takes long.
CORE = [
    "tests/augfeed/plan", "tests/augfeed/feed", "tests/augfeed/wire", "tests/augfeed/read",
    "tests/augfeed/engines/test_engines.py", "tests/augfeed/test_cli.py",
    "tests/augfeed/test_loader.py", "tests/augfeed/test_notation.py",
    "tests/augfeed/test_pipeline.py", "tests/augfeed/test_policy.py",
    "tests/augfeed/test_processes.py", "tests/augfeed/test_torch_errors.py",
    "tests/augfeed/test_torch_random.py", "tests/client/test_loader.py",
    "tests/service/test_pull.py", "tests/trainer/test_train.py",
]  # fmt: skip
HOUSE = "tests/test_house.py"
WITHOUT = "not cuda and not dali"  # interpreted or another's: no Python changes them

PLUGINS = ("-p", "no:cacheprovider", "-p", "no:anyio")  # an older anyio's warns of a newer pytest

OLD = ("-W", "ignore::DeprecationWarning")  # of libraries about newer ones beside them

# Linters need newer libraries than users do, and `cuda` a newer torch than the lowest.
EXTRAS = ("kornia", "service", "client", "demo", "train")
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "httpx", "psutil", "safetensors", "scipy")


@dataclass(frozen=True)
class Environment:
    """A Python, what is installed for it, and what is run."""

    name: str
    version: str
    requirements: tuple[str, ...]
    constraints: str
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()


def pythons(project: dict[str, Any]) -> list[str]:
    """Return the Pythons that the classifiers name, as "3.11"."""
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    found = (pattern.fullmatch(text) for text in project["classifiers"])
    return [match[1] for match in found if match]


def lowest(project: dict[str, Any]) -> list[str]:
    """Return the lower bounds of what users install, as "torch==2.6.0"."""
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for name in EXTRAS for one in extras[name])]
    return sorted({f"{name}=={version}" for name, version in map(_bound, wanted) if version})


def _bound(requirement: str) -> tuple[str, str]:
    match = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?(?:>=([\d.]+))?", requirement)
    assert match is not None, requirement
    version = match[2] or ""
    return match[1], version + ".0" * (2 - version.count(".")) if version else ""


def environments(project: dict[str, Any]) -> Iterator[Environment]:
    """Yield what is promised: each Python with the versions tested, and the lowest versions."""
    versions = pythons(project)
    tested = (ROOT / "constraints.txt").read_text()
    for version in versions:
        yield Environment(f"py{version}", version, (".[dev]",), tested, (*CORE, HOUSE))
    everything = (f".[{','.join(EXTRAS)}]", *TOOLS)
    constraints = "\n".join(lowest(project)) + "\n"
    yield Environment("lowest", versions[0], everything, constraints, tuple(CORE), OLD)


def interpreter(version: str) -> str | None:
    """Return a Python of a version that can make environments: on PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python"))
    check = f"import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for path in (shutil.which(f"python{version}"), sys.executable, *map(str, kept)):
        if path and not subprocess.run([path, "-c", check], capture_output=True).returncode:
            return path
    return None


def made(environment: Environment, python: str) -> Path:
    """Return the Python of an environment, made again if what it is made from has changed."""
    folder = FOLDER / environment.name
    said = [python, (ROOT / "pyproject.toml").read_text(), *environment.requirements]
    digest = hashlib.sha256("\n".join([*said, environment.constraints]).encode()).hexdigest()
    ready, own = folder / ".ready", str(folder / "bin" / "python")
    if not (ready.is_file() and ready.read_text() == digest):
        print(f"==> {environment.name}: making {folder} with {python}: minutes", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        constraints = folder / "constraints.txt"
        constraints.write_text(environment.constraints)
        install = [own, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        asked = ["-e", environment.requirements[0], *environment.requirements[1:]]
        subprocess.run([*install, "-c", str(constraints), *asked], cwd=ROOT, check=True)
        ready.write_text(digest)
    return Path(own)


def run(environment: Environment, arguments: list[str]) -> tuple[bool, str]:
    """Return whether the tests passed, and what is to be said of it."""
    python = interpreter(environment.version)
    if python is None:
        return True, f"missing: no python{environment.version} on PATH or in pyenv"
    try:
        own = str(made(environment, python))
    except subprocess.CalledProcessError:
        return False, "FAILED: cannot be installed"
    print(f"==> {environment.name}", flush=True)
    command = [own, "-m", "pytest", "-q", *PLUGINS, "-k", WITHOUT, *environment.options]
    begun, last = time.monotonic(), ""
    with subprocess.Popen([*command, *environment.tests, *arguments], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as tests:  # fmt: skip
        assert tests.stdout is not None
        for line in tests.stdout:
            print(line, end="", flush=True)
            last = line.strip(" =\n") or last
    passed = tests.returncode == 0
    said = last if passed else f"FAILED: {last}"
    return passed, f"{said} ({time.monotonic() - begun:.0f} s in all)"


def main() -> int:
    """Run all that can be run, and print what became of each."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = list(environments(tomllib.load(file)["project"]))
    names = [environment.name for environment in known]
    parser = argparse.ArgumentParser(description=__doc__, prog="make matrix")
    parser.add_argument("--only", action="append", choices=names, help="may come several times")
    options, arguments = parser.parse_known_args()
    results = [(environment, *run(environment, arguments)) for environment in known
               if not options.only or environment.name in options.only]  # fmt: skip
    print(f"\n{'environment':12} {'Python':7} result")
    for environment, _, said in results:
        print(f"{environment.name:12} {environment.version:7} {said}")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
