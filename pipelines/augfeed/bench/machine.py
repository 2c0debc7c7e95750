"""The machine and the device that a measurement was made on, and the versions that took part."""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from augfeed import __version__
from augfeed.bench.result import Device, Machine

CACHE = 32 << 20  # bytes of the last cache of a processor that does not tell
CODE = ("--", ":(top)", ":(top,exclude)benchmarks/results")  # a result is not code: it marks none


def machine_here(threads: int) -> Machine:
    """Return this machine, without its name."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    system = f"{platform.system()} {platform.machine()}"
    return Machine(cpu=cpu_name(), cores=cores(), threads=threads, system=system, load=load)


def device_here(device: torch.device) -> Device:
    """Return what is known of a device."""
    if device.type != "cuda":
        name = cpu_name() if device.type == "cpu" else str(device)
        return Device(kind=device.type, name=name, driver=None, memory=None, cache=_cpu_cache())
    found = torch.cuda.get_device_properties(device)
    return Device(
        kind="cuda",
        name=found.name,
        driver=_driver(),
        memory=found.total_memory,
        cache=int(getattr(found, "L2_cache_size", 0)) or CACHE,
    )


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of augfeed, and of those packages that are installed."""
    found = {"python": platform.python_version(), "augfeed": __version__}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    # A build of torch says its CUDA in a version of its own, which the metadata may lack.
    return {**found, "torch": torch.__version__} if "torch" in packages else found


def commit_here() -> str | None:
    """Return the git commit, marked `+` if files differ from it; None outside a repository."""
    here = Path(__file__).resolve().parents[1]
    try:
        # An installed package may lie in the repository of something else.
        _git(here, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "-uno", *CODE) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def command_here() -> str:
    """Return the command line of this process, with names in place of paths."""
    words = [Path(word).name if os.sep in word else word for word in sys.argv]
    return shlex.join(words)


def now() -> str:
    """Return the date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cpu_name() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _cpu_cache() -> int:
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    found = [re.fullmatch(r"(\d+)K", path.read_text().strip()) for path in sizes]
    return max((int(match[1]) << 10 for match in found if match), default=CACHE)


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()
