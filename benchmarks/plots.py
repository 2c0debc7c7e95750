"""Draws results as images for the documentation: `python -m benchmarks.plots`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from benchmarks.result import Result
from benchmarks.result_scaling import AXES, ScalingResult
from benchmarks.result_training import TrainingResult
from benchmarks.summary import SUITES, read

ROOT = Path(__file__).parents[1]
OWN, OTHER, LIMIT = "#1f77b4", "#b0b7c3", "#e0c068"
ROWS = {
    "augfeed": "augfeed", "augfeed_ram": "augfeed, warm cache", "torch": "PyTorch operations",
    "kornia": "Kornia", "torchvision": "torchvision v2", "albumentations": "AlbumentationsX",
    "timm": "timm", "decoding": "decoding alone",
}  # fmt: skip


def figure(width: float, height: float, rows: int, columns: int) -> tuple[Any, Any]:
    """Return a figure and its axes, a grid, without a display."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        made, axes = plt.subplots(
            rows, columns, figsize=(width, height), layout="constrained", squeeze=False
        )
    return made, axes


def draw_rates(results: dict[str, Result], path: Path) -> None:
    """Draw the rates of the loaders, a panel for each dataset."""
    shown = [suite for suite in SUITES if suite in results]
    made, axes = figure(10, 2.9 * -(-len(shown) // 2), -(-len(shown) // 2), 2)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for suite, axis in zip(shown, axes.flat, strict=False):
        rows = {row.name: row for row in results[suite].rows if row.name in ROWS}
        names = [name for name in reversed(ROWS) if name in rows]
        rates = [rows[name].rate for name in names]
        colors = [
            OWN if name.startswith("augfeed") else LIMIT if name == "decoding" else OTHER
            for name in names
        ]
        spread = [[r.median - r.low for r in rates], [r.high - r.median for r in rates]]
        medians = [rate.median for rate in rates]
        axis.barh([ROWS[name] for name in names], medians, xerr=spread, color=colors, capsize=2)
        for place, rate in enumerate(rates):
            axis.text(rate.high, place, f"  {rate.median:,.0f}", va="center", fontsize=8)
        axis.margins(x=0.15)
        axis.set_title(SUITES[suite] + ", whole chain", fontsize=10)
        axis.set_xlabel("images/s")
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.xaxis.set_major_formatter("{x:,.0f}")
    made.savefig(path, dpi=100)


def draw_scaling(result: ScalingResult, path: Path) -> None:
    """Draw the rate along each axis, and what each part of the chain costs."""
    made, axes = figure(10, 6, 2, 2)
    for name, axis in zip(AXES, axes.flat, strict=True):
        points = result.along(name)
        values = [point.value for point in points]
        if name == "parts":
            costs = [point.cost or 0.0 for point in points]
            axis.barh(values[:0:-1], costs[:0:-1], color=OWN)
            axis.set_xlabel("microseconds of one thread for an image")
            axis.set_title("cost of each part, 224 x 224 x 3 in memory", fontsize=10)
            continue
        rates = [point.rate for point in points]
        spread = [[r.median - r.low for r in rates], [r.high - r.median for r in rates]]
        axis.errorbar(values, [r.median for r in rates], yerr=spread, marker="o", capsize=3)
        axis.set_ylim(0)
        axis.set_xlabel(AXES[name])
        axis.set_ylabel("images/s")
        axis.grid(alpha=0.25)
    made.savefig(path, dpi=100)


def draw_training(result: TrainingResult, path: Path) -> None:
    """Draw the time of an epoch for each way to feed a network, the limit being 1."""
    names = list(dict.fromkeys(row.task for row in result.rows))
    made, axes = figure(8, 1.7 * len(names), len(names), 1)
    for task, axis in zip(names, axes.flat, strict=True):
        rows = [row for row in reversed(result.rows) if row.task == task]
        colors = [
            OWN if r.name == "augfeed" else LIMIT if r.name == "ready" else OTHER for r in rows
        ]
        values = [row.over.of_medians for row in rows]
        axis.barh([row.title for row in rows], values, color=colors)
        for place, value in enumerate(values):
            axis.text(value, place, f" {value:.2f} x", va="center", fontsize=8)
        axis.margins(x=0.12)
        axis.set_title(task.partition(" (")[0], fontsize=10)
        axis.set_xlabel("time of an epoch over that with ready batches")
    made.savefig(path, dpi=100)


def main(arguments: Sequence[str]) -> int:
    """Draw the results given, or those that are committed, into `docs/pictures`."""
    paths = [Path(text) for text in arguments] or sorted(
        (ROOT / "benchmarks/results").glob("*.json")
    )
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    draw_rates(read(paths), folder / "rates.png")
    for path in paths:
        text = path.read_text()
        match json.loads(text).get("suite"):
            case "scaling":
                draw_scaling(ScalingResult.model_validate_json(text), folder / "scaling.png")
            case "training":
                # Of a file "training-photos--machine.json" "training-photos.png".
                picture = folder / f"{path.stem.partition('--')[0]}.png"
                draw_training(TrainingResult.model_validate_json(text), picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
