"""A random forest on the pixels, which a network has to beat."""

import numpy as np
from numpy.typing import NDArray

from augfeed_trainer.data import Data, evaluated, policies
from augfeed_trainer.recipe import Recipe


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
