"""Compiled once on a machine: of processes that want the same code, one compiles, others load it.

Numba's cache takes no care of processes that store at once: code can be lost, or be loaded by the
name of another's.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from numba.core.compiler_lock import global_compiler_lock

try:
    import fcntl
except ImportError:  # Windows: each process compiles
    fcntl = None  # type: ignore[assignment]

MOST = 300.0  # seconds to wait for a process that compiles, which may have been stopped meanwhile
AGAIN = 0.02  # seconds from one look to the next

_held: set[str] = set()  # the files that this process has locked; under Numba's lock of threads


def compile_once(dispatcher: Any) -> Any:
    """Let a function that Numba keeps on disk be compiled by one process at a time."""
    if not hasattr(dispatcher, "compile"):  # NUMBA_DISABLE_JIT
        return dispatcher
    compile_, file = dispatcher.compile, dispatcher.py_func.__code__.co_filename

    def once(signature: Any) -> Any:
        with global_compiler_lock:
            with locked(file, shared=True):
                if _is_stored(dispatcher, signature):
                    return compile_(signature)
            with locked(file, shared=False):  # it may have been stored while this process waited
                return compile_(signature)

    dispatcher.compile = once
    return dispatcher


@contextmanager
def locked(file: str, *, shared: bool) -> Iterator[None]:
    """Hold the lock of a source file among processes; go on without where that cannot be had.

    A lock on the source needs no file of its own, and ends with its process.
    """
    opened = None if file in _held else _opened(file)
    if fcntl is None or opened is None:
        yield
        return
    with opened:
        _wait(opened.fileno(), fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)
            with suppress(OSError):  # said in full: a forked child may have the same open file
                fcntl.flock(opened, fcntl.LOCK_UN)


def _opened(file: str) -> BinaryIO | None:
    try:
        return Path(file).open("rb")
    except OSError:  # the source is not there as a file
        return None


def _wait(opened: int, kind: int) -> None:
    until = time.monotonic() + MOST
    while time.monotonic() < until:
        try:
            fcntl.flock(opened, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(AGAIN)
        except OSError:  # a file system without locks
            return


def _is_stored(dispatcher: Any, signature: Any) -> bool:
    cache = dispatcher._cache
    key = cache._index_key(signature, dispatcher.targetctx.codegen())
    return key in cache._cache_file._load_index()
