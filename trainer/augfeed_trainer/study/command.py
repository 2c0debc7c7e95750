"""The command `augfeed study`: a study with a bar, its report, and a summary."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from augfeed.doctor.environment import cores
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.curve import curve as points_of
from augfeed_trainer.study.images import StudyData, opened, side_of
from augfeed_trainer.study.jobs import Workers
from augfeed_trainer.study.report import conclusion, percent, write_report
from augfeed_trainer.study.search import Found, Study, study
from augfeed_trainer.study.trials import Budget, Tick


def carry_out(recipe: Recipe, options: dict[str, Any], out: Path, shares: Sequence[float]) -> None:
    """Carry out what the options ask for, with a curve if there are shares, and print the end."""
    console = Console()
    parts = {name: options[name] for name in ("data", "share", "validation", "size")}
    where = StudyData(**parts)
    parallel = options["parallel"] or cores()
    threads = max(1, cores() // parallel)
    asked = Study(where, recipe, options["seeds"], options["minutes"], parallel, threads)
    with console.status("images"):
        data = opened(where, out / "runs", 0)  # what is wrong with them is said at once
    workers = Workers(parallel, threads)
    budget = Budget(asked.minutes)
    try:
        with _bar(console, budget) as tick:
            found = study(asked, out, tick, workers=workers, budget=budget)
            points = points_of(
                asked, out, workers, shares=shares, known=[found], tick=tick
            ) if shares else None  # fmt: skip
    finally:
        workers.close()
    path = write_report(found, data, out, points, side_of(where, out / "runs"))
    _print(console, found)
    console.print(path, soft_wrap=True, highlight=False)


@contextmanager
def _bar(console: Console, budget: Budget) -> Iterator[Tick]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        whole = bar.add_task(f"budget, {budget.minutes:g} min", total=budget.minutes * 60)
        yield _ticking(bar, whole, budget)
        bar.update(whole, completed=min(budget.seconds, budget.minutes * 60))


def _ticking(bar: Progress, whole: Any, budget: Budget) -> Callable[[str, int, int], None]:
    now: dict[str, Any] = {}

    def tick(what: str, done: int, total: int) -> None:
        bar.update(whole, completed=min(budget.seconds, budget.minutes * 60))
        if what not in now:
            for task in now.values():
                bar.remove_task(task)
            now.clear()
            now[what] = bar.add_task(what, total=total)
        bar.update(now[what], completed=done, total=total)

    return tick


def _print(console: Console, found: Found) -> None:
    console.print(conclusion(found), highlight=False)
    for item in found.tried:
        gain = item.gain
        mark = "helps" if gain.helps else "harms" if gain.harms else "no difference seen"
        low, high = percent(gain.low, signed=True), percent(gain.high, signed=True)
        name = f"{item.name} {item.strength}".strip()
        console.print(
            f"{'+' * item.round:>3} {name:24} {percent(gain.mean, signed=True)} points "
            f"({low} to {high}) {mark}",
            highlight=False,
        )
    if found.test is not None and found.test.gain is not None:
        gain = found.test.gain
        console.print(
            f"test part: {percent(gain.mean, signed=True)} points "
            f"({percent(gain.low, signed=True)} to {percent(gain.high, signed=True)})",
            highlight=False,
        )
