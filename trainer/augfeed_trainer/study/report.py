"""What a study found, as one HTML page that needs nothing else, and as JSON."""

import base64
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from augfeed import __version__
from augfeed_trainer.curves import HELD, STOP, TRAIN, figure
from augfeed_trainer.study.curve import FOREST, Point, overtakes
from augfeed_trainer.study.search import Found, Tried
from augfeed_trainer.study.statistics import LEVEL

HELPS, NEITHER = "#2a9d5c", "#bbbbbb"
LEGEND = ((HELPS, "helps"), (NEITHER, "no difference seen"), (STOP, "harms"))


def write_report(found: Found, folder: Path, points: list[Point] | None = None) -> Path:
    """Write `report.html`, `report.json` and, as a recipe for training, `recipe.json`."""
    assert found.recipe is not None
    folder.mkdir(parents=True, exist_ok=True)
    recipe = json.dumps(found.recipe.model_dump(mode="json"), indent=1)
    (folder / "recipe.json").write_text(recipe + "\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(_json(found, points)) + "\n")
    path = folder / "report.html"
    path.write_text(_page(found, recipe, points), encoding="utf-8")
    return path


def _json(found: Found, points: list[Point] | None) -> dict[str, Any]:
    where = found.study.where
    tried = [
        {
            "name": item.name, "round": item.round, "settings": item.recipe.changes(),
            "gain": asdict(item.gain) if item.gain else None,
            "outcomes": [asdict(outcome) for outcome in item.outcomes],
        }
        for item in (found.baseline, *found.tried)
    ]  # fmt: skip
    return {
        "augfeed": __version__, "data": {**asdict(where), "data": titled(where.data)},
        "seeds": found.study.seeds,
        "minutes": found.study.minutes, "seconds": round(found.seconds, 1),
        "trained_seconds": round(trained(found)[1], 1), "kept": found.kept,
        "spread": found.spread, "tried": tried,
        "refused": [asdict(item) for item in found.refused], "untried": found.untried,
        "test": {name: [asdict(score) for score in scores] for name, scores in found.test.items()},
        "test_gain": asdict(found.test_gain) if found.test_gain else None,
        "curve": [asdict(point) for point in points or ()],
    }  # fmt: skip


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share in percent, or a difference of shares in percentage points."""
    if value in (float("inf"), float("-inf")):
        return "unknown"
    return f"{100 * value:+.2f}" if signed else f"{100 * value:.1f} %"


def _page(found: Found, recipe: str, points: list[Point] | None) -> str:
    pages = Environment(
        loader=PackageLoader("augfeed_trainer", "study"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True,
    )  # fmt: skip
    numbers = sorted({item.round for item in found.tried})
    by_round = {number: [item for item in found.tried if item.round == number]
                for number in numbers}  # fmt: skip
    plain, chosen = (_accuracy(found, name) for name in ("baseline", "chosen"))
    return pages.get_template("report.html.jinja").render(
        found=found, recipe=recipe, title=titled(found.study.where.data), version=__version__,
        plain=plain, chosen=chosen, cost=_cost(found), level=LEVEL, legend=LEGEND, forest=FOREST,
        alone=by_round.pop(0, []), rounds=list(by_round.items()), infinity=math.inf,
        percent=percent, mean=_mean, kind=_kind, bars=lambda tried: _png(_bars(tried)),
        curves=_png(_curves(found)), crossings=_crossings(points) if points else [],
        points=_png(draw_points(points)) if points else "",
    )  # fmt: skip


def _accuracy(found: Found, name: str) -> float:
    return sum(score.accuracy for score in found.test[name]) / len(found.test[name])


def _mean(item: Tried, name: str) -> float:
    values = [float(getattr(outcome, name)) for outcome in item.outcomes]
    return sum(values) / len(values)


def _kind(item: Tried, kept: list[str]) -> str:
    # The class of a row of the table.
    if item.name in kept:
        return "kept"
    if item.gain is None or item.gain.helps:
        return ""
    return "harms" if item.gain.harms else "none"


def _bars(tried: list[Tried]) -> Any:
    tried = [item for item in reversed(tried) if item.gain]
    made, axis = figure(9, 0.6 + 0.3 * max(1, len(tried)))
    colors = [
        HELPS if item.gain and item.gain.helps
        else STOP if item.gain and item.gain.harms else NEITHER
        for item in tried
    ]  # fmt: skip
    means = [100 * item.gain.mean for item in tried if item.gain]
    low = [100 * (item.gain.mean - item.gain.low) for item in tried if item.gain]
    finite = [value if value < 1e6 else 0.0 for value in low]
    axis.barh([item.name for item in tried], means, xerr=finite, color=colors, capsize=3)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xlabel("gain in validation accuracy, percentage points")
    return made


def _curves(found: Found) -> Any:
    made, axes = figure(10, 4, 2)
    last = [item for item in found.tried if item.name in found.kept[-1:]]
    chosen = next((item for item in reversed(last) if item.recipe == found.recipe), None)
    for item, color, name in ((found.baseline, TRAIN, "baseline"), (chosen, HELD, "chosen")):
        if item is None:
            continue
        for k, outcome in enumerate(item.outcomes):
            epochs = [row["epoch"] + 1 for row in outcome.history]
            for axis, key in ((axes[0], "validation/accuracy"), (axes[1], "validation/loss")):
                axis.plot(epochs, [row[key] for row in outcome.history], color=color, alpha=0.8,
                          label=name if k == 0 else None)  # fmt: skip
    for axis, label in ((axes[0], "validation accuracy"), (axes[1], "validation loss (nats)")):
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.legend(frameon=False)
    return made


def draw_points(points: list[Point]) -> Any:
    """Return the figure of accuracy against the number of training images."""
    made, axis = figure(8, 4.5)
    for name in dict.fromkeys(point.name for point in points):
        mine = [point for point in points if point.name == name]
        counts = [point.count for point in mine]
        axis.plot(counts, [100 * point.mean for point in mine], marker="o", label=name)
        low, high = zip(
            *((100 * min(p.accuracies), 100 * max(p.accuracies)) for p in mine), strict=True
        )
        axis.fill_between(counts, low, high, alpha=0.15)
    axis.set_xscale("log")
    ticks = sorted({point.count for point in points})
    axis.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axis.minorticks_off()
    axis.set_xlabel("training images")
    axis.set_ylabel("test accuracy, %")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    return made


def titled(data: str) -> str:
    """Return the name of `name:path`, or the last folder of a path."""
    name, colon, path = data.partition(":")
    return name if colon and len(name) > 1 and path else Path(data).name or data


def trained(found: Found) -> tuple[int, float]:
    """Return the number of a study's runs, and their seconds in all, whenever they were done."""
    every = [outcome for item in (found.baseline, *found.tried) for outcome in item.outcomes]
    return len(every), sum(outcome.seconds for outcome in every)


def _cost(found: Found) -> str:
    count, seconds = trained(found)
    return f"{count} runs, {found.study.parallel} at a time, {seconds / 60:.1f} minutes of training"


def _crossings(points: list[Point]) -> list[str]:
    smallest = min(point.count for point in points)
    texts = []
    for name in dict.fromkeys(point.name for point in points if point.name != FOREST):
        count = overtakes(points, name, FOREST)
        at = f"from {count:,} images on" if count else "at no number of images tried"
        if count == smallest:
            at = f"at every number of images tried, {count:,} being the fewest"
        texts.append(f"{name}: {at}")
    return texts


def _png(made: Any) -> str:
    file = io.BytesIO()
    made.savefig(file, dpi=110, format="png")
    return base64.b64encode(file.getvalue()).decode()
