"""Renders results as Markdown: `python -m benchmarks.table [--write] results/*.json`."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augfeed.bench.result import KernelResult
from benchmarks import (
    kernel_table,
    result_augment,
    result_modules,
    result_probe,
    result_resident,
    result_scaling,
    result_service,
    result_soak,
    result_startup,
    result_training,
)
from benchmarks.kernel_result import KernelContest
from benchmarks.result import Ratio, Result, Row, Spread
from benchmarks.result_augment import AugmentResult
from benchmarks.result_probe import ProbeResult
from benchmarks.result_resident import ResidentResult
from benchmarks.result_scaling import ScalingResult
from benchmarks.result_service import ServiceResult
from benchmarks.result_soak import SoakResult
from benchmarks.result_startup import StartupResult
from benchmarks.result_training import TrainingResult
from benchmarks.summary import budgets, summary

PAGE = "docs/benchmarks.md"
MARKS = ("<!-- measured -->", "<!-- end of measured -->")
WORKS = {
    "whole": "whole chain",
    "basic": "crop, flip, normalize",
    "decode": "decoding only",
    "copy": "a copy",
}


def render(result: Result) -> str:
    """Return the table of a result, with what it was measured on."""
    limit = any(row.of_limit for row in result.rows)
    head = ["contestant", "work", "images/s", "augfeed is"]
    lines = [head + (["of its limit"] if limit else []) + ["leaves out, or does otherwise"]]
    lines.append(["---", "---", "---:", "---:", *(["---:"] if limit else []), "---"])
    lines += [_cells(row, limit=limit) for row in result.rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"### {result.title}\n\n{table}\n\n{_notes(result)}\n"


def _cells(row: Row, *, limit: bool) -> list[str]:
    share = [_percent(row.of_limit)] if limit else []
    ratio = "" if row.name == "augfeed" else f"{_times(row.slower)} as fast"
    return [row.title, WORKS[row.work], _rate(row.rate), ratio, *share, row.differs]


def _rate(rate: Spread) -> str:
    return f"{rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"


def _times(ratio: Ratio) -> str:
    by = ratio.by_round
    return f"{ratio.of_medians:.2f} x ({by.low:.2f} to {by.high:.2f})"


def _percent(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    by = ratio.by_round
    return f"{ratio.of_medians:.0%} ({by.low:.0%} to {by.high:.0%})"


def _notes(result: Result) -> str:
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"Median of {result.rounds} interleaved rounds, quartiles in brackets. "
        f"{result.samples:,} samples ({result.data}), batches of {result.batch}, "
        f"{machine.threads} threads on {machine.cores} cores of {machine.cpu} "
        f"({machine.load:.1f} processes busy before). {versions}. {result.date}, "
        f"commit {result.commit or 'unknown'}.\n\n"
        f"Chain: `{result.chain}`. Command: `{result.command}`."
    )


def tables(paths: Sequence[Path]) -> str:
    """Return the budgets, if there are any, and the table of each of some result files."""
    each = [rendered(path.read_text()) for path in paths]
    return "\n".join([*filter(None, [budgets(paths)]), *each])


def rendered(text: str) -> str:
    """Return the table of a result in JSON, of whichever benchmark."""
    match json.loads(text).get("suite"):
        case None:
            return _checks(json.loads(text))
        case "augment":
            return result_augment.render(AugmentResult.model_validate_json(text))
        case "engine":
            return kernel_table.render_engine(KernelResult.model_validate_json(text))
        case "kernel":
            return kernel_table.render(KernelContest.model_validate_json(text))
        case "probe":
            return result_probe.render(ProbeResult.model_validate_json(text))
        case "resident":
            return result_resident.render(ResidentResult.model_validate_json(text))
        case "modules":
            return result_modules.render(json.loads(text))
        case "service":
            return result_service.render(ServiceResult.model_validate_json(text))
        case "soak":
            return result_soak.render(SoakResult.model_validate_json(text))
        case "startup":
            return result_startup.render(StartupResult.model_validate_json(text))
        case "scaling":
            return result_scaling.render(ScalingResult.model_validate_json(text))
        case "training":
            return result_training.render(TrainingResult.model_validate_json(text))
    return render(Result.model_validate_json(text))


def _checks(found: Mapping[str, Any]) -> str:
    # What `tests.augfeed.gpu_checks` wrote.
    lines = [f"| {name.replace('_', ' ')} | {item['outcome']} |" for name, item in found.items()]
    return "\n".join(
        ["### Checks on a GPU", "", "| check | outcome |", "| --- | --- |", *lines, ""]
    )


def insert(text: str, page: str) -> str:
    """Return a page with a text between its two marks."""
    head, rest = page.split(MARKS[0])
    return f"{head}{MARKS[0]}\n{text}{MARKS[1]}{rest.split(MARKS[1])[1]}"


def main(arguments: Sequence[str]) -> int:
    """Print the tables of some files; with `--write`, write them into docs/benchmarks.md, and what
    they come to into README.md."""
    paths = [Path(path) for path in arguments if path != "--write"]
    sys.stdout.write(tables(paths))
    if "--write" in arguments:
        root = Path(__file__).parents[1]
        for page, text in ((root / "README.md", summary(paths)), (root / PAGE, tables(paths))):
            page.write_text(insert(text, page.read_text()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
