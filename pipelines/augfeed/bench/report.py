"""A measurement in the terminal: a progress bar while it runs, then a table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from augfeed.bench.kernel import Tick
from augfeed.bench.predict import KEPT, PredictedRow, Prediction
from augfeed.bench.result import KernelResult, Shape, Spread
from augfeed.errors import InputError

PASSES = {
    "pass": "the pass over the pixels, its plan being ready",
    "apply": "the engine's whole `apply`, the plan being drawn",
}


def writable(json: Path | None) -> None:
    """Raise `InputError`, before anything is measured, if a result cannot be written there."""
    if json is not None and not json.parent.is_dir():
        raise InputError(f"json={str(json)!r}: {str(json.parent)!r} is not a folder: make it first")
    if json is not None and json.is_dir():
        raise InputError(f"json={str(json)!r} is a folder: give a file")


@contextmanager
def progress(console: Console, total: int, title: str) -> Iterator[Tick]:
    """Show how far a measurement is; what is yielded says what comes next."""
    # Drawn between the timed runs only, so that no thread of it takes time from them.
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, auto_refresh=False,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=total)

        def tick(text: str) -> None:
            bar.update(task, description=text, advance=1)
            bar.refresh()

        yield tick


def report(result: KernelResult) -> Group:
    """Return the tables of a result, one for each shape, for the terminal."""
    copy, device = result.copied.bandwidth, result.device
    where = device.name + (f", driver {device.driver}" if device.driver else "")
    threads = f", {result.machine.threads} threads" if device.kind == "cpu" else ""
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    head = [
        f"{where}{threads}; engine {result.engine}; uint8 to {result.dtype}"
        + (", channels last" if result.channels_last else ""),
        f"{versions}; commit {result.commit or 'unknown'}; {result.date}",
        f"copy of {result.copied.moved / 2**30:.2g} GiB read and written: "
        f"{copy.median / 1e9:,.1f} GB/s ({copy.low / 1e9:,.1f} to {copy.high / 1e9:,.1f})",
        f"pixels agree with engine {result.checked}" if result.checked else
        "pixels not compared: pip install 'augfeed[kornia]'",
        f"time: {PASSES[result.rows[0].timed]}",
        "end to end: images/s from drawing the plan to the pixels, as waited for",
        *["host us: of this process, for each of these batches"] * any(
            row.host for row in result.rows
        ),
        f"median of {result.repeats}, quartiles in brackets",
    ]  # fmt: skip
    shapes = list(dict.fromkeys(row.shape for row in result.rows))
    return Group(*map(Text, head), *(_table(result, shape) for shape in shapes))


def _table(result: KernelResult, shape: Shape) -> Table:
    rows = [row for row in result.rows if row.shape == shape]
    name, scale = unit([row.time for row in rows])
    title = (
        f"{shape.name}, {rows[0].moved / 1e6:,.1f} MB must move, {rows[0].sets} batches by turns"
    )
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1)
    )
    table.add_column("chain", overflow="fold")
    hosted = any(row.host for row in rows)
    heads = (f"{name} a batch", "of copy", "images/s", "end to end", *["host us"] * hosted)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.chain, duration(row.time, scale), f"{row.share:.1%}",
            f"{row.rate.median:,.0f}", f"{row.whole_rate.median:,.0f}",
            *[f"{median(row.host) * 1e6:,.0f}" if row.host else ""] * hosted,
        )  # fmt: skip
    return table


def report_prediction(found: Prediction) -> Group:
    """Return the tables of a prediction, one for each shape, for the terminal."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    last = ", channels last" if found.channels_last else ""
    head = [
        f"predicted from machine code for sm_90; uint8 to {found.dtype}{last}",
        f"{versions}; commit {found.commit or 'unknown'}; {found.date}",
        *(f"{chip.name}: {chip.processors} multiprocessors at {chip.clock / 1e9:.2f} GHz, copies "
          f"at {chip.bandwidth / 1e12:.1f} TB/s, {chip.cache >> 20} MiB of cache"
          for chip in found.chips),
        "instr.: a thread's for a pixel, by the plan of the batch; most: with every branch taken",
        "bytes: of memory for a pixel, + those read again for partners and means, from the cache "
        f"(which keeps {KEPT:.0%} of its size for a second kernel)",
        "issue: us of a batch, by what is busy longest in a multiprocessor; H100, H200: by memory",
        "of copy: the share of the bandwidth at the longer of the two times, and what takes it: "
        "a bound from above, as latency, cache misses and launches are left out",
        *(f"unknown branches, taken always: {line}" for line in _unknown(found)),
        *(f"{name}: the kernels that make frames before the pass are left out"
          for name in dict.fromkeys(row.chain for row in found.rows if row.left_out)),
    ]  # fmt: skip
    shapes = list(dict.fromkeys(row.shape for row in found.rows))
    programs = [_programs(row) for row in found.rows if row.passes[0].kernel == "cut_frames"]
    if programs:
        head += [
            "samples: whose turn a kernel of programs is, in all slots; cut_frames: that need more "
            "than the one pass; fill_drawn, which makes tables and no pixels, is not counted"
        ]
    return Group(*map(Text, head), *(_predicted(found, shape) for shape in shapes), *programs)


