"""What `bench_training` leaves behind, and its table."""

from typing import Literal

from augfeed.bench.result import Device, Model, Spread, Stamped
from benchmarks.result import Ratio

PACKAGES = ("torch", "torchvision", "numpy", "numba", "simplejpeg", "pillow")


class Row(Model):
    """One way to feed a network. `seconds` are those of one epoch, one for each round.

    `slower` is its time over that of augfeed, `over` over that of batches that are ready; `exposed`
    the seconds of an epoch beyond that of batches that are ready: the loading that shows.
    """

    task: str
    name: str
    title: str
    seconds: tuple[float, ...]
    rate: Spread  # images a second
    slower: Ratio
    over: Ratio
    exposed: float | None = None


class TrainingResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["training"] = "training"
    title: str
    device: Device
    data: str
    rounds: int
    rows: tuple[Row, ...]


def render(result: TrainingResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    lines = [
        ["network and data", "fed by", "images/s", "epoch, of the limit", "augfeed is"],
        ["---", "---", "---:", "---:", "---:"],
    ]
    task = ""
    for row in result.rows:
        rate, own = row.rate, row.name == "augfeed"
        lines.append([
            row.task if row.task != task else "", row.title,
            f"{rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})",
            "" if row.name == "ready" else f"{row.over.of_medians:.2f} x",
            "" if own else f"{row.slower.of_medians:.2f} x ({row.slower.by_round.low:.2f} to "
            f"{row.slower.by_round.high:.2f}) as fast",
        ])  # fmt: skip
        task = row.task
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    machine, device = result.machine, result.device
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    where = device.name + (f", driver {device.driver}" if device.driver else "")
    return (
        f"### {result.title}\n\n{table}\n\nSeconds of an epoch, forward, backward and step of SGD, "
        "whole chain; the limit is the same training on one batch that is ready. Median of "
        f"{result.rounds} interleaved rounds, quartiles in brackets. {result.data}. {where}; "
        f"{machine.threads} threads on {machine.cores} cores of {machine.cpu} "
        f"({machine.load:.1f} processes busy before). {versions}. {result.date}, commit "
        f"{result.commit or 'unknown'}. Command: `{result.command}`.\n"
    )
