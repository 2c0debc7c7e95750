"""What a study found, as one HTML page that needs nothing else, and as JSON."""

import json
import math
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from augfeed import __version__, resolve_policy
from augfeed.notation import format_policy
from augfeed.policy import CenterCrop, Policy, RandomCrop, RandomResizedCrop, Resize
from augfeed.replaced_file import write_text
from augfeed_trainer.data import Data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import figures
from augfeed_trainer.study.curve import FOREST, Point, overtakes
from augfeed_trainer.study.regime import FITS, Rung
from augfeed_trainer.study.search import Found
from augfeed_trainer.study.statistics import LEVEL, RATE
from augfeed_trainer.study.trials import fitted, validated
from augfeed_trainer.study.tried import SCALES, Tried


def write_report(
    found: Found, data: Data, folder: Path, points: list[Point] | None = None,
    side: int | None = None,
) -> Path:  # fmt: skip
    """Write `report.html`, `report.json` and, if a conclusion is drawn, `recipe.json`.

    `side` is that which images were resized to for the study; the recipe to train with does the
    same. Return the path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = None if found.recipe is None else for_training(found.recipe, side)
    kept = folder / "recipe.json"
    kept.unlink(missing_ok=True)
    if recipe is not None:
        write_text(kept, json.dumps(recipe.model_dump(mode="json"), indent=1) + "\n")
    write_text(folder / "report.json", json.dumps(_json(found, points, side)) + "\n")
    path = folder / "report.html"
    write_text(path, _page(found, data, recipe, points or []))
    return path


def for_training(recipe: Recipe, side: int | None) -> Recipe:
    """Return a recipe for images of any size where those of the study were resized to `side`."""
    if side is None:
        return recipe
    policy = Policy() if recipe.policy is None else resolve_policy(recipe.policy)
    if policy.find(RandomResizedCrop) is None:
        policy = policy.with_(Resize(side))
        if policy.find(RandomCrop) is None:
            policy = policy.with_(CenterCrop(side))
    return recipe.with_(policy=format_policy(policy))


def command_of(recipe: Recipe) -> str:
    """Return the command that trains with a recipe, one line to copy."""
    words = ["augfeed", "train", "--data", "DATA"]
    for name, value in recipe.changes().items():
        option = f"--{name.replace('_', '-')}"
        if name == "seed":
            continue
        if isinstance(value, bool):
            words.append(option)
        else:
            words += [option, str(value["std"] if isinstance(value, dict) else value)]
    return shlex.join(words)


def conclusion(found: Found) -> str:
    """Return the first line of a report: what is kept, or why nothing is concluded."""
    last = found.regime.rungs[-1]
    state = f"right on {percent(last.train)} of its training part after {last.epochs:,} epochs"
    if found.regime.end == "time":
        return (
            f"No conclusion: {found.study.minutes:g} minutes are too few. The plain network is "
            f"{state}, and more would change that. Where it does not fit its training part, a "
            "regularizer cannot be judged: give more minutes, or a larger learning rate or network."
        )
    if not found.regime.reached:
        return (
            f"No conclusion: the plain network does not learn. It is {state}: try another learning "
            "rate, norm or network."
        )
    if not found.tried:
        return (
            f"No conclusion: {found.study.minutes:g} minutes are too few to compare anything with "
            f"the plain network, {state}: give more."
        )
    kept = ", ".join(found.kept) or "nothing: no technique helped beyond the noise"
    return f"Keep: {kept}."


def _json(found: Found, points: list[Point] | None, side: int | None) -> dict[str, Any]:
    asked = found.study
    return {
        "augfeed": __version__, "conclusion": conclusion(found),
        "data": {**asdict(asked.where), "data": titled(asked.where.data), "side": side},
        "base": found.base.changes(), "seeds": asked.seeds, "minutes": asked.minutes,
        "seconds": round(found.seconds, 1), "parallel": asked.parallel,
        "runs": found.runs, "trained_seconds": round(found.trained, 1),
        "regime": {"end": found.regime.end, "rungs": [asdict(rung) for rung in found.regime.rungs]},
        "plain": {str(scale): [asdict(one) for one in outcomes]
                  for scale, outcomes in found.plain.items()},
        "plain_best": found.best,
        "strengths": {one.technique.name: one.scores for one in found.searched},
        "tried": [_tried(item) for item in found.tried],
        "without": [_tried(item) for item in found.without],
        "kept": found.kept, "recipe": found.recipe.changes() if found.recipe else None,
        "refused": [asdict(item) for item in found.refused], "untried": found.untried,
        "test": asdict(found.test) if found.test else None,
        "curve": [asdict(point) for point in points or ()],
    }  # fmt: skip


def _tried(item: Tried) -> dict[str, Any]:
    return {
        "name": item.name, "strength": item.strength, "round": item.round,
        "settings": item.recipe.changes(), "gain": asdict(item.gain),
        "equal": asdict(item.equal) if item.equal else None,
        "outcomes": [asdict(outcome) for outcome in item.outcomes],
        "shorter": {str(scale): [asdict(outcome) for outcome in outcomes]
                    for scale, outcomes in item.shorter.items()},
    }  # fmt: skip


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share in percent, or a difference of shares in percentage points."""
    if not math.isfinite(value):
        return "unknown"
    return f"{100 * value:+.2f}" if signed else f"{100 * value:.1f} %"


