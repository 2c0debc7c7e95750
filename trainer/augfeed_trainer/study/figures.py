"""The figures of a study."""

import base64
import io
from collections.abc import Sequence
from typing import Any

from augfeed.pipeline import Pipeline
from augfeed.show import preview
from augfeed_trainer.curves import HELD, STOP, TRAIN, figure
from augfeed_trainer.data import Data, policies
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.curve import Point
from augfeed_trainer.study.search import Found
from augfeed_trainer.study.trials import Outcomes, fitted, validated
from augfeed_trainer.study.tried import SCALES, Tried

HELPS, NEITHER = "#2a9d5c", "#999999"
LEGEND = ((HELPS, "helps"), (NEITHER, "no difference seen"), (STOP, "harms"))
SHOWN = 5  # images, and epochs of each


def as_png(made: Any) -> str:
    """Return a figure of matplotlib, or an image of Pillow, as PNG in base64."""
    file = io.BytesIO()
    if hasattr(made, "savefig"):
        made.savefig(file, dpi=110, format="png")
    else:
        made.save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def color_of(item: Tried) -> str:
    """Return the color of a gain: helps, harms, or neither."""
    return HELPS if item.gain.helps else STOP if item.gain.harms else NEITHER


def draw_gains(tried: Sequence[Tried]) -> Any:
    """Return gains with their intervals, the best on top; hollow marks are those at equal steps."""
    items = list(reversed(tried))
    made, axis = figure(9, 1.0 + 0.27 * max(1, len(items)))
    for k, item in enumerate(items):
        gain, color = item.gain, color_of(item)
        low, high = (max(-100.0, min(100.0, 100 * edge)) for edge in (gain.low, gain.high))
        axis.plot([low, high], [k, k], color=color, linewidth=2)
        axis.plot([100 * gain.mean], [k], "o", color=color, markersize=7)
        if item.equal is not None:
            axis.plot([100 * item.equal.mean], [k], "o", markerfacecolor="white",
                      markeredgecolor=color, markersize=5)  # fmt: skip
    axis.set_yticks(range(len(items)), [f"{item.name} {item.strength}".strip() for item in items])
    axis.axvline(0, color="black", linewidth=0.8)
    axis.grid(axis="x", alpha=0.25)
    axis.set_ylim(-0.8, len(items) - 0.2)
    axis.set_xlabel("gain in validation accuracy, percentage points")
    return made


def draw_fit(found: Found) -> Any:
    """Return training against validation accuracy, of all techniques alone and the recipe."""
    made, axis = figure(9, 5)
    plain = found.plain[found.best]
    points = [("plain", plain, TRAIN)]
    points += [(item.name, item.outcomes, color_of(item)) for item in found.tried if not item.round]
    chosen = chosen_outcomes(found)
    if len(found.kept) > 1 and chosen is not None:
        points.append(("chosen recipe", chosen, HELD))
    heights: list[tuple[float, float]] = []
    for name, outcomes, color in points:
        x, y = 100 * fitted(outcomes), 100 * validated(outcomes)
        large = name in ("plain", "chosen recipe")
        axis.plot([x], [y], "o", color=color, markersize=10 if large else 6)
        if large or color != NEITHER:
            taken = any(abs(x - a) < 2 and abs(y - b) < 0.4 for a, b in heights)
            axis.annotate(name, (x, y), (-6 if taken else 6, -10 if taken else 4), fontsize=8,
                          textcoords="offset points", ha="right" if taken else "left")  # fmt: skip
            heights.append((x, y))
    axis.set_xlabel("accuracy on the clean training part, %")
    axis.set_ylabel("validation accuracy, %")
    axis.grid(alpha=0.25)
    return made


def chosen_outcomes(found: Found) -> Outcomes | None:
    """Return the outcomes of the chosen recipe, if something is kept."""
    return next(
        (item.outcomes for item in found.tried if found.kept and item.recipe == found.recipe), None
    )


def draw_learning(found: Found) -> Any:
    """Return the learning curves of the plain network and of the recipe at their longest."""
    made, axes = figure(10, 4, 2)
    lines = [("plain", found.plain[SCALES[-1]], TRAIN)]
    chosen = chosen_outcomes(found)
    if chosen is not None:
        lines.append(("chosen recipe", chosen, HELD))
    for name, outcomes, color in lines:
        for k, outcome in enumerate(outcomes):
            for axis, part in ((axes[0], "accuracy"), (axes[1], "loss")):
                for key, style in ((f"validation/{part}", "-"), (f"train/{part}", ":")):
                    rows = [row for row in outcome.history if key in row]
                    axis.plot(
                        [row["epoch"] + 1 for row in rows], [row[key] for row in rows], style,
                        color=color, alpha=0.8, label=name if style == "-" and not k else None,
                    )  # fmt: skip
    for axis, label in ((axes[0], "accuracy"), (axes[1], "loss (nats)")):
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.legend(frameon=False)
    return made


def draw_images(found: Found, data: Data) -> Any:
    """Return images of each class under the policy of the chosen recipe; None if it has none."""
    recipe: Recipe | None = found.recipe
    if recipe is None or not recipe.augmentation().operations:
        return None
    labels = data.train.labels
    assert labels is not None
    first = [int((labels == label).argmax()) for label in range(min(SHOWN, data.classes))]
    pipeline = Pipeline(data.train, policies(recipe, data)[0], seed=recipe.seed)
    return preview(pipeline, indices=first, epochs=range(SHOWN))


def draw_points(points: Sequence[Point]) -> Any:
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
