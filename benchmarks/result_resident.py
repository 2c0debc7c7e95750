"""What `bench_resident` leaves behind, and its table."""

from typing import Literal

from augfeed.bench.result import Device, Model, Spread, Stamped
from benchmarks.result import Ratio

PACKAGES = ("torch", "triton", "numpy", "numba")


class Row(Model):
    """One loader at one size of batch.

    `seconds` are those of one epoch, one for each round; `epochs` ran in a round. `slower` is its
    time over augfeed's: how many times as fast augfeed is. `memory` is the most bytes that it held
    on the GPU, the data included; `plans` the milliseconds to draw an epoch's plans in one thread,
    measured apart.
    """

    name: str
    title: str
    differs: str
    batch: int
    epochs: int
    seconds: tuple[float, ...]
    rate: Spread  # epochs a second
    slower: Ratio
    memory: int | None
    plans: float | None


class ResidentResult(Stamped):
    """One run."""

    schema_version: Literal[1] = 1
    suite: Literal["resident"] = "resident"
    title: str
    device: Device
    data: str
    samples: int
    dtype: str
    chain: str
    workers: int  # of augfeed
    processes: int  # of torch's DataLoader
    rounds: int
    rows: tuple[Row, ...]

    def row(self, name: str, batch: int) -> Row:
        """Return the row of a loader."""
        return next(row for row in self.rows if (row.name, row.batch) == (name, batch))


def render(result: ResidentResult) -> str:
    """Return the table of a result as Markdown, with what it was measured on."""
    memory = any(row.memory for row in result.rows)
    head = ["loader", "batch", "epochs/s", "augfeed is", *(["GPU memory"] if memory else [])]
    lines = [[*head, "leaves out, or does otherwise"]]
    lines.append(["---", "---:", "---:", "---:", *(["---:"] if memory else []), "---"])
    lines += [_cells(row, memory=memory) for row in result.rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"### {result.title}\n\n{table}\n\n{_notes(result)}\n"


def _cells(row: Row, *, memory: bool) -> list[str]:
    rate, by = row.rate, row.slower.by_round
    ratio = f"{row.slower.of_medians:.2f} x ({by.low:.2f} to {by.high:.2f}) as fast"
    return [
        row.title,
        f"{row.batch}",
        f"{rate.median:,.3g} ({rate.low:,.3g} to {rate.high:,.3g})",
        "" if row.name == "augfeed" else ratio,
        *([f"{(row.memory or 0) / 2**20:,.0f} MiB"] if memory else []),
        row.differs,
    ]


def _notes(result: ResidentResult) -> str:
    machine, device = result.machine, result.device
    where = f"{machine.cores} cores of {machine.cpu} ({machine.load:.1f} processes busy before)"
    if device.driver is not None:
        where = f"{device.name} (driver {device.driver}), {where}"
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    plans = [f"{row.plans:.1f} ms at {row.batch}" for row in result.rows if row.plans]
    drawn = f"Drawing an epoch's plans takes one thread {', '.join(plans)}. " if plans else ""
    return (
        f"Median of {result.rounds} interleaved rounds, quartiles in brackets. "
        f"{result.samples:,} images ({result.data}), {result.dtype} out, {where}; augfeed with "
        f"{result.workers} threads, torch's DataLoader with {result.processes} workers. {drawn}"
        f"{versions}. {result.date}, commit {result.commit or 'unknown'}.\n\n"
        f"Chain: `{result.chain}`. Command: `{result.command}`."
    )
