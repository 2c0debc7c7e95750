"""Measures what an engine reaches on this machine: `augfeed bench`."""

from pathlib import Path

from rich.console import Console

from augfeed.bench.kernel import Options, measure
from augfeed.bench.report import progress, report, writable
from augfeed.bench.result import KernelResult


def run_kernel(
    console: Console, options: Options, command: str, json: Path | None = None
) -> KernelResult:
    """Measure, print the tables, and write the result to a file if one is named."""
    writable(json)
    with progress(Console(stderr=True), options.steps, "measuring") as tick:
        result = measure(options, command, tick)
    console.print(report(result))
    if json is not None:
        json.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return result


__all__ = ["KernelResult", "Options", "measure", "run_kernel"]