def _programs(row: PredictedRow) -> Table:
    # The kernels that carry out programs, of all slots together.
    table = Table(title=f"{row.chain}, {row.shape.name}: programs", title_justify="left",
                  box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0))  # fmt: skip
    table.add_column("kernel")
    for head in ("samples", "instr. of theirs", "instr. of all", "bytes of frames"):
        table.add_column(head, justify="right")
    for name in dict.fromkeys(each.kernel for each in row.passes if each.turn):
        own = [each for each in row.passes if each.kernel == name]
        share, total = sum(each.share for each in own), sum(each.instructions for each in own)
        table.add_row(name, f"{share:.0%}", f"{own[0].turn:.0f}", f"{total:.1f}",
                      f"{sum(each.moves for each in own):.1f}")  # fmt: skip
    return table


def _unknown(found: Prediction) -> list[str]:
    return sorted({line for row in found.rows for each in row.passes for line in each.unknown})


def _predicted(found: Prediction, shape: Shape) -> Table:
    table = Table(title=shape.name, title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
                  padding=(0, 0))  # fmt: skip
    table.add_column("chain", overflow="fold")
    chips = [head for chip in found.chips for head in (chip.name, "of copy")]
    for head in ("instr.", "most", "bytes", "issue", *chips):
        table.add_column(head, justify="right", no_wrap=True)
    for row in found.rows:
        if row.shape == shape:
            table.add_row(*_cells(row))
    return table


def _cells(row: PredictedRow) -> list[str]:
    pixels = row.shape.batch * row.shape.height * row.shape.width
    moved, again = (row.read + row.written) / pixels, row.again / pixels
    cells = [
        row.chain, f"{row.instructions:.0f}", f"{row.most:.0f}",
        f"{moved:.1f}+{again:.1f}" if row.again else f"{moved:.1f}",
        f"{row.reached[0].issue * 1e6:.1f}",
    ]  # fmt: skip
    for each in row.reached:
        cells += [f"{each.memory * 1e6:.1f}", f"{each.share:.0%} {each.bound}"]
    return cells


def unit(times: Sequence[Spread]) -> tuple[str, float]:
    """Return a unit that suits some times, and how many of it a second is."""
    return ("ms", 1e3) if median(time.median for time in times) >= 1e-3 else ("us", 1e6)


def duration(time: Spread, scale: float) -> str:
    """Return a time in a unit, with its quartiles."""
    middle, low, high = (f"{value * scale:,.1f}" for value in (time.median, time.low, time.high))
    return f"{middle} ({low} to {high})"
