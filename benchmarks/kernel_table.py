"""Renders the contest of the kernel as Markdown: a table for each shape."""

from augfeed.bench.report import duration, unit
from augfeed.bench.result import KernelResult, KernelRow, Shape
from benchmarks.kernel_result import LOADER, PASS, WHOLE, KernelContest, Standing
from benchmarks.result import Ratio

OWN = (WHOLE, PASS, LOADER)


def render(contest: KernelContest) -> str:
    """Return the tables of a result, with what it was measured on."""
    shapes = list(dict.fromkeys(row.shape for row in contest.engine.rows))
    titles = {row.name: row.title for row in contest.rows if row.name not in OWN}
    tables = "\n\n".join(_table(contest, shape, titles) for shape in shapes)
    return f"### {contest.title}\n\n{tables}\n\n{_differences(contest)}\n\n{_notes(contest)}\n"


def render_engine(result: KernelResult) -> str:
    """Return the table of a result of `augfeed bench kernel`, with what it was measured on."""
    name, scale = unit([row.time for row in result.rows])
    lines = [["chain", "shape", f"{name} a batch", "of the copy"], ["---", "---", "---:", "---:"]]
    lines += [
        [row.chain, row.shape.name, duration(row.time, scale), f"{row.share:.0%}"]
        for row in result.rows
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"### The pass alone\n\n{table}\n\n{_conditions(result)} {versions}. {result.date}, commit "
        f"{result.commit or 'unknown'}. Command: `{result.command}`.\n"
    )


def _table(contest: KernelContest, shape: Shape, titles: dict[str, str]) -> str:
    rows = [row for row in contest.engine.rows if row.shape == shape]
    name, scale = unit([row.time for row in rows])
    head = ["chain", f"{name} a batch", "of the copy", "end to end, images/s",
            *["loader, images/s"] * _has_loader(contest), *titles.values()]  # fmt: skip
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [_cells(contest, row, scale, list(titles)) for row in rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    moved = f"{rows[0].moved / 1e6:,.1f} MB must move"
    return f"**{' x '.join(map(str, shape))}**, {moved}\n\n{table}"


def _cells(contest: KernelContest, row: KernelRow, scale: float, names: list[str]) -> list[str]:
    whole = contest.find(row.chain, row.shape, WHOLE)
    rate = whole.rate if whole else row.whole_rate
    others = (contest.find(row.chain, row.shape, name) for name in names)
    loader = contest.find(row.chain, row.shape, LOADER)
    return [
        row.chain,
        duration(row.time, scale),
        f"{row.share:.0%}",
        f"{rate.median:,.0f}",
        *[f"{loader.rate.median:,.0f}" if loader else ""] * _has_loader(contest),
        *map(_ratios, others),
    ]


def _has_loader(contest: KernelContest) -> bool:
    return any(row.name == LOADER for row in contest.rows)


def _ratios(row: Standing | None) -> str:
    if row is None:
        return ""
    more = [row.slower_than_pass, *([row.slower_than_loader] if row.slower_than_loader else [])]
    return "; ".join([times(row.slower), *(f"{_short(item.of_medians)} x" for item in more)])


def times(ratio: Ratio) -> str:
    """Return how many times as fast augfeed is, with the quartiles round by round."""
    by = ratio.by_round
    return f"{_short(ratio.of_medians)} x ({_short(by.low)} to {_short(by.high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _differences(contest: KernelContest) -> str:
    differs: dict[str, dict[str, None]] = {}
    for row in contest.rows:
        if row.name not in OWN:
            notes = differs.setdefault(row.title, {})
            notes.update(dict.fromkeys(note for note in row.differs.split("; ") if note))
    lines = [
        "| contestant | leaves out, or does otherwise, where a chain has it |",
        "| --- | --- |",
    ]
    lines += [f"| {title} | {'; '.join(notes)} |" for title, notes in differs.items()]
    absent = [f"{item.name}: {item.reason}" for item in contest.left_out if item.chain is None]
    return "\n".join(lines) + ("\n\nNot there: " + "; ".join(absent) + "." if absent else "")


def _notes(contest: KernelContest) -> str:
    result = contest.engine
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in contest.versions.items())
    return (
        f"{_conditions(result)} Others: how many times as fast augfeed is, both from drawing "
        f"the parameters to the pixels and as waited for, {contest.rounds} interleaved rounds; "
        f"then the same beside augfeed's pass alone, its plan being ready"
        f"{', and beside its loader with the data set on the device' * _has_loader(contest)}. "
        f"{machine.cpu}, {machine.cores} cores "
        f"({machine.load:.1f} processes busy before). {versions}. {result.date}, commit "
        f"{result.commit or 'unknown'}. Command: `{result.command}`."
    )


def _conditions(result: KernelResult) -> str:
    device, machine, copy = result.device, result.machine, result.copied.bandwidth
    driver = f", driver {device.driver}" if device.driver else f", {machine.threads} threads"
    layout = " with channels last" if result.channels_last else ""
    timed = {
        "pass": "the pass over the pixels, its plan being ready, as the device works on it",
        "apply": "the engine's whole `apply`",
    }[result.rows[0].timed]
    return (
        f"Batches x channels x height x width, uint8 to {result.dtype}{layout}, engine "
        f"{result.engine}. Time: {timed}; median of {result.repeats}, quartiles in brackets. Of "
        f"the copy: bytes that must move over that time, as a share of the bandwidth of a copy on "
        f"this device, {copy.median / 1e9:,.0f} GB/s ({copy.low / 1e9:,.0f} to "
        f"{copy.high / 1e9:,.0f}). {device.name}{driver}."
    )