def _page(found: Found, data: Data, recipe: Recipe | None, points: list[Point]) -> str:
    pages = Environment(
        loader=PackageLoader("augfeed_trainer", "study"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True,
    )  # fmt: skip
    alone = [item for item in found.tried if not item.round]
    numbers = sorted({item.round for item in found.tried} - {0})
    rounds = [
        (number, [item for item in found.tried if item.round == number]) for number in numbers
    ]
    drawn = dict.fromkeys(("gains", "fit", "learning", "images", "points"), "")
    if found.recipe is not None and found.tried:
        made = {
            "gains": figures.draw_gains(alone), "fit": figures.draw_fit(found),
            "learning": figures.draw_learning(found), "images": figures.draw_images(found, data),
        }  # fmt: skip
        drawn |= {name: figures.as_png(one) for name, one in made.items() if one is not None}
    if points:
        drawn["points"] = figures.as_png(figures.draw_points(points))
    counts = len(data.train), len(data.validation), len(data.test)
    return pages.get_template("report.html.jinja").render(
        found=found, title=titled(found.study.where.data), version=__version__, drawn=drawn,
        conclusion=conclusion(found), command=command_of(recipe) if recipe else "",
        cost=_cost(found), counts=counts, level=LEVEL, rate=RATE, fits=FITS, scales=SCALES,
        legend=figures.LEGEND, percent=percent, validated=validated, fitted=fitted, kind=_kind,
        test=_test(found), forest=FOREST, points=points, alone=alone, rounds=rounds,
        regime=_regime(found.regime.rungs), crossings=_crossings(points) if points else [],
    )  # fmt: skip


def _test(found: Found) -> dict[str, float] | None:
    if found.test is None:
        return None
    parts = {"plain": found.test.plain, "chosen": found.test.chosen, "forest": found.test.forest}
    return {name: sum(values) / len(values) for name, values in parts.items()}


def _kind(item: Tried, kept: list[str]) -> str:
    # The class of a row of the table.
    if item.round >= 0 and item.name in kept[item.round : item.round + 1]:
        return "kept"
    return "" if item.gain.helps else "harms" if item.gain.harms else "none"


def _regime(rungs: tuple[Rung, ...]) -> str:
    return " → ".join(
        f"{rung.epochs} epochs: {percent(rung.train)} of the training part, "
        f"{percent(rung.validation)} of the validation part" for rung in rungs
    )  # fmt: skip


def titled(data: str) -> str:
    """Return the name of `name:path`, or the last folder of a path."""
    name, colon, path = data.partition(":")
    return name if colon and len(name) > 1 and path else Path(data).name or data


def _cost(found: Found) -> str:
    return (
        f"{found.runs:,} runs, {found.study.parallel} at a time, {found.trained / 60:.1f} minutes "
        "of training"
    )


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
