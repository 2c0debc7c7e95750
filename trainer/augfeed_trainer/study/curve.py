"""Accuracy against the size of the training part: a random forest, the network plain, and with a
recipe."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed_trainer.data import Data, evaluated, policies, shape_of
from augfeed_trainer.models import Drops, build_model
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.jobs import Runs, Where, opened
from augfeed_trainer.train import score

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SMALLEST = 50  # pictures of a training part
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy on the test part after training on `count` pictures, for each seed."""

    name: str
    share: float
    count: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.accuracies))


def curve(
    where: Where, recipes: dict[str, Recipe], folder: Path, *, seeds: int = 2, threads: int = 2,
    shares: tuple[float, ...] = SHARES, tick: Tick = lambda *_: None,
) -> list[Point]:  # fmt: skip
    """Return the points of all curves, smallest share first.

    The number of steps is the same for every share, that of the recipe on the smallest but one:
    with its epochs alone, a larger part would also be trained longer.
    """
    points: list[Point] = []
    total = len(shares) * (len(recipes) + 1)
    for share in sorted(shares):
        there = replace(where, share=share)
        data = opened(there)
        if len(data.train) < max(SMALLEST, 2 * data.classes):
            continue
        forest = tuple(forest_accuracy(data, seed) for seed in range(seeds))
        points.append(Point("random forest", share, len(data.train), forest))
        tick("random forest", len(points), total)
        runs = Runs(there, folder / "runs", 1, threads)
        for name, recipe in recipes.items():
            sized = recipe.with_(epochs=epochs_for(recipe, len(data.train)))
            found = []
            for one, _ in runs.all([sized.with_(seed=seed) for seed in range(seeds)], lambda: True):
                found.append(_tested(runs, data, one, threads))
            points.append(Point(name, share, len(data.train), tuple(found)))
            tick(name, len(points), total)
    return points


def epochs_for(recipe: Recipe, count: int, steps: int = 1500) -> int:
    """Return the epochs that come to about as many steps, but no fewer than 4 and no more than
    four times the recipe's."""
    each = max(1, count // recipe.batch_size)
    return min(max(4, round(steps / each)), 4 * recipe.epochs)


def _tested(runs: Runs, data: Data, recipe: Recipe, threads: int) -> float:
    policy, _ = policies(recipe, data)
    drops = Drops(recipe.dropout, recipe.channel_dropout, recipe.stochastic_depth)
    network = build_model(recipe.model, shape_of(policy, data), norm=recipe.norm, drops=drops)
    network.load_state_dict(torch.load(runs.weights(recipe), weights_only=True))
    return score(network, data.test, data, recipe, threads=threads).accuracy


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
    loader = evaluated(source, policies(recipe, data)[1], recipe, threads=0)
    batches = [(images.flatten(1).numpy(), labels.numpy()) for images, labels in loader]
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])
