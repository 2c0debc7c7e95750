"""What `bench_service` leaves behind, and its table."""

from typing import Literal

from augfeed.bench.result import Model, Spread, Stamped
from benchmarks.result import Ratio

PACKAGES = ("torch", "numpy", "fastapi", "uvicorn", "safetensors")


class Row(Model):
    """One way to do one of the things that a service does.

    `seconds` are those of one piece of work, one for each round. `slower` is its time over that of
    the first row of its question.
    """

    question: str
    title: str
    seconds: tuple[float, ...]
    rate: Spread
    unit: str
    slower: Ratio


class ServiceResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["service"] = "service"
    title: str
    body: int  # bytes of the batch that is sent and encoded
    computed: int  # batches made for four loaders of one plan
    batches: int  # that each of them read
    rounds: int
    rows: tuple[Row, ...]


def render(result: ServiceResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    lines = [["what", "by", "rate", "augfeed is"], ["---", "---", "---:", "---:"]]
    before = ""
    for row in result.rows:
        rate, by = row.rate, row.slower.by_round
        ratio = f"{row.slower.of_medians:.2f} x ({by.low:.2f} to {by.high:.2f}) as fast"
        first = row.question != before
        lines.append([
            row.question if first else "", row.title,
            f"{rate.median:,.3g} ({rate.low:,.3g} to {rate.high:,.3g}) {row.unit}",
            "" if first else ratio,
        ])  # fmt: skip
        before = row.question
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"### {result.title}\n\n{table}\n\n{_notes(result)}\n"


def _notes(result: ServiceResult) -> str:
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"Median of {result.rounds} interleaved rounds, quartiles in brackets; server and client "
        f"share {machine.cores} cores of {machine.cpu} ({machine.load:.1f} processes busy before). "
        f"The batch has {result.body / 1e6:.1f} MB. Four loaders of one plan, side by side, read "
        f"{result.batches} batches each; {result.computed} were made. {versions}. {result.date}, "
        f"commit {result.commit or 'unknown'}. Command: `{result.command}`."
    )
