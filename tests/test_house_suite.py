"""The tests test themselves: what they promise of Pythons, of time and of chance."""

import ast
import math
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

from tests import conftest, matrix
from tests.cases import (
    CASES,
    CHAINS,
    FEW_PIXELS,
    ON_GPU,
    OUTPUTS,
    SHAPES,
    STORED_CASES,
    TELLING,
    other_shape,
    tried,
    tried_as,
)
from tests.sampling import covering, each, each_value, sampled, together
from tests.waiting import HANG

ROOT = Path(__file__).resolve().parents[1]
with (ROOT / "pyproject.toml").open("rb") as _file:
    CONFIGURED = tomllib.load(_file)
PROJECT = CONFIGURED["project"]

# Files that may read the clock or sleep: the reason.
CLOCKS = {
    "tests/waiting.py": "waits for what happens, and says what hangs",
    "tests/matrix.py": "says how long the tests took",
    "tests/client/faults.py": "stalls on purpose; replicas that start and end",
    "tests/augfeed/gpu_checks.py": "says how long each check took",
    "tests/augfeed/test_stats.py": "puts a clock of its own in the place of the real one",
    "tests/deploy/test_deploy.py": "an answer that takes long enough for others to ask, too",
    "tests/service/test_bodies.py": "threads that are busy, on purpose",
    "tests/service/test_ending.py": "a service that ends does not close its socket sooner than set",
}


# Pythons and versions


def test_the_matrix_has_every_python_that_is_promised() -> None:
    first = re.fullmatch(r">=(3\.\d+)", PROJECT["requires-python"])
    assert first is not None
    versions = matrix.pythons(PROJECT)
    assert versions[0] == first[1]
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]
    named = {one.version for one in matrix.environments(PROJECT) if one.name != "lowest"}
    assert named == set(versions)


def test_the_lowest_versions_are_those_of_the_project() -> None:
    found = dict(line.split("==") for line in matrix.lowest(PROJECT))
    for requirement in PROJECT["dependencies"]:
        name, version = requirement.partition(",")[0].split(">=")
        assert found[name] in (version, f"{version}.0", f"{version}.0.0")
    assert matrix.lowest(
        {"dependencies": ["a>=1", "b[x]>=2.10; sys_platform == 'linux'", "c"],
         "optional-dependencies": {name: ["d-e>=1.2.3"] for name in matrix.EXTRAS}}
    ) == ["a==1.0.0", "b==2.10.0", "d-e==1.2.3"]  # fmt: skip


def test_the_matrix_names_tests_that_exist() -> None:
    assert all((ROOT / path).exists() for path in [*matrix.CORE, matrix.HOUSE])


def test_a_python_that_is_not_there_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    passed, said = matrix.run(matrix.Environment("py3.99", "3.99", (), "", ()), [])
    assert passed and said == "missing: no python3.99 on PATH or in pyenv"


def test_a_python_is_found_only_under_its_own_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own, here = f"{sys.version_info[0]}.{sys.version_info[1]}", sys.executable
    for version in (own, "3.99"):
        path = tmp_path / "versions" / f"{version}.1" / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.write_text(f'#!/bin/sh\nexec "{here}" "$@"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "")
    assert matrix.interpreter(own) == str(tmp_path / f"versions/{own}.1/bin/python")
    assert matrix.interpreter("3.99") is None  # says so, but is another one


def test_an_environment_that_cannot_be_made_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Path:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(matrix, "interpreter", lambda _: sys.executable)
    monkeypatch.setattr(matrix, "made", broken)
    passed, said = matrix.run(matrix.Environment("lowest", "3.11", (), "", ()), [])
    assert not passed and said == "FAILED: cannot be installed"


# Time and chance


def clocks(tree: ast.Module) -> Iterator[str]:
    """Find what reads the clock or sleeps."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases if alias.name == "time")
            case ast.ImportFrom(module="time", names=aliases):
                yield from (f"time.{alias.name}" for alias in aliases)


def short_timeouts(tree: ast.Module) -> Iterator[str]:
    """Find limits of tests that a machine with other work could reach."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="timeout"),
                args=[ast.Constant(value=float() | int() as value)],
            ):
                if value < CONFIGURED["tool"]["pytest"]["ini_options"]["timeout"]:
                    yield f"timeout({value})"


