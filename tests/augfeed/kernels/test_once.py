"""Processes that compile the same function at once: one does, the others load what it stored."""

import fcntl
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from augfeed.kernels import once

CODE = """
from augfeed.kernels import compiled

@compiled()
def inner(x):
    return x + 1

@compiled()
def double(x):
    return 2 * inner(x) - 2
"""
COUNTS = "double.stats.cache_hits.values(), double.stats.cache_misses.values()"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two compiled functions, and an empty folder for their code."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "code"))
    path = tmp_path / "doubled.py"
    path.write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "doubled", raising=False)
    return path


@pytest.fixture
def made(source: Path) -> Iterator[Any]:
    """One of the functions, not compiled yet."""
    yield importlib.import_module("doubled").double
    del sys.modules["doubled"]


def is_locked(source: Path) -> bool:
    """Return whether another process could not have the lock."""
    with source.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def while_compiling(made: Any, monkeypatch: pytest.MonkeyPatch, then: Callable[[], Any]) -> None:
    compile_ = made._compiler.compile

    def compile_and(*given: Any) -> Any:
        then()
        return compile_(*given)

    monkeypatch.setattr(made._compiler, "compile", compile_and)


def test_no_other_process_compiles_a_file_meanwhile(
    made: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    while_compiling(made, monkeypatch, lambda: seen.append(is_locked(source)))
    assert made(21) == 42
    assert seen == [True] and not is_locked(source)
    assert made(0.5) == 1.0  # for other types, again
    assert seen == [True, True] and not is_locked(source)


def test_an_error_of_the_compiler_gives_the_lock_back(
    made: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("the compiler broke")

    while_compiling(made, monkeypatch, fail)
    with pytest.raises(ValueError, match="the compiler broke"):
        made(21)
    assert not is_locked(source)


def elsewhere(source: Path, argument: float) -> str:
    """Call the function in another process; return how much it loaded and compiled."""
    code = f"from doubled import double; double({argument}); print(*map(sum, ({COUNTS})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(source.parent / "code"),
             "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_another_process_stored_while_this_one_waited_is_loaded(
    made: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, said = once.locked, list[str]()

    @contextmanager
    def late(file: str, *, shared: bool) -> Iterator[None]:
        if not shared and not said:
            said.append(elsewhere(source, 21))
        with locked(file, shared=shared):
            yield

    monkeypatch.setattr(once, "locked", late)
    assert made(21) == 42
    assert said == ["0 1"] and not made.stats.cache_misses
    assert sum(made.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("broken", ["no locks", "no file", "held by one that was stopped"])
def test_without_a_lock_each_process_compiles(
    broken: str, made: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("this file system has no locks")

    with source.open("rb") as other:
        if broken == "no locks":
            monkeypatch.setattr(fcntl, "flock", refuse)
        elif broken == "no file":
            source.unlink()
        else:
            monkeypatch.setattr(once, "MOST", 0.1)
            fcntl.flock(other, fcntl.LOCK_EX)
        assert made(21) == 42


def test_a_file_is_locked_once_for_functions_that_compile_others(source: Path) -> None:
    with once.locked(str(source), shared=False):
        with once.locked(str(source), shared=False):
            assert is_locked(source)
        assert is_locked(source)
    assert not is_locked(source)
