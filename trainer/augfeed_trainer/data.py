"""Data for training: split into training, validation and test parts, and batches by epoch."""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augfeed import DataLoader, open_source
from augfeed.errors import InputError, MissingExtraError
from augfeed.policy import Normalize, Policy
from augfeed.presets import IMAGENET_MEAN, IMAGENET_STD, without_augmentation
from augfeed.read.arrays import ArraySource
from augfeed.read.cache_dir import expanded
from augfeed.read.idx import idx_images
from augfeed.read.sources import Source
from augfeed.read.subset import subset
from augfeed_trainer.data_split import Shares, class_numbers, split
from augfeed_trainer.models.networks import Shape
from augfeed_trainer.names import named
from augfeed_trainer.recipe import Recipe

VALIDATION = 2000  # images that a validation part is not cut below
STATISTICS = 2048  # images that mean and standard deviation are taken of
LOADERS = "augfeed.loaders"  # entry points: loaders of batches made elsewhere
TEST_ARRAYS = ("x_test", "test_images")  # of an .npz file, as `open_source` names them
MIXERS = ("mixup", "cutmix", "one_of")


@dataclass(frozen=True, slots=True)
class Data:
    """Three parts of a dataset; `name` is that of rules which keep its labels true, if known."""

    train: Source
    validation: Source
    test: Source
    title: str
    name: str | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for parts that no classifier can be trained, or measured, on."""
        for part in ("train", "validation", "test"):
            source: Source = getattr(self, part)
            if not len(source):
                raise InputError(f"the {part} part of {self.title} is empty: give it images")
            if (source.num_classes or 0) > self.classes:
                raise InputError(
                    f"the {part} part of {self.title} has class {(source.num_classes or 0) - 1}, "
                    f"and the training part has {self.classes} classes: give it images of all"
                )
        if self.classes < 2:
            raise InputError(
                f"{self.title} has classes={self.classes}: give images of 2 classes or more"
            )

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.train.num_classes or 0

    def few(self, share: float, seed: int = 0) -> "Data":
        """Return the data with a share of the training part, in each class alike.

        Of the validation part so many are left that measuring takes no longer than training, but
        2,000 at least.
        """
        if not 0 < share <= 1:
            raise InputError(f"share={share!r} is not in (0, 1]: give a share of the training part")
        if share == 1:
            return self
        chosen, _ = split(class_numbers(self.train), 1 - share, seed)
        part, held = subset(self.train, chosen), self.validation
        most = max(VALIDATION, len(part))
        if len(held) > most:
            held = subset(held, split(class_numbers(held), 1 - most / len(held), seed)[0])
        return Data(part, held, self.test, f"{self.title}, {len(part):,} of it", self.name)


@dataclass(frozen=True, slots=True)
class Parts:
    """A dataset before a validation part is taken from `rest`; `name` is that of its rules."""

    rest: Source
    test: Source
    title: str
    name: str | None


def open_parts(text: str, shares: Shares, *, seed: int = 0) -> Parts:
    """Return the test part of a dataset, given as `path`, `name:path` or "digits", and the rest.

    Where the dataset brings a test part it is that one, else the share that is asked for, of each
    class. Raises `InputError`.
    """
    name, path = named(text)
    if text == "digits":
        whole, tested = _digits(), None
    else:
        whole = open_source(path)
        tested = _test_part(Path(path))
    title = text if text == "digits" else Path(path).name
    checked = shares if tested is None else Shares(shares.validation, None)
    checked.check(f"data={text!r}", class_numbers(whole))
    if tested is None:
        assert shares.test is not None
        learned, held = split(class_numbers(whole), shares.test, seed)
        whole, tested = subset(whole, learned), subset(whole, held)
    return Parts(whole, tested, title, name or whole.name)


def open_data(text: str, *, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Data:
    """Return the parts of a dataset, given as `path`, `name:path` or "digits".

    `name` is one of `augfeed.invariances.KNOWN`; the rules of it are kept then. Where the dataset
    brings a test part it is that one, else a share `test` of it; `validation` is the share of what
    is left. Shares hold in each class. Raises `InputError`.
    """
    parts = open_parts(text, Shares(validation, test), seed=seed)
    learned, held = split(class_numbers(parts.rest), validation, seed + 1)
    train, held_out = subset(parts.rest, learned), subset(parts.rest, held)
    return Data(train, held_out, parts.test, parts.title, parts.name)


def open_served(text: str, *, seed: int = 0) -> Data:
    """Return the parts of a dataset whose training part a service gives out, whole.

    A service knows of no validation part, so that is a half of the test part, in each class.
    Raises `InputError` where the dataset brings no test part.
    """
    name, path = named(text)
    tested = None if text == "digits" else _test_part(Path(path))
    if tested is None:
        raise InputError(
            f"data={text!r} has no test part of its own, so that every held-out image would be "
            "among those of the service: give a folder of idx files or an .npz file with one"
        )
    whole = open_source(path)
    rest, held = split(class_numbers(tested), 0.5, seed + 1)
    if not len(held):
        raise InputError(
            f"the test part of data={text!r} has {len(tested)} images, no 2 of a class, and half "
            "of it is to be the validation part: give 2 images or more of a class"
        )
    parts = whole, subset(tested, held), subset(tested, rest)
    return Data(*parts, Path(path).name, name or whole.name)


def _digits() -> Source:
    from augfeed.demo.data import digits

    return digits()


def _test_part(path: Path) -> Source | None:
    path = Path(expanded(path))
    if path.is_dir():
        if idx_images(path, "test"):
            return open_source(path, split="test")
        return None
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            brought = any(name in file.files for name in TEST_ARRAYS)
        return open_source(path, split="test") if brought else None
    return None


def policies(recipe: Recipe, data: Data) -> tuple[Policy, Policy]:
    """Return the policies of training and evaluation; both normalize in the same way.

    Without a `normalize` in the recipe's policy the statistics are those of the training part.
    """
    policy = recipe.augmentation()
    if policy.find(Normalize) is None:
        policy = policy.with_(statistics(data.train))
    return policy, without_augmentation(policy)


def statistics(source: Source) -> Normalize:
    """Return the mean and standard deviation of images in memory; ImageNet's for files."""
    if not isinstance(source, ArraySource):
        if source.channels == 3:
            return Normalize(IMAGENET_MEAN, IMAGENET_STD)
        return Normalize(0.449, 0.226)
    rows = np.unique(np.linspace(0, len(source) - 1, min(len(source), STATISTICS)).astype(np.int64))
    pictures = source.images[source.rows(rows)].astype(np.float64)
    pictures /= 255 if source.images.dtype == np.uint8 else 1
    mean, std = pictures.mean(axis=(0, 1, 2)), pictures.std(axis=(0, 1, 2))
    rounded = [tuple(round(float(max(value, low)), 4) for value in values)
               for values, low in ((mean, 0.0), (std, 1e-3))]  # fmt: skip
    return Normalize(mean=rounded[0], std=rounded[1])


