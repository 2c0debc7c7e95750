"""What a benchmark leaves behind: times, ratios, and what they were measured on."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

import augfeed
from augfeed.doctor.environment import cores

PACKAGES = ("torch", "numpy", "numba", "kornia", "simplejpeg", "pillow")


class Model(BaseModel):
    """Frozen, and without fields that are not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Model):
    """The median of some numbers, with the quartiles below and above."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one number."""
        if len(values) == 1:
            return cls(median=values[0], low=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median=median, low=low, high=high)


class Ratio(Model):
    """A ratio of two rates: of their medians, and the spread of the ratios round by round."""

    of_medians: float
    by_round: Spread

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> "Ratio":
        """Return the ratio of two rows of times, measured in the same rounds."""
        pairs = zip(above, below, strict=True)
        return cls(
            of_medians=statistics.median(above) / statistics.median(below),
            by_round=Spread.of([a / b for a, b in pairs]),
        )


class Row(Model):
    """One contestant. `seconds` are those of one pass over the data, one for each round.

    `slower` is its time over augfeed's: how many times as fast augfeed is. `of_limit` is its rate
    over that of decoding alone.
    """

    name: str
    title: str
    work: Literal["whole", "basic", "decode"]
    differs: str
    passes: int
    seconds: tuple[float, ...]
    rate: Spread  # samples a second
    slower: Ratio
    of_limit: Ratio | None


class Machine(Model):
    """Where it was measured. `load` is the number of busy processes just before."""

    cpu: str
    cores: int
    threads: int
    system: str
    load: float


class Result(Model):
    """One run of one benchmark."""

    schema_version: Literal[1] = 1
    suite: str
    title: str
    date: str
    command: str
    commit: str | None
    machine: Machine
    versions: dict[str, str]
    data: str
    samples: int
    batch: int
    chain: str
    rounds: int
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """Return the row of a contestant."""
        return next(row for row in self.rows if row.name == name)


def machine_here(threads: int) -> Machine:
    """Return this machine, without its name."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    system = f"{platform.system()} {platform.machine()}"
    return Machine(cpu=_cpu(), cores=cores(), threads=threads, system=system, load=load)


def versions_here() -> dict[str, str]:
    """Return the versions of Python and of what takes part."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "augfeed": augfeed.__version__, **found}


def commit_here() -> str | None:
    """Return the git commit, marked `+` if files differ from it; None outside a repository."""
    folder = Path(__file__).resolve().parents[1]
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def now() -> str:
    """Return the date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()
