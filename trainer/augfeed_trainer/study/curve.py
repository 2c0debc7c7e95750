"""Accuracy against the size of the training part: a random forest, the network plain, and with a
recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed_trainer.data import Data, evaluated, policies, shape_of
from augfeed_trainer.models import Drops, build_model
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.jobs import Runs, StudyData, opened
from augfeed_trainer.train import score

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
FOREST = "random forest"
SMALLEST = 50  # images of a training part
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy on the test part after training on `count` images, for each seed."""

    name: str
    share: float
    count: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.accuracies))


def curve(
    where: StudyData, recipes: dict[str, Recipe], folder: Path, *, seeds: int = 2, threads: int = 2,
    parallel: int = 1, shares: tuple[float, ...] = SHARES, tick: Tick = lambda *_: None,
) -> list[Point]:  # fmt: skip
    """Return the points of all curves, smallest share first.

    A network has the recipe's epochs. On a small part those are few steps, so it is trained for
    more of them there (`epochs_for`): the curve is to show what images are worth, and not that a
    network was stopped early.
    """
    points: list[Point] = []
    total = len(shares) * (len(recipes) + 1)
    for share in sorted(shares):
        there = replace(where, share=share)
        data = opened(there)
        if len(data.train) < max(SMALLEST, 2 * data.classes):
            continue
        forest = tuple(forest_accuracy(data, seed) for seed in range(seeds))
        points.append(Point(FOREST, share, len(data.train), forest))
        tick(FOREST, len(points), total)
        runs = Runs(there, folder / "runs", parallel, threads)
        for name, recipe in recipes.items():
            sized = recipe.with_(epochs=epochs_for(recipe, len(data.train)))
            seeded = [sized.with_(seed=seed) for seed in range(seeds)]
            for _ in runs.all(seeded, lambda: True):
                tick(f"{name}, {len(data.train):,} images", len(points), total)
            found = tuple(_tested(runs, data, one, threads) for one in seeded)
            points.append(Point(name, share, len(data.train), found))
            tick(name, len(points), total)
        runs.close()
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


def epochs_for(recipe: Recipe, count: int, steps: int = 1500) -> int:
    """Return the recipe's epochs or, if `count` images make them fewer steps than `steps`, as
    many as come to those, but no more than four times the recipe's."""
    each = max(1, count // recipe.batch_size)
    return min(max(recipe.epochs, round(steps / each)), 4 * recipe.epochs)


def _tested(runs: Runs, data: Data, recipe: Recipe, threads: int) -> float:
    policy, _ = policies(recipe, data)
    drops = Drops(recipe.dropout, recipe.channel_dropout, recipe.stochastic_depth)
    network = build_model(recipe.model, shape_of(policy, data), norm=recipe.norm, drops=drops)
    network.load_state_dict(torch.load(runs.weights(recipe), weights_only=True))
    return score(network, data.test, data, recipe, num_workers=threads).accuracy


def forest_accuracy(data: Data, seed: int, trees: int = 200) -> float:
    """Return the test accuracy of a random forest (Breiman, 2001) on the pixels."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(trees, n_jobs=-1, random_state=seed)
    forest.fit(*_pixels(data, "train"))
    pixels, labels = _pixels(data, "test")
    return float((forest.predict(pixels) == labels).mean())


def _pixels(data: Data, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    recipe = Recipe()
    source = data.train if part == "train" else data.test
    loader = evaluated(source, policies(recipe, data)[1], recipe, num_workers=0)
    batches = [(images.flatten(1).numpy(), labels.numpy()) for images, labels in loader]
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])
