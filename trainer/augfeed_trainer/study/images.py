"""The images of a study: made once, in files that all processes share, and cut into folds."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed import DataLoader
from augfeed.errors import InputError
from augfeed.philox import Stream, words
from augfeed.read.arrays import ArraySource
from augfeed.read.sources import Source
from augfeed.read.subset import subset
from augfeed.replaced_file import replaced, write_text
from augfeed_trainer.data import Data, Parts, open_data, open_parts
from augfeed_trainer.data_split import Ids, Shares, class_numbers

SIDE = 64  # of images that come as files, unless another is asked for
PARTS = ("rest", "test")


@dataclass(frozen=True, slots=True)
class StudyData:
    """The data of a study: as `open_data` takes them, and which share of the training part.

    `size` is the side of the square that images are resized and cut to before the study; None
    leaves those of one size as they are and makes files 64.
    """

    data: str
    share: float = 1.0
    validation: float = 0.1
    test: float = 0.2
    seed: int = 0
    size: int | None = None

    def open(self) -> Data:
        """Return the data, with the one validation part of a training run."""
        data = open_data(self.data, validation=self.validation, test=self.test, seed=self.seed)
        return data.few(self.share, self.seed)

    @property
    def folds(self) -> int:
        """How many validation parts there are; no two of them share an image."""
        return max(2, round(1 / self.validation))

    def fold(self, seed: int) -> int:
        """Return the number of the validation part of runs with this seed."""
        return seed % self.folds

    def search_seed(self, number: int) -> int:
        """Return a seed for choosing what is compared later with seeds 0, 1, ...

        The folds are taken from the last on, so that the images differ too, where the folds
        suffice.
        """
        return 1000 * self.folds - 1 - number


@lru_cache(maxsize=16)
def prepare(where: StudyData, folder: Path) -> Path:
    """Write the images of a study, if that was not done, and return where they are.

    The name of that folder is a function of the images, so that others in the same place are not
    taken for them. Shares of the same data have the same images.
    """
    parts = open_parts(where.data, Shares(where.validation, where.test), seed=where.seed)
    Data(parts.rest, parts.rest, parts.test, parts.title)  # refuses what cannot be trained on
    marks = [getattr(parts, name).fingerprint() for name in PARTS]
    key = json.dumps([*marks, parts.name, where.size, SIDE])
    made = folder / f"images-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if (made / "about.json").is_file():
        return made
    made.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        images, labels = _pixels(getattr(parts, name), where.size)
        for what, array in (("images", images), ("labels", labels)):
            with replaced(made / f"{name}-{what}.npy") as part:
                np.save(part, array)
    about = {
        "title": parts.title, "name": parts.name, "classes": _classes(parts),
        "side": None if _as_it_is(parts.rest, where.size) else where.size or SIDE,
    }  # fmt: skip
    write_text(made / "about.json", json.dumps(about))
    return made


def _classes(parts: Parts) -> list[str]:
    names = parts.rest.classes
    return [str(k) for k in range(parts.rest.num_classes or 0)] if names is None else list(names)


def _pixels(source: Source, size: int | None) -> tuple[NDArray[np.generic], Ids]:
    labels = class_numbers(source)
    if isinstance(source, ArraySource) and _as_it_is(source, size):
        return source.images[source.rows(np.arange(len(source)))], labels
    side = size or SIDE
    loader = DataLoader(
        source, 64, policy=f"resize({side}) | center_crop({side})", num_workers=2, dtype=torch.uint8
    )
    made = [batch.permute(0, 2, 3, 1).numpy() for batch, _ in loader]
    images = np.concatenate(made)
    if len(images) != len(labels):
        raise InputError(
            f"{source!r} has {len(labels):,} labels and gave {len(images):,} images: see which "
            "files cannot be read with `augfeed doctor`"
        )
    return images, labels


def _as_it_is(source: Source, size: int | None) -> bool:
    return isinstance(source, ArraySource) and (size is None or source.sizes == (size, size))


def side_of(images: Path) -> int | None:
    """Return the side that images were resized to for a study; None if they were not."""
    found: int | None = json.loads((images / "about.json").read_text())["side"]
    return found


@lru_cache(maxsize=64)
def opened(where: StudyData, images: Path, fold: int) -> Data:
    """Return the data of one fold: its images are the validation part, the others are trained on.

    Of those so many are left as the share says, drawn again for each fold. `images` is what
    `prepare` wrote.
    """
    about = json.loads((images / "about.json").read_text())
    rest, test = _mapped(images, "rest", about["classes"]), _mapped(images, "test")
    held = members(class_numbers(rest), fold, where.folds, where.seed)
    learned = np.setdiff1d(np.arange(len(rest), dtype=np.int64), held)
    data = Data(subset(rest, learned), subset(rest, held), test, about["title"], about["name"])
    return data.few(where.share, where.seed + fold)


def _mapped(folder: Path, name: str, classes: list[str] | None = None) -> ArraySource:
    images = np.load(folder / f"{name}-images.npy", mmap_mode="r")
    return ArraySource(images, np.load(folder / f"{name}-labels.npy"), classes)


def members(labels: Ids, fold: int, folds: int, seed: int) -> Ids:
    """Return the sample numbers of a fold: every class is dealt out to all folds in turn.

    A class of one sample stays in training, whatever the fold.
    """
    ids = np.arange(len(labels), dtype=np.int64)
    drawn = words(seed, 0, ids, [(int(Stream.SPLIT), 1)])[0, 0]
    held, dealt = [ids[:0]], 0
    for label in np.unique(labels):
        mine = ids[labels == label]
        if len(mine) < 2:
            continue
        mine = mine[np.argsort(drawn[mine], kind="stable")]
        held.append(mine[(np.arange(len(mine)) + dealt) % folds == fold])
        dealt += len(mine)
    return np.sort(np.concatenate(held))
