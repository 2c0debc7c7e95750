"""Long scans: their progress is shown, and what they found is kept on disk for the next time."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from augfeed.read.cache_dir import cache_folder

VERSION = 2  # of what is kept; another one is not read
SLOW = 0.1  # seconds from which a scan is worth keeping
SHOWN_AFTER = 1.0  # seconds from which its progress is shown
SETTLED = 2_000_000_000  # ns that a folder must be old: within the clock's grain it may change


class ProgressBar:
    """Shows the progress of something that takes longer than a second, on a terminal."""

    def __init__(self, title: str, total: int | None = None) -> None:
        """Show nothing yet."""
        self._title, self._total, self._count = title, total, 0
        self._begun = time.monotonic()
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> "ProgressBar":
        return self

    def advance(self, count: int = 1) -> None:
        """Count some more that are done."""
        self._count += count
        if self._progress is None and time.monotonic() - self._begun > SHOWN_AFTER:
            console = Console(stderr=True)
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                console=console, transient=True, disable=not console.is_terminal,
            )  # fmt: skip
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=self._total)
        if self._progress is not None:
            self._progress.update(self._task, completed=self._count)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def kept(
    key: str, valid: Callable[[Any], bool], scan: Callable[[], Any], *, slow: float | None = None
) -> Any:
    """Return what a scan finds, as JSON: from disk if `valid` agrees, else found and kept.

    Only a scan that takes `slow` seconds (default `SLOW`) is kept, if `valid` agrees with it too.
    Where nothing can be written, nothing is kept; a file that is broken is made again.
    """
    path = _path(key)
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        held = json.loads(path.read_text())
        if held["version"] == VERSION and held["key"] == key and valid(held["found"]):
            return held["found"]
    begun = time.monotonic()
    found = scan()
    if time.monotonic() - begun >= (SLOW if slow is None else slow) and valid(found):
        with suppress(OSError):
            _write(path, json.dumps({"version": VERSION, "key": key, "found": found}))
    return found


def stamp(stat: os.stat_result) -> list[int]:
    """Return what says whether a folder is as it was: its times, in ns, of change and of status.

    The second shows that the first was set back, as unpacking and copying do.
    """
    return [stat.st_mtime_ns, stat.st_ctime_ns]


def settled(folders: Iterable[tuple[str, list[int]]]) -> bool:
    """Whether folders, as (path, `stamp`), are as they were, and none was changed recently."""
    latest = time.time_ns() - SETTLED
    try:
        return all(held[0] < latest and stamp(os.stat(path)) == held for path, held in folders)
    except OSError:
        return False


def _path(key: str) -> Path:
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]
    return cache_folder("listings") / f"{name}.json"


def _write(path: Path, text: str) -> None:
    # Under a name of its own first: a reader sees a whole file or none.
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".tmp")
    try:
        with open(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