def shape_of(policy: Policy, data: Data) -> Shape:
    """Return what the network gets and gives."""
    height, width = policy.size(data.train.sizes)
    return Shape(data.train.channels, height, width, data.classes)


class Epochs:
    """Batches of a loader by epoch, for Lightning; another loader from a given epoch on.

    Where it stands is `epoch` and how many batches of it were given out, so a run goes on exactly
    where a checkpoint was taken, whichever loader that is.
    """

    def __init__(self, first: Any, last: Any = None, since: int = 0) -> None:
        self.first, self.last, self.since = first, last, since
        self._epoch, self._given, self._skip = 0, 0, 0

    @property
    def sampler(self) -> "Epochs":
        """Itself: Lightning tells the sampler which epoch begins."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next pass."""
        if epoch != self._epoch:
            self._epoch, self._given, self._skip = epoch, 0, 0

    def _loader(self) -> Any:
        return self.last if self.last is not None and self._epoch >= self.since else self.first

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[Any]:
        # A pass begins with its first batch: Lightning makes the iterator of a run that it resumes
        # at the end of an epoch before it says which epoch comes.
        loader = self._loader()
        loader.set_epoch(self._epoch)
        if self._skip:
            loader.skip(self._skip)
        self._given, self._skip = self._skip, 0
        for batch in loader:
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where the newest pass stands."""
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next pass where a state was taken: after its last batch, in the next epoch."""
        self._epoch, self._skip = state["epoch"], state["given"]
        if self._skip >= len(self):
            self._epoch, self._skip = self._epoch + 1, 0


