"""Measures what an engine reaches on this machine: `augfeed bench`."""

from pathlib import Path

from rich.console import Console

from augfeed.bench.kernel import Options, measure
from augfeed.bench.predict import Prediction, Wanted, prediction_of
from augfeed.bench.report import progress, report, report_prediction, writable
from augfeed.bench.result import KernelResult
from augfeed.replaced_file import write_text


def run_kernel(
    console: Console, options: Options, command: str, json: Path | None = None
) -> KernelResult:
    """Measure, print the tables, and write the result to a file if one is named."""
    writable(json)
    with progress(Console(stderr=True), options.steps, "measuring") as tick:
        result = measure(options, command, tick)
    console.print(report(result))
    if json is not None:
        write_text(json, result.model_dump_json(indent=1) + "\n")
    return result


def run_prediction(
    console: Console, wanted: Wanted, command: str, json: Path | None = None
) -> Prediction:
    """Predict, print the tables, and write the prediction to a file if one is named."""
    writable(json)
    with progress(Console(stderr=True), wanted.steps, "compiling") as tick:
        found = prediction_of(wanted, command, tick)
    console.print(report_prediction(found))
    if json is not None:
        write_text(json, found.model_dump_json(indent=1) + "\n")
    return found


__all__ = [
    "KernelResult",
    "Options",
    "Prediction",
    "Wanted",
    "measure",
    "prediction_of",
    "run_kernel",
    "run_prediction",
]
