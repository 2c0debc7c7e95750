"""What this machine can do, and whether the draws follow their stated laws."""

from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from augfeed.doctor.check import Check, Lab
from augfeed.doctor.environment import machine
from augfeed.doctor.laws import colors, crops, geometry, holes, mixing, order, pixels, words
from augfeed.doctor.programs import programs as programs
from augfeed.doctor.repeats import answers, distinct, partition
from augfeed.errors import InputError
from augfeed.philox import check_key

SAMPLES = 40_000
LEAST_SAMPLES = 4_000  # fewer leave cells of the chi-square tests almost empty
FAMILIES: tuple[Callable[[Lab], Iterator[Check]], ...] = (
    answers, words, crops, geometry, colors, mixing, holes, programs, pixels, order, distinct,
    partition,
)  # fmt: skip


def self_test(samples: int = SAMPLES, *, seed: int = 0) -> list[Check]:
    """Return the checks of the draws of `samples` samples against their stated laws.

    The draws are a function of the seed, so every machine comes to the same verdict. A check fails
    where lawful draws would be as far from the law for fewer than one seed in 10,000. Raises
    `InputError` for fewer than 4,000 samples and for a seed out of range.
    """
    return [check for part in _parts(samples, seed) for check in part]


def report(console: Console, *, samples: int = SAMPLES, seed: int = 0) -> bool:
    """Print what the machine can do, run the self-test, print it; return whether all passed."""
    console.print(_machine_table())
    checks: list[Check] = []
    with Progress(console=console, transient=True) as progress:
        parts = _parts(samples, seed)
        for part in progress.track(parts, total=len(FAMILIES), description="self-test"):
            checks += part
    console.print(_check_table(checks))
    failed = [check.name for check in checks if not check.passed]
    if failed:
        console.print(f"[red]{len(failed)} of {len(checks)} checks failed[/]: {', '.join(failed)}")
    else:
        console.print(f"[green]all {len(checks)} checks passed[/] ({samples} samples, seed {seed})")
    return not failed


def _parts(samples: int, seed: int) -> Iterator[list[Check]]:
    check_key(seed, 0)
    if samples < LEAST_SAMPLES:
        raise InputError(f"samples={samples!r} are too few: draw at least {LEAST_SAMPLES}")
    lab = Lab(samples, seed)
    return (list(family(lab)) for family in FAMILIES)


def _machine_table() -> Table:
    table = Table("this machine", "has")
    for what, value in machine():
        table.add_row(what, escape(value))
    return table


def _check_table(checks: list[Check]) -> Table:
    table = Table("draw", "law", "statistic", "p-value", "")
    for check in checks:
        name, law, note = (escape(text) for text in (check.name, check.law, check.note))
        p_value = "exact" if check.p_value is None else f"{check.p_value:.3g}"
        verdict = "[green]ok[/]" if check.passed else f"[red]failed[/] {note}"
        table.add_row(name, law, f"{check.statistic:.4g}", p_value, verdict)
    return table


__all__ = ["Check", "machine", "report", "self_test"]