def _tests(word: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the files in which a word stands: no other one can name what the word names."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        if re.search(rf"\b{word}\b", text):
            yield path.relative_to(ROOT).as_posix(), ast.parse(text)


def test_no_test_reads_the_clock() -> None:
    found = {path for path, tree in _tests("time") if list(clocks(tree))}
    assert not sorted(found - CLOCKS.keys()), "wait for what happens: tests/waiting.py"
    assert not sorted(CLOCKS.keys() - found), "no longer exempt"


def test_time_outs_only_end_what_hangs() -> None:
    found = [f"{path}: {what}" for path, tree in _tests("timeout") for what in short_timeouts(tree)]
    assert not found
    assert HANG >= 60


@pytest.mark.parametrize(
    ("rule", "code", "found"),
    [
        (clocks, "import time", 1),
        (clocks, "import os, time\nfrom time import sleep, monotonic", 3),
        (clocks, "import timeit\nfrom datetime import time", 0),
        (short_timeouts, "@pytest.mark.timeout(60)\ndef test(): ...", 1),
        (short_timeouts, "pytestmark = [pytest.mark.timeout(20.5)]", 1),
        (short_timeouts, "pytestmark = pytest.mark.timeout(1200)", 0),
    ],
)
def test_rule_finds(rule: Any, code: str, found: int) -> None:
    assert len(list(rule(ast.parse(code)))) == found


def test_examples_are_the_same_in_every_run_and_have_no_deadline() -> None:
    assert settings.default is not None
    assert settings.default.derandomize and settings.default.deadline is None
    search = settings.get_profile("search")
    assert not search.derandomize and search.deadline is None


# What a usual run leaves out


class Item:
    """A test as the collection knows it."""

    def __init__(self, nodeid: str, *markers: str) -> None:
        self.nodeid, self.markers = nodeid, markers

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.markers else None


@pytest.mark.parametrize(
    ("whole", "markexpr", "args", "kept"),
    [
        (False, "", ["tests"], "quick"),
        (True, "", ["tests"], "quick slow"),
        (False, "slow", ["tests"], "quick slow"),  # -m makes its own choice
        (False, "", ["/elsewhere/tests/a.py::slow"], "quick slow"),
        (False, "", ["tests/a.py"], "quick"),
    ],
)
def test_slow_tests_are_run_where_they_are_asked_for(
    whole: bool, markexpr: str, args: list[str], kept: str
) -> None:
    gone: list[Any] = []
    config: Any = SimpleNamespace(
        option=SimpleNamespace(whole=whole, markexpr=markexpr), args=args,
        hook=SimpleNamespace(pytest_deselected=lambda items: gone.extend(items)),
    )  # fmt: skip
    items: Any = [Item("tests/a.py::quick"), Item("tests/a.py::slow", "slow")]
    every = set(items)
    conftest.pytest_collection_modifyitems(config, items)
    assert " ".join(item.nodeid.partition("::")[2] for item in items) == kept
    assert {*items, *gone} == every


def test_all_of_a_product_is_tried_and_the_usual_run_tries_a_part() -> None:
    rows = sampled(lambda a, b: a == 1, {"a": range(4), "b": "xyz"}).args[1]
    slow = [row for row in rows if hasattr(row, "marks")]
    usual = [row for row in rows if row not in slow]
    assert usual == [(1, b) for b in "xyz"]
    assert {*usual, *(row.values for row in slow)} == set(product(range(4), "xyz"))
    assert all(row.marks[0].name == "slow" for row in slow)


def test_values_that_are_tried_together_are_those_of_the_product() -> None:
    names, rows = together(lambda a, b: a + b < 3, {"a": (0, 3), "b": range(4)}).args
    assert names == ["a", "b"]
    assert [row.values for row in rows] == [(0, [0, 1, 2]), (0, [3]), (3, [0, 1, 2, 3])]
    assert [[mark.name for mark in row.marks] for row in rows] == [[], ["slow"], ["slow"]]
    assert [row.id for row in rows] == ["0", "0-rest", "3-rest"]


def test_every_value_that_fails_is_named() -> None:
    seen = []

    def check(value: int) -> None:
        seen.append(value)
        assert value % 2, "even"

    with pytest.raises(AssertionError, match=r"(?s)0: even.*2: even"):
        each(range(4), check)
    assert seen == [0, 1, 2, 3]
    each([1, 3], check)
    with pytest.raises(ZeroDivisionError) as caught:
        each([5, 0], lambda value: 1 / value)
    assert caught.value.__notes__ == ["for 0"]


@pytest.mark.parametrize("sizes", [(2, 3, 2), (6, 4, 2), (6, 9, 3), (3, 3, 3, 3)])
def test_every_pair_of_values_is_in_the_usual_run(sizes: tuple[int, ...]) -> None:
    rows = covering({str(k): range(size) for k, size in enumerate(sizes)})
    for (a, first), (b, second) in combinations(enumerate(sizes), 2):
        assert {(row[a], row[b]) for row in rows} == set(product(range(first), range(second)))
    assert len(rows) < math.prod(sizes)


def test_every_engine_meets_every_case_and_every_shape_in_the_usual_run() -> None:
    for engine in ("portable", "cuda"):
        rows = [
            (case, shape) for case, shape in product(CASES, SHAPES) if tried(case, shape, engine)
        ]
        met = Counter(shape for _, shape in rows)
        assert set(met) == set(SHAPES) and min(met.values()) >= len(CHAINS)
        assert {case for case, shape in rows if shape == TELLING} == set(CASES)
    floats = {other_shape(case, "cuda") for case in CASES}
    assert len(floats - {TELLING}) == (1 if ON_GPU else len(FEW_PIXELS))


def test_every_case_and_every_output_is_stored_in_the_usual_run() -> None:
    rows = [row for row in product(STORED_CASES, OUTPUTS) if tried_as(*row, "cuda")]
    assert {case for case, _ in rows} == {*STORED_CASES}
    assert [output for _, output in rows].count(OUTPUTS[0]) == 1 and len(rows) == len(OUTPUTS)


@pytest.mark.parametrize("sizes", [(1,), (2, 5), (6, 6), (4, 15, 2)])
def test_every_value_is_in_the_usual_run(sizes: tuple[int, ...]) -> None:
    rows = each_value(*map(range, sizes))
    assert len(rows) == max(sizes)
    for place, size in enumerate(sizes):
        assert {row[place] for row in rows} == {*range(size)}


def test_tests_have_the_same_names_in_every_process(request: pytest.FixtureRequest) -> None:
    found = [item.nodeid for item in request.session.items if " at 0x" in item.nodeid]
    assert not found, "pytest-xdist wants the same names from all: give `ids`"


# How it is run


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["test", "ARGS=-k policy"], "-m pytest -n auto --dist worksteal -k policy"),
        (["test-all"], "-m pytest -n auto --dist worksteal --all"),
        (["test", "ARGS=-p no:xdist -x"], "-m pytest -p no:xdist -x"),
    ],
    ids=["usual", "all", "without pytest-xdist"],
)  # fmt: skip
def test_make_runs_tests_side_by_side(command: list[str], said: str) -> None:
    if not shutil.which("make"):
        pytest.skip("needs make")
    done = subprocess.run(
        ["make", "-n", *command, "PYTHON=python3"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert said in " ".join(done.stdout.split())


def test_every_run_shows_its_slowest_tests() -> None:
    assert "--durations=10" in CONFIGURED["tool"]["pytest"]["ini_options"]["addopts"]
