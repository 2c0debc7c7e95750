"""What a study found, as one HTML page that needs nothing else, and as JSON."""

import base64
import html
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from augfeed import __version__
from augfeed_trainer.curves import HELD, STOP, TRAIN, figure
from augfeed_trainer.study.curve import FOREST, Point, overtakes
from augfeed_trainer.study.search import Found, Tried
from augfeed_trainer.study.statistics import LEVEL

HELPS, NEITHER = "#2a9d5c", "#bbbbbb"
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}
tr.kept td{background:#e8f4e8;font-weight:600} tr.harms td{color:#a33} tr.none td{color:#777}
h1{overflow-wrap:anywhere} .wide{overflow-x:auto} td,th{white-space:nowrap}
img{max-width:100%} pre{background:#f6f6f6;padding:1rem;overflow:auto} small{color:#666}
.answer{font-size:1.25rem;border-left:4px solid #2a7;padding:.5rem 1rem;background:#f4faf6}
"""


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
    alone = [item for item in found.tried if item.round == 0]
    rounds = sorted({item.round for item in found.tried} - {0})
    where, study = found.study.where, found.study
    parts = [
        f"<h1>What helps on {html.escape(titled(where.data))}</h1>", _answer(found),
        f"<p><small>Network {html.escape(study.base.model)}, {100 * where.share:g} % of the "
        f"training part, {study.seeds} seeds, the same for every row; {_cost(found)}; augfeed "
        f"{__version__}.</small></p>",
        "<h2>Each alone, against the baseline</h2>", _legend(), _image(_bars(alone), "gains"),
        _table(found.baseline, alone, found.kept[:1]),
    ]  # fmt: skip
    for number in rounds:
        tried = [item for item in found.tried if item.round == number]
        parts += [
            f"<h2>Added to {html.escape(', '.join(found.kept[:number]))}</h2>",
            _image(_bars(tried), "gains"), _table(None, tried, found.kept[number : number + 1]),
        ]  # fmt: skip
    parts += [
        "<h2>Curves</h2>",
        _image(_curves(found), "validation accuracy and loss by epoch"),
        _not_tried(found),
    ]
    if points:
        parts += ["<h2>How much data</h2>", _crossings(points),
                  _image(draw_points(points), "test accuracy by number of pictures")]  # fmt: skip
    parts += [
        "<h2>The recipe</h2>", f"<pre>{html.escape(recipe)}</pre>",
        "<p>Train with it: <code>augfeed train --data ... --recipe recipe.json</code></p>", _how(),
    ]  # fmt: skip
    body = "\n".join(parts)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
        f"content='width=device-width'><title>augfeed study</title><style>{STYLE}</style>"
        f"<body>{body}</body></html>\n"
    )


def _answer(found: Found) -> str:
    kept = ", ".join(found.kept) or "nothing: no regularizer helped beyond the noise"
    plain, chosen = (
        sum(score.accuracy for score in found.test[name]) / len(found.test[name])
        for name in ("baseline", "chosen")
    )
    gain = found.test_gain
    interval = ""
    if gain and gain.low > float("-inf"):
        interval = f" ({percent(gain.low, signed=True)} to {percent(gain.high, signed=True)})"
    return (
        f"<p class=answer>Keep: <b>{html.escape(kept)}</b>.<br>Test accuracy "
        f"{percent(plain)} &rarr; <b>{percent(chosen)}</b>, "
        f"{percent(chosen - plain, signed=True)} points{interval}. The test set was looked at "
        "once, after the choice.</p>"
    )


def _mean(item: Tried, name: str) -> float:
    values = [float(getattr(outcome, name)) for outcome in item.outcomes]
    return sum(values) / len(values)


def _table(baseline: Tried | None, tried: list[Tried], kept: list[str]) -> str:
    rows = [
        "<tr><th>technique<th>validation<th>gain, points<th>interval<th>training<th>gap"
        "<th>best epoch<th>seconds a run</tr>"
    ]
    for item in [baseline, *tried] if baseline else tried:
        gain = item.gain
        kind = "kept" if item.name in kept else ""
        if gain and not kind:
            kind = "harms" if gain.harms else "" if gain.helps else "none"
        shown = percent(gain.mean, signed=True) if gain else ""
        interval = (
            f"{percent(gain.low, signed=True)} to {percent(gain.high, signed=True)}" if gain else ""
        )
        train, held = _mean(item, "train"), _mean(item, "validation")
        rows.append(
            f"<tr class='{kind}'><td>{html.escape(item.name)}<td>{percent(held)}<td>{shown}"
            f"<td>{interval}<td>{percent(train)}<td>{percent(train - held)}"
            f"<td>{_mean(item, 'best_epoch') + 1:.1f} of {_mean(item, 'epochs'):.1f}"
            f"<td>{_mean(item, 'seconds'):.1f}</tr>"
        )
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


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
    """Return the figure of accuracy against the number of training pictures."""
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
    axis.set_xlabel("training pictures")
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


def _legend() -> str:
    kinds = ((HELPS, "helps"), (NEITHER, "no difference seen"), (STOP, "harms"))
    marks = (f"<b style='color:{color}'>&#9632;</b> {text}" for color, text in kinds)
    return f"<p>{' &ensp; '.join(marks)} &ensp; lines: intervals of {100 * LEVEL:.0f} %</p>"


def _crossings(points: list[Point]) -> str:
    smallest = min(point.count for point in points)
    texts = []
    for name in dict.fromkeys(point.name for point in points if point.name != FOREST):
        count = overtakes(points, name, FOREST)
        at = f"from {count:,} pictures on" if count else "at no number of pictures tried"
        if count == smallest:
            at = f"at every number of pictures tried, {count:,} being the fewest"
        texts.append(f"{html.escape(name)}: {at}")
    return f"<p>Better than a {FOREST}: {'; '.join(texts)}.</p>"


def _image(made: Any, text: str) -> str:
    file = io.BytesIO()
    made.savefig(file, dpi=110, format="png")
    data = base64.b64encode(file.getvalue()).decode()
    return f"<img alt='{text}' src='data:image/png;base64,{data}'>"


def _not_tried(found: Found) -> str:
    items = [f"<li>{html.escape(item.name)}: {html.escape(item.reason)}" for item in found.refused]
    items += [f"<li>{html.escape(name)}: no time was left" for name in found.untried]
    return f"<h2>Not tried</h2><ul>{''.join(items)}</ul>" if items else ""


def _how() -> str:
    return (
        f"<p><small>Intervals of {100 * LEVEL:.0f} % around the mean of paired differences (same "
        "seed, same split), by Student's t with the spread pooled over all comparisons. Something "
        "is kept while its interval lies above zero; the best of many is chosen, so its gain on "
        "the validation part is a little flattered: the test set says what is left of it. "
        "Strengths are usual ones and were not tuned.</small></p>"
    )