@dataclass(frozen=True, slots=True)
class Served:
    """Where training batches come from: replicas of a service, and its name for the dataset."""

    urls: tuple[str, ...]
    dataset: str

    def loader(self, data: Data, **arguments: Any) -> Any:
        """Return the loader of the package `augfeed_client`; `data` is what it should give out.

        Raises `MissingExtraError` without that package, `InputError` if the service has other data.
        """
        found = importlib.metadata.entry_points(group=LOADERS, name="http")
        try:
            (made,) = (entry.load() for entry in found)
        except (ImportError, ValueError):
            raise MissingExtraError("the client of the service", "client") from None
        loader = made(list(self.urls), dataset=self.dataset, **arguments)
        if len(loader.dataset) != len(data.train):
            raise InputError(
                f"dataset={self.dataset!r} of the service has {len(loader.dataset):,} images and "
                f"the training part of data={data.title!r} has {len(data.train):,}: give the same "
                "data to both"
            )
        return loader


def loaders(
    recipe: Recipe, data: Data, *, num_workers: int, device: Any = "cpu",
    served: Served | None = None, processes: int = 1,
) -> tuple[Epochs, "DataLoader[Any]"]:  # fmt: skip
    """Return the batches of training, and a loader of the validation part.

    A last batch that is short is left out, unless it is the only one of the `processes` together.
    """
    policy, clean = policies(recipe, data)
    options: dict[str, Any] = {
        "num_workers": num_workers, "device": device, "seed": recipe.seed, "invariances": data.name,
        "channels_last": True,
    }  # fmt: skip
    whole = len(data.train) >= recipe.batch_size * processes

    def training(policy: Policy) -> Any:
        if served is not None:
            return served.loader(
                data, policy=policy, batch_size=recipe.batch_size, shuffle=True, drop_last=whole,
                seed=recipe.seed, device=device, dtype=torch.float32, channels_last=True,
                targets="sparse",
            )  # fmt: skip
        return DataLoader(
            data.train, recipe.batch_size, True, policy=policy, drop_last=whole, targets="sparse",
            **options,
        )  # fmt: skip

    mixing = [item.op for item in policy.operations if item.op in MIXERS]
    last = None
    if recipe.unmixed_epochs and mixing:
        last = training(policy.without(*mixing))
    epochs = Epochs(training(policy), last, max(0, recipe.epochs - recipe.unmixed_epochs))
    return epochs, evaluated(data.validation, clean, recipe, num_workers=num_workers, device=device)


def evaluated(
    source: Source, policy: Policy, recipe: Recipe, *, num_workers: int, device: Any = "cpu"
) -> "DataLoader[Any]":
    """Return a loader of a part of the data in its order, clean."""
    size = max(recipe.batch_size, 256)
    return DataLoader(
        source,
        size,
        policy=policy,
        num_workers=num_workers,
        device=device,
        seed=0,
        channels_last=True,
    )


__all__ = [
    "Data",
    "Epochs",
    "Served",
    "evaluated",
    "loaders",
    "open_data",
    "open_served",
    "policies",
    "split",
]
