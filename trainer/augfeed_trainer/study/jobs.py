"""The runs of a study: each is done once, kept as JSON with its weights, and found again."""

import hashlib
import json
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from augfeed_trainer.data import Data, open_data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import Run, train


@dataclass(frozen=True, slots=True)
class StudyData:
    """The data of a study: as `open_data` takes them, and which share of the training part."""

    data: str
    share: float = 1.0
    validation: float = 0.1
    test: float = 0.2
    seed: int = 0

    def open(self) -> Data:
        """Return the data."""
        data = open_data(self.data, validation=self.validation, test=self.test, seed=self.seed)
        return data.few(self.share, self.seed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave: accuracies on clean images, and what it cost."""

    train: float
    validation: float
    loss: float
    epochs: int
    best_epoch: int
    seconds: float
    history: list[dict[str, float]]


def key_of(where: StudyData, recipe: Recipe) -> str:
    """Return the name of a run: what it depends on, hashed."""
    text = json.dumps([asdict(where), recipe.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Runs:
    """Carries runs out, several side by side, and keeps what they gave in a folder."""

    def __init__(self, where: StudyData, folder: Path, parallel: int, threads: int) -> None:
        """Make the folder; `threads` are those of torch in each of `parallel` processes."""
        self.where, self.folder, self.parallel, self.threads = where, folder, parallel, threads
        folder.mkdir(parents=True, exist_ok=True)
        self._pool: ProcessPoolExecutor | None = None

    def known(self, recipe: Recipe) -> Outcome | None:
        """Return what a run gave, if it was done before."""
        path = self.folder / f"{key_of(self.where, recipe)}.json"
        if not path.is_file() or not self.weights(recipe).is_file():
            return None
        try:
            return Outcome(**json.loads(path.read_text())["outcome"])
        except (ValueError, KeyError, TypeError):  # half written
            return None

    def weights(self, recipe: Recipe) -> Path:
        """Return where the weights of a run are kept."""
        return self.folder / f"{key_of(self.where, recipe)}.pt"

    def all(
        self, recipes: Iterable[Recipe], go_on: Callable[[], bool]
    ) -> Iterator[tuple[Recipe, Outcome]]:
        """Yield runs as they end, those known first; none is begun once `go_on` is false."""
        left = []
        for recipe in dict.fromkeys(recipes):
            outcome = self.known(recipe)
            if outcome is None:
                left.append(recipe)
            else:
                yield recipe, outcome
        if self.parallel == 1:
            torch.set_num_threads(self.threads)
            for recipe in left:
                if not go_on():
                    return
                yield recipe, _run(self.where, recipe, self.folder, self.threads)
            return
        yield from self._side_by_side(left, go_on)

    def _side_by_side(
        self, left: list[Recipe], go_on: Callable[[], bool]
    ) -> Iterator[tuple[Recipe, Outcome]]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.parallel, context, initializer=torch.set_num_threads, initargs=(self.threads,)
            )
        begun: dict[Future[Outcome], Recipe] = {}
        queue = iter(left)
        while True:
            while len(begun) < self.parallel and go_on() and (recipe := next(queue, None)):
                future = self._pool.submit(_run, self.where, recipe, self.folder, self.threads)
                begun[future] = recipe
            if not begun:
                return
            for future in wait(begun, return_when=FIRST_COMPLETED).done:
                yield begun.pop(future), future.result()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


_opened: dict[StudyData, Data] = {}


def opened(where: StudyData) -> Data:
    """Return the data of a study, opened once in a process."""
    if where not in _opened:
        _opened[where] = where.open()
    return _opened[where]


def _run(where: StudyData, recipe: Recipe, folder: Path, threads: int) -> Outcome:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    trained = train(recipe, opened(where), Run(num_workers=threads, progress=False))
    outcome = Outcome(
        trained.train.accuracy, trained.validation.accuracy, trained.validation.loss,
        len(trained.history), trained.best_epoch, trained.seconds, list(trained.history),
    )  # fmt: skip
    name = key_of(where, recipe)
    part = folder / f"{name}.pt.part"
    torch.save(trained.network.state_dict(), part)
    part.replace(folder / f"{name}.pt")
    text: dict[str, Any] = {
        "where": asdict(where), "recipe": recipe.model_dump(mode="json"), "outcome": asdict(outcome)
    }  # fmt: skip
    part = folder / f"{name}.json.part"
    part.write_text(json.dumps(text))
    part.replace(folder / f"{name}.json")
    return outcome
