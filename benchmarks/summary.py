"""What the results come to: how many times as fast augfeed is, and the budgets, met or missed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.result import Result

SUITES = {
    "arrays": "28 x 28 in memory",
    "arrays-color": "32 x 32 x 3 in memory",
    "photos": "JPEG photos of 500 px to 224",
    "photos-large": "JPEG photos of 2,000 px to 224",
}
RECIPES = {
    "recipes-2021": "torchvision's recipe of 2021, photos to 224",
    "recipes-timm": "timm's rand-m9-mstd0.5-inc1, photos to 224",
    "recipes-simclr": "a view of SimCLR, photos to 224",
    "recipes-small": "TrivialAugmentWide, 32 x 32 x 3 in memory",
}
VIEWS = {"views-simclr": "SimCLR, two views", "views-dino": "DINO, ten views"}
PEERS = {
    "torch": "PyTorch operations",
    "kornia": "Kornia",
    "torchvision": "torchvision v2",
    "albumentations": "Albumentations X",
    "timm": "timm",
    "dali": "DALI",
    "spdl": "SPDL",
    "lightly": "lightly",
}
NONE = "-"
Results = Mapping[str, Result]


@dataclass(frozen=True)
class Budget:
    """A bound that a ratio has to reach; `missed` says why it does not, where it does not."""

    title: str
    bound: float
    value: Callable[[Results], float]
    missed: str
    percent: bool = False


def _slower(suite: str, name: str) -> Callable[[Results], float]:
    return lambda results: results[suite].row(name).slower.of_medians


def _of_limit(suite: str) -> Callable[[Results], float]:
    def share(results: Results) -> float:
        found = results[suite].row("augfeed").of_limit
        assert found is not None
        return found.of_medians

    return share


def rate_over(suite: str, name: str, other: str) -> Callable[[Results], float]:
    """Return the ratio of two rates of a suite."""

    def ratio(results: Results) -> float:
        rows = results[suite]
        return rows.row(name).rate.median / rows.row(other).rate.median

    return ratio


def _least_ratio(suite: str) -> Callable[[Results], float]:
    # To the fastest of those that do the whole chain.
    def least(results: Results) -> float:
        rows = results[suite].rows
        return min(row.slower.of_medians for row in rows
                   if row.work == "whole" and not row.name.startswith("augfeed"))  # fmt: skip

    return least


WHOLE = (
    "resizing with antialiasing and the noise of 150,528 values come on top of decoding the crop, "
    "whose Huffman codes, and those above it, have to be read"
)
ENTROPY = "a JPEG's Huffman codes have to be read down to the end of the crop, at any scale"
SMALL = "of a small batch Python takes as much time as the loops, and one thread at a time runs it"
PASSES = "a step that looks at a whole image, or moves it, takes a pass of its own"
BEYOND = "4 x its rate is more than decoding whole images alone gives"
VIEWED = "crop, jitter and blur of every view come on top of decoding, which others do once too"
PLAIN = (
    "they are written for this chain: one gather for crop and flip, one product for all of color"
)
VISION = "torchvision v2 in DataLoader workers"
BUDGETS = (
    Budget(f"photos: {VISION}", 3.5, _slower("photos", "torchvision"), ""),
    Budget("photos: the fastest other with the whole chain", 1.7, _least_ratio("photos"), ""),
    Budget(
        f"photos, warm cache: {VISION}", 12, rate_over("photos", "augfeed_ram", "torchvision"), ""
    ),
    Budget("photos: of decoding whole images alone", 0.85, _of_limit("photos"), WHOLE, True),
    Budget("photos of 2,000 px: of decoding them alone", 0.85, _of_limit("photos-large"), "", True),
    Budget(f"photos of 2,000 px: {VISION}", 8, _slower("photos-large", "torchvision"), ENTROPY),
    Budget("photos, basic chain: DALI", 1, rate_over("photos", "augfeed_basic", "dali"), ""),
    Budget(f"28 x 28: {VISION}", 30, _slower("arrays", "torchvision"), ""),
    Budget(f"32 x 32 x 3: {VISION}", 30, _slower("arrays-color", "torchvision"), ""),
    Budget("28 x 28: Kornia on the batch", 8, _slower("arrays", "kornia"), SMALL),
    Budget("28 x 28: PyTorch operations on the batch", 5, _slower("arrays", "torch"), PLAIN),
    Budget("32 x 32 x 3: Kornia on the batch", 8, _slower("arrays-color", "kornia"), SMALL),
    *(
        budget
        for suite, name in (("recipes-2021", "recipe of 2021"), ("recipes-timm", "timm's m9"))
        for budget in (
            Budget(f"{name}: of decoding whole images alone", 0.75, _of_limit(suite), PASSES, True),
            Budget(f"{name}: {VISION}", 4, _slower(suite, "torchvision"), PASSES),
        )
    ),
    Budget("timm's m9: timm's loader", 4, _slower("recipes-timm", "timm"), BEYOND),
    Budget(f"SimCLR: {VISION}", 4, _slower("recipes-simclr", "torchvision"), ""),
    *(
        Budget(f"{title}: {who}", bound, _slower(suite, name), VIEWED)
        for suite, title, bound in (
            ("views-simclr", "SimCLR's two views", 5),
            ("views-dino", "DINO's ten views", 6),
        )
        for name, who in (("torchvision", VISION), ("lightly", "lightly in DataLoader workers"))
    ),
    Budget(
        f"TrivialAugment, 32 x 32: {VISION}", 25, _slower("recipes-small", "torchvision"), PASSES
    ),
    Budget(
        "TrivialAugment, 32 x 32: Kornia on the batch",
        8,
        _slower("recipes-small", "kornia"),
        PASSES,
    ),
)


def summary(paths: Sequence[Path]) -> str:
    """Return the table of ratios of some result files, for README."""
    return f"{_ratios(read(paths))}\n"


def budgets(paths: Sequence[Path]) -> str:
    """Return the table of budgets, met or missed; "" where no result has one."""
    found = read(paths)
    return f"### Budgets\n\n{_budgets(found)}\n" if found else ""


def read(paths: Sequence[Path]) -> dict[str, Result]:
    """Return the results that are of loaders, by suite."""
    texts = [path.read_text() for path in paths]
    kept = [
        text for text in texts if json.loads(text).get("suite") in {**SUITES, **RECIPES, **VIEWS}
    ]
    return {found.suite: found for found in map(Result.model_validate_json, kept)}


def _ratios(results: Results) -> str:
    lines = [["whole chain", "augfeed, images/s", "of decoding alone", *PEERS.values()]]
    lines.append(["---", *["---:"] * (len(PEERS) + 2)])
    for suite, title in {**SUITES, **RECIPES, **VIEWS}.items():
        if suite not in results:
            continue
        lines.append(_line(results[suite], title, "augfeed", "whole"))
        if any(row.name == "augfeed_ram" for row in results[suite].rows):
            lines.append(_line(results[suite], "the same, warm cache", "augfeed_ram", "whole"))
            basic = "the same, crop, flip, normalize only"
            lines.append(_line(results[suite], basic, "augfeed_basic", "basic"))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _line(result: Result, title: str, name: str, work: str) -> list[str]:
    own, share = result.row(name).rate.median, result.row(name).of_limit
    decodes = name != "augfeed_ram" and any(row.name == "decoding" for row in result.rows)
    of_limit = f"{share.of_medians:.0%}" if share is not None and decodes else NONE
    there = {row.name: row for row in result.rows if row.work == work}
    ratios = [f"{own / there[peer].rate.median:.1f} x" if peer in there else NONE for peer in PEERS]
    return [title, f"{own:,.0f}", of_limit, *ratios]


def _budgets(results: Results) -> str:
    lines = [["budget", "at least", "measured", ""], ["---", "---:", "---:", "---"]]
    for budget in BUDGETS:
        try:
            value = budget.value(results)
        except (KeyError, StopIteration, ValueError):
            continue  # not measured here
        shown = "{:.0%}" if budget.percent else "{:.3g} x"
        bound, measured = shown.format(budget.bound), shown.format(value)
        told = "met" if value >= budget.bound else f"**missed**: {budget.missed}"
        lines.append([budget.title, bound, measured, told])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
