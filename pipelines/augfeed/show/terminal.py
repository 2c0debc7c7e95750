"""What the terminal shows: explanations and findings as tables, and what takes long."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from augfeed.policy.check import Finding
from augfeed.show.explain import UNITS, Explanation

PATIENCE = 5.0  # seconds until a reason is given
FIRST_TIME = "the first time, compiling the loops takes some 20 s"


def explanation_table(explanation: Explanation) -> Group:
    """Return an explanation for the terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in explanation.rows:
        table.add_row(*map(escape, row))
    return Group(
        Text(explanation.title, style="bold"),
        Text(f"policy: {explanation.policy}"),
        Text(UNITS, style="dim"),
        table,
    )


def findings_table(findings: Sequence[Finding], title: str) -> Table:
    """Return the findings of a safety check for the terminal."""
    table = Table("operation", "effect", "rule", "", title=title, title_justify="left")
    verdicts = {True: "[green]kept[/]", False: "[red]broken[/]", None: "may be broken"}
    for item in findings:
        effect = "" if item.worst is None else _number(item.worst)
        if isinstance(item.worst, float):
            effect = f"{'at least' if item.rule.startswith('min_') else 'up to'} {effect}"
        given = escape(f"{item.operation}({item.parameter}={item.value!r})")
        table.add_row(given, effect, f"{item.rule}={_number(item.bound)}", verdicts[item.ok])
    return table


@contextmanager
def patience(console: Console, what: str) -> Iterator[None]:
    """Show what is being done, and after some seconds why it may take long."""
    reason = f"{what} ({FIRST_TIME})"
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status(what, spinner=spinner) as status:

        def explain() -> None:
            if console.is_terminal:
                status.update(reason)
            else:
                console.print(reason)

        timer = threading.Timer(PATIENCE, explain)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _number(value: float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}"
