"""Which tar shards a path, a pattern or a folder stands for."""

import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from augfeed.errors import InputError, ReadError
from augfeed.read.cache_dir import expanded
from augfeed.read.folder import EXTENSIONS
from augfeed.read.skipped_files import is_hidden

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")


def is_shard(path: Any) -> bool:
    """Whether a path or pattern is that of tar shards, by its ending."""
    name = str(path).lower() if isinstance(path, str | os.PathLike) else ""
    if name.endswith(_COMPRESSED):
        raise InputError(
            f"{os.fspath(path)!r} is compressed: unpack it to .tar, to read any sample"
        )
    return name.endswith(".tar")


def shards_in(folder: Path) -> list[str]:
    """Return the shards of a folder that has no folders and no images in it, sorted.

    Raises `InputError` for a compressed one in such a folder, `ReadError` for a folder that may not
    be listed.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not is_hidden(entry.name)]
        if any(entry.name.lower().endswith(EXTENSIONS) or entry.is_dir() for entry in found):
            return []
        return sorted(entry.path for entry in found if is_shard(entry.path))
    except OSError as error:
        raise ReadError.of(str(folder), error) from error


def shards_of(text: str) -> list[str]:
    """Return the paths that a pattern stands for: braces, then `*`, `?` and `[...]`, sorted.

    `{000..146}` counts, with the zeros in front; `{a,b}` lists. A file or folder whose name is just
    so comes before what its characters would stand for. Raises `InputError` for a pattern, or a
    part of one, that no file matches.
    """
    found = list(dict.fromkeys(_matching(expanded(text), 0)))
    if not found:
        raise InputError(f"{_first(text)!r} matches no file: check the pattern {text!r}")
    return found


def _matching(pattern: str, start: int) -> list[str]:
    # Braces before `start` are characters of names.
    if found := sorted(_walk("", pattern)):
        return found
    match = _RANGE.search(pattern, start) or _CHOICE.search(pattern, start)
    if match is None:
        return []
    for item in _items(match):
        text = pattern[: match.start()] + item + pattern[match.end() :]
        some = _matching(text, start)
        if not some and found:
            raise InputError(f"{text!r} matches no file: check the pattern {pattern!r}")
        if not some:
            return _matching(pattern, match.end())
        found += some
    return found


def _items(match: re.Match[str]) -> Iterator[str]:
    if match.re is _CHOICE:
        yield from match.group(1).split(",")
        return
    low, high = match.groups()
    width = len(low) if low.startswith("0") or len(low) == len(high) else 0
    for k in range(int(low), int(high) + 1):
        yield str(k).zfill(width)


def _first(pattern: str) -> str:
    # The first of the patterns without braces that one stands for.
    while match := _RANGE.search(pattern) or _CHOICE.search(pattern):
        item = next(_items(match), None)
        if item is None:
            break
        pattern = pattern[: match.start()] + item + pattern[match.end() :]
    return pattern


def _walk(base: str, rest: str) -> Iterator[str]:
    # The paths below `base` that a pattern without braces stands for.
    head, slash, tail = rest.partition("/")
    names = [head]
    if head and not os.path.exists(base + head):
        names = _names(base, head) if glob.has_magic(head) else []
    for name in names:
        if slash:
            yield from _walk(f"{base}{name}/", tail)
        elif os.path.exists(base + name):
            yield base + name


def _names(folder: str, pattern: str) -> list[str]:
    try:
        names = os.listdir(folder or ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ReadError.of(folder, error) from error
    names = [name for name in names if not is_hidden(name) or pattern.startswith(".")]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


__all__ = ["is_shard", "shards_in", "shards_of"]
