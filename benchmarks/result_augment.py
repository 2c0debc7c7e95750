"""What `bench_augment` leaves behind, and its table."""

from typing import Literal

from augfeed.bench.result import Model, Spread, Stamped
from benchmarks.result import Ratio

PACKAGES = ("torch", "torchvision", "kornia", "numpy", "numba")


class Row(Model):
    """Who augments a batch of a size. `seconds` are those of one call, one for each round."""

    side: int
    name: str
    title: str
    seconds: tuple[float, ...]
    rate: Spread  # images a second
    slower: Ratio  # its time over that of augfeed


class AugmentResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["augment"] = "augment"
    chain: str
    batch: int
    rounds: int
    calls: int = 1  # of a round
    rows: tuple[Row, ...]


def render(result: AugmentResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    lines = [["side", "made by", "images/s", "augfeed is"], ["---:", "---", "---:", "---:"]]
    for row in result.rows:
        ratio, own = row.slower, row.name == "augfeed"
        lines.append([
            str(row.side), row.title,
            f"{row.rate.median:,.0f} ({row.rate.low:,.0f} to {row.rate.high:,.0f})",
            "" if own else f"{ratio.of_medians:.1f} x ({ratio.by_round.low:.1f} to "
            f"{ratio.by_round.high:.1f}) as fast",
        ])  # fmt: skip
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"### Batches that are there, on a CPU\n\n{table}\n\n`{result.chain}` on batches of "
        f"{result.batch} x 3 channels of uint8, to float32; median of {result.rounds} interleaved "
        f"rounds of {result.calls} calls, quartiles in brackets; {machine.threads} threads on "
        f"{machine.cores} cores of {machine.cpu} ({machine.load:.1f} processes busy before). "
        f"{versions}. {result.date}, commit {result.commit or 'unknown'}. "
        f"Command: `{result.command}`.\n"
    )
