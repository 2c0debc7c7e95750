"""What the soak leaves behind, whether it held, and its table."""

from typing import Literal

from augfeed.bench.result import Model, Stamped

PACKAGES = ("torch", "numpy", "fastapi", "uvicorn", "urllib3")
MB = 1e6


class Life(Model):
    """One process of a replica: bytes of resident memory when it was ready, what its bounds let it
    take besides, the most that was seen, and some `points`: seconds of the soak, bytes."""

    replica: int
    base: int
    budget: int
    peak: int
    points: tuple[tuple[float, int], ...]
    struck: bool  # killed, for it took several times its bound

    @property
    def bound(self) -> int:
        """The most that it may take, in bytes."""
        return self.base + self.budget


class SoakResult(Stamped):
    """One run. `statuses` are those that the replicas counted, `outcomes` those of each attack."""

    schema_version: Literal[1] = 1
    suite: Literal["soak"] = "soak"
    title: str = "The batch service among its enemies"
    seed: int
    minutes: float
    batches: int  # read by loaders
    wrong: int  # batches unlike those made in process, pushes and previews unlike their first
    pushes: int
    previews: int
    refused: int  # pushes and previews that the service refused, or that did not come in time
    killed: int  # replicas
    terminated: int
    failures: dict[str, int]  # what must not happen, and how often it did
    tracebacks: int  # in the logs of the replicas
    calm: float  # images a second, in the fault-free part
    storm: float  # and among faults
    statuses: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    lives: tuple[Life, ...]

    def broken(self) -> list[str]:
        """Return what did not hold; empty if all did."""
        found = [f"replica {life.replica} took {life.peak / MB:,.0f} MB, above its bound of "
                 f"{life.bound / MB:,.0f} MB" + (", and was killed" if life.struck else "")
                 for life in self.lives if life.struck or life.peak > life.bound]  # fmt: skip
        answers = [self.statuses, *self.outcomes.values()]
        for status in sorted({name for counts in answers for name in counts if server_fault(name)}):
            count = max(counts.get(status, 0) for counts in answers)
            found.append(f"{count} answers of status {status}")
        if self.wrong:
            found.append(f"{self.wrong} answers are not those that they should be")
        if not self.batches:
            found.append("no batch was read")
        return found + [f"{count} x {failure}" for failure, count in self.failures.items()]


def server_fault(status: str) -> bool:
    """Return whether a status is an error of the server that is not a refusal."""
    return len(status) == 3 and status.startswith("5") and status != "503"


def render(result: SoakResult) -> str:
    """Return the tables of a result as Markdown, with what it was measured on."""
    share = result.storm / result.calm if result.calm else 0.0
    rows = [
        ("batches read by loaders", f"{result.batches:,}"),
        ("pushes, previews, refused ones of both",
         f"{result.pushes:,}, {result.previews:,}, {result.refused:,}"),
        ("answers that are not what they should be", f"{result.wrong:,}"),
        ("goodput without faults, among faults",
         f"{result.calm:,.0f}, {result.storm:,.0f} images/s ({share:.0%})"),
        ("replicas ended by SIGKILL, SIGTERM", f"{result.killed}, {result.terminated}"),
        ("statuses", _counts(result.statuses)),
        ("tracebacks in logs", f"{result.tracebacks}"),
        *((f"attack: {name}", _counts(counts)) for name, counts in sorted(result.outcomes.items())),
    ]  # fmt: skip
    replicas = sorted({life.replica for life in result.lives})
    for replica in replicas:
        lives = [life for life in result.lives if life.replica == replica]
        worst = max(lives, key=lambda life: life.peak / life.bound)
        rows.append((f"replica {replica}, {len(lives)} processes: most memory",
                     f"{worst.peak / MB:,.0f} MB of {worst.bound / MB:,.0f} MB"))  # fmt: skip
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows)])
    held = "\n".join(f"- {line}" for line in result.broken()) or "All of it held."
    return f"### {result.title}\n\n{table}\n\n{held}\n\n{_notes(result)}\n"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} x {name}" for name, count in sorted(counts.items())) or "none"


def _notes(result: SoakResult) -> str:
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"{result.minutes:g} minutes, seed {result.seed}; replicas, loaders and attackers share "
        f"{machine.cores} cores of {machine.cpu} ({machine.load:.1f} processes busy before). The "
        f"bound of a replica is its memory when ready and its budget. {versions}. {result.date}, "
        f"commit {result.commit or 'unknown'}. Command: `{result.command}`."
    )
