"""How much memory a process may still take."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available_memory(proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> int:
    """Return the bytes of memory that can be had without swapping.

    On Linux what the kernel reckons, or the container's limit leaves if that is less; elsewhere
    what the system calls free, or half of the memory if it does not tell.
    """
    known = [*_meminfo(proc), *_limits(proc, cgroups)]
    if known:
        return max(min(known), 0)
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        return page * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):  # macOS does not name them
        return page * os.sysconf("SC_PHYS_PAGES") // 2


def _meminfo(proc: Path) -> Iterator[int]:
    for line in _lines(proc / "meminfo"):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024


def _limits(proc: Path, cgroups: Path) -> Iterator[int]:
    # What is left under the limit of this process's group and of each group above it. Pages of
    # files that nobody uses count as taken, but are given back when memory is needed.
    for line in _lines(proc / "self" / "cgroup"):
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            root, limit, used, idle = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            root, limit, used = cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            idle = "total_inactive_file"
        else:
            continue
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None:
                stat = dict(line.split() for line in _lines(folder / "memory.stat"))
                yield most - taken + int(stat.get(idle, 0))
            if folder == root:
                break


def _number(path: Path) -> int | None:
    text = next(_lines(path), "")
    return int(text) if text.isdigit() else None  # "max" is not a limit


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
