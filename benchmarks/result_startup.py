"""What `bench_startup` leaves behind, and its table."""

from typing import Literal

from augfeed.bench.result import Model, Spread, Stamped

PACKAGES = ("torch", "numpy", "numba", "simplejpeg", "pillow")


class Row(Model):
    """One figure: seconds, or bytes of memory in proportional shares, one for each round."""

    name: str
    question: str
    title: str
    unit: Literal["s", "MB"]
    values: tuple[float, ...]
    spread: Spread


class StartupResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["startup"] = "startup"
    title: str
    samples: int
    batch: int
    rounds: int
    rows: tuple[Row, ...]


def render(result: StartupResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    lines = [["what", "by", "", "of the first"], ["---", "---", "---:", "---:"]]
    first: Row | None = None
    for row in result.rows:
        if first is None or row.question != first.question:
            first = row
        share = row.spread.median / first.spread.median
        value = f"{row.spread.median:,.3g} ({row.spread.low:,.3g} to {row.spread.high:,.3g})"
        lines.append([
            row.question if row is first else "", row.title, f"{value} {row.unit}",
            "" if row is first else f"{share:.2f} x",
        ])  # fmt: skip
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"### {result.title}\n\n{table}\n\nMedian of {result.rounds} interleaved rounds, quartiles "
        f"in brackets, each a new process; {result.samples} photos, batches of {result.batch}; "
        "memory is that of all processes, shared pages counted once; augfeed does crop, flip, "
        "color jitter, Mixup or CutMix, erasing, normalization. "
        f"{machine.cores} cores of {machine.cpu} ({machine.load:.1f} processes "
        f"busy before). {versions}. {result.date}, commit {result.commit or 'unknown'}. "
        f"Command: `{result.command}`.\n"
    )
