"""What `bench_views` leaves behind, and its table."""

from typing import Literal

from augfeed.bench.result import Model, Spread, Stamped
from benchmarks.result import Ratio

PACKAGES = ("torch", "torchvision", "lightly", "numpy", "numba", "simplejpeg", "pillow")


class Row(Model):
    """Who makes the views of a recipe. `seconds` are those of one pass, one for each round.

    `slower` is its time over that of augfeed, `of_decoding` its rate over that of decoding whole
    images alone, once each.
    """

    task: str
    name: str
    title: str
    seconds: tuple[float, ...]
    rate: Spread  # samples a second, each in all its views
    slower: Ratio
    of_decoding: Ratio


class ViewsResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["views"] = "views"
    title: str
    data: str
    samples: int
    rounds: int
    rows: tuple[Row, ...]


def render(result: ViewsResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    lines = [
        ["views", "made by", "samples/s", "of decoding alone", "augfeed is"],
        ["---", "---", "---:", "---:", "---:"],
    ]
    for row in result.rows:
        rate, ratio = row.rate, row.slower
        own = row.name in ("augfeed", "decoding")
        lines.append([
            row.task, row.title, f"{rate.median:,.1f} ({rate.low:,.1f} to {rate.high:,.1f})",
            f"{row.of_decoding.of_medians:.0%}",
            "" if own else f"{ratio.of_medians:.2f} x ({ratio.by_round.low:.2f} to "
            f"{ratio.by_round.high:.2f}) as fast",
        ])  # fmt: skip
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"### {result.title}\n\n{table}\n\nMedian of {result.rounds} interleaved rounds, quartiles "
        f"in brackets. {result.data}, {result.samples} samples; {machine.threads} threads on "
        f"{machine.cores} cores of {machine.cpu} ({machine.load:.1f} processes busy before). "
        f"{versions}. {result.date}, commit {result.commit or 'unknown'}. Command: "
        f"`{result.command}`.\n"
    )
