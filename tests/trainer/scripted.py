"""Runs of a study that take no time: what each gives is computed from its recipe."""

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import StudyData, jobs, search
from augfeed_trainer.study.jobs import Outcome

Law = Callable[[Recipe], float]


def noise(recipe: Recipe, salt: int = 0) -> float:
    """Return a draw from a standard normal law: another one for each recipe and salt."""
    key = zlib.crc32(recipe.model_dump_json().encode())
    return float(np.random.Generator(np.random.Philox(key + (salt << 32))).normal())


@dataclass
class Script:
    """What runs give: validation accuracy by a law, and a training part fitted at some epochs."""

    law: Law
    fits: int = 40
    train: Law | None = None
    spread: float = 0.002
    salt: int = 0
    ran: list[Recipe] = field(default_factory=list)

    def validation(self, recipe: Recipe) -> float:
        """Return the law's value with noise."""
        return self.law(recipe) + self.spread * noise(recipe, self.salt)

    def run(self, where: StudyData, recipe: Recipe, folder: Path) -> Outcome:
        """Stand in for a run."""
        self.ran.append(recipe)
        train = min(1.0, recipe.epochs / self.fits) if self.train is None else self.train(recipe)
        rows = [
            {"epoch": float(k), "validation/accuracy": 0.1 * k, "validation/loss": 1.0,
             "train/accuracy": 0.1 * k, "train/loss": 1.0}
            for k in range(8)
        ]  # fmt: skip
        outcome = Outcome(train, self.validation(recipe), 1.0, recipe.epochs, 0, 0.1, rows)
        name = jobs.key_of(where, recipe)
        (folder / f"{name}.pt").touch()
        (folder / f"{name}.json").write_text(json.dumps({"outcome": asdict(outcome)}))
        return outcome

    def right(self, asked: search.Search, recipe: Recipe) -> np.ndarray:
        """Stand in for the test part: 400 images."""
        share = self.law(recipe) - 0.01
        return (np.arange(400) * 7919 % 400 < 400 * share).astype(np.float64)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Script":
        """Have studies take these runs."""
        monkeypatch.setattr(jobs, "_run", self.run)
        monkeypatch.setattr(search.Search, "_right", lambda asked, one: self.right(asked, one))
        monkeypatch.setattr(search, "forest_accuracy", lambda data, seed: 0.5)
        return self
