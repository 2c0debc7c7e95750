"""Accuracy against the size of the training part, the recipe tuned again at each size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from augfeed_trainer.study.images import opened, prepare
from augfeed_trainer.study.jobs import Workers
from augfeed_trainer.study.search import Found, Study, study
from augfeed_trainer.study.trials import Budget, Tick

SHARES = (0.01, 0.02, 0.05)
FOREST, PLAIN, TUNED = "random forest", "network, plain", "network, recipe tuned for this size"
SMALLEST = 50  # images of a training part


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy on the test part after training on `count` images, for each seed; what was kept."""

    name: str
    share: float
    count: int
    accuracies: tuple[float, ...]
    kept: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.accuracies))


def curve(
    asked: Study, folder: Path, workers: Workers, *, shares: Sequence[float] = SHARES,
    known: Sequence[Found] = (), tick: Tick = lambda *_: None,
) -> list[Point]:  # fmt: skip
    """Return the points of all curves, smallest share first.

    Each share is a study of its own, with the budget of `asked`: its epochs, strengths and recipe
    are those that are right for so many images. A share whose study draws no conclusion has no
    points. `known` are studies that were done, of the same settings but for the share.
    """
    points: list[Point] = []
    done = {found.study.where.share: found for found in known}
    for share in sorted(shares):
        there = replace(asked, where=replace(asked.where, share=share))
        data = opened(there.where, prepare(asked.where, folder / "runs"), 0)
        count = len(data.train)
        if count < max(SMALLEST, 2 * data.classes):
            continue

        def named(what: str, at: int, total: int, count: int = count) -> None:
            tick(f"{count:,} images, {what}", at, total)

        found = done.get(share) or study(
            there, folder, named, workers=workers, budget=Budget(asked.minutes)
        )
        if found.test is None:
            continue
        parts = (FOREST, found.test.forest), (PLAIN, found.test.plain), (TUNED, found.test.chosen)
        for name, accuracies in parts:
            kept = tuple(found.kept) if name == TUNED else ()
            points.append(Point(name, share, count, tuple(accuracies), kept))
    return points


def overtakes(points: Sequence[Point], name: str, other: str) -> int | None:
    """Return the fewest training images from which on a curve lies above another, `None` if it
    does not at its end."""
    others = {point.count: point.mean for point in points if point.name == other}
    found = None
    for point in sorted((p for p in points if p.name == name), key=lambda p: -p.count):
        if point.mean <= others[point.count]:
            break
        found = point.count
    return found
