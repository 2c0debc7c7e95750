"""The runs of a study: each is done once, kept as JSON with its weights, and found again."""

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from augfeed.replaced_file import replaced, write_text
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.images import StudyData, opened, prepare
from augfeed_trainer.train import Run, train

MEASURED = 12  # times that a run looks at its validation part, for its curve


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


def key_of(where: StudyData, recipe: Recipe, images: Path) -> str:
    """Return the name of a run: what it depends on, hashed."""
    parts = [asdict(where), recipe.model_dump(mode="json"), images.name]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(slots=True)
class Workers:
    """Processes that carry runs out; Lightning is imported once, each opens the images once."""

    count: int
    threads: int
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)

    def submit(self, *given: Any) -> "Future[Outcome]":
        """Begin a run in a process that is free."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.count, _context(), initializer=_begin, initargs=(self.threads,)
            )
        return self._pool.submit(_run, *given)

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class Runs:
    """Carries runs out, several side by side, and keeps what they gave in a folder."""

    def __init__(self, where: StudyData, folder: Path, workers: Workers) -> None:
        """Make the folder, and the images in it."""
        self.where, self.folder, self.workers = where, folder, workers
        self.images = prepare(where, folder)

    def known(self, recipe: Recipe) -> Outcome | None:
        """Return what a run gave, if it was done before."""
        path = self.weights(recipe).with_suffix(".json")
        if not path.is_file() or not self.weights(recipe).is_file():
            return None
        try:
            return Outcome(**json.loads(path.read_text())["outcome"])
        except (ValueError, KeyError, TypeError):  # half written
            return None

    def weights(self, recipe: Recipe) -> Path:
        """Return where the weights of a run are kept."""
        return self.folder / f"{key_of(self.where, recipe, self.images)}.pt"

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
        if self.workers.count == 1:
            torch.set_num_threads(self.workers.threads)
            for recipe in left:
                if not go_on():
                    return
                yield recipe, _run(self.where, recipe, self.images)
            return
        yield from self._side_by_side(left, go_on)

    def _side_by_side(
        self, left: list[Recipe], go_on: Callable[[], bool]
    ) -> Iterator[tuple[Recipe, Outcome]]:
        begun: dict[Future[Outcome], Recipe] = {}
        queue = iter(left)
        while True:
            while len(begun) < self.workers.count and go_on() and (recipe := next(queue, None)):
                begun[self.workers.submit(self.where, recipe, self.images)] = recipe
            if not begun:
                return
            for future in wait(begun, return_when=FIRST_COMPLETED).done:
                yield begun.pop(future), future.result()


def _context() -> multiprocessing.context.BaseContext:
    # Workers are forked from a process that has imported what they need, where a system can.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    import threading

    def watch() -> None:
        # A worker whose parent was killed would go on for ever.
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(where: StudyData, recipe: Recipe, images: Path) -> Outcome:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    data = opened(where, images, where.fold(recipe.seed))
    measured = max(1, recipe.epochs // MEASURED)
    trained = train(recipe, data, Run(num_workers=0, progress=False, measured=measured))
    outcome = Outcome(
        trained.train.accuracy, trained.validation.accuracy, trained.validation.loss,
        len(trained.history), trained.best_epoch, trained.seconds,
        [row for row in trained.history if "validation/loss" in row],
    )  # fmt: skip
    folder, name = images.parent, key_of(where, recipe, images)
    with replaced(folder / f"{name}.pt") as part:
        torch.save(trained.network.state_dict(), part)
    text: dict[str, Any] = {
        "where": asdict(where), "recipe": recipe.model_dump(mode="json"), "outcome": asdict(outcome)
    }  # fmt: skip
    write_text(folder / f"{name}.json", json.dumps(text))
    return outcome
