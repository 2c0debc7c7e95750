"""Parts of a dataset, and batches by epoch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augfeed.errors import InputError
from augfeed.policy import Normalize
from augfeed_trainer.data import Data, Epochs, loaders, open_data, policies, split
from augfeed_trainer.recipe import Recipe


def test_a_split_takes_its_share_of_every_class_and_depends_on_the_seed() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 50, 10, 1])
    left, held = split(labels, 0.2, 1)
    assert np.bincount(labels[held], minlength=4).tolist() == [20, 10, 2, 0]
    assert sorted([*left, *held]) == list(range(161))
    assert np.array_equal(held, split(labels, 0.2, 1)[1])
    assert not np.array_equal(held, split(labels, 0.2, 2)[1])


def test_the_parts_share_no_image() -> None:
    data = open_data("digits")
    sources: list[Any] = [data.train, data.validation, data.test]
    rows = [source.rows(np.arange(len(source))) for source in sources]
    assert sorted(np.concatenate(rows).tolist()) == list(range(1797))
    assert data.classes == 10 and data.name == "digits"


def test_a_small_share_keeps_every_class() -> None:
    few = open_data("digits").few(0.02)
    labels: Any = few.train.labels
    assert len(few.train) == pytest.approx(26, abs=5) and set(labels) == set(range(10))
    with pytest.raises(InputError, match=r"share=0 is not in \(0, 1\]"):
        open_data("digits").few(0)


def test_a_test_part_that_the_data_bring_is_taken(tmp_path: Path) -> None:
    images = np.zeros((40, 8, 8, 1), np.uint8)
    labels = np.arange(40) % 4
    np.savez(tmp_path / "set.npz", x_train=images, y_train=labels, x_test=images[:8],
             y_test=labels[:8])  # fmt: skip
    data = open_data(f"fashion-mnist:{tmp_path / 'set.npz'}", validation=0.25)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [32, 8, 8]
    assert data.name == "fashion"
    with pytest.raises(InputError, match="'fashon' is not a known name"):
        open_data(f"fashon:{tmp_path / 'set.npz'}")
    with pytest.raises(InputError, match=r"validation=1\.5"):
        open_data("digits", validation=1.5)


def test_data_without_class_numbers_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=np.zeros((8, 8, 8, 1), np.uint8))
    with pytest.raises(InputError, match="has no class numbers"):
        open_data(str(tmp_path / "set.npz"))


def test_images_are_normalised_by_the_training_part() -> None:
    data = open_data("digits")
    policy, clean = policies(Recipe(), data)
    assert policy.find(Normalize) == clean.find(Normalize)
    recipe = Recipe(batch_size=4096)
    images = next(iter(loaders(recipe, data, num_workers=0)[0]))[0]
    assert images.mean().item() == pytest.approx(0, abs=2e-3)
    assert images.std().item() == pytest.approx(1, abs=2e-3)


class Loader:
    """Batches that say which epoch and step they are."""

    def __init__(self, name: str) -> None:
        self.name, self.epoch, self.at = name, 0, 0

    def __len__(self) -> int:
        return 4

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.at = epoch, 0

    def skip(self, batches: int) -> None:
        self.at = batches

    def __iter__(self) -> Any:
        at, self.at = self.at, 0
        return iter([(self.name, self.epoch, step) for step in range(at, 4)])


def all_of(epochs: Epochs, begin: int, end: int) -> list[Any]:
    found = []
    for epoch in range(begin, end):
        epochs.set_epoch(epoch)
        found += list(epochs)
    return found


def test_the_last_epochs_come_from_the_other_loader() -> None:
    epochs = Epochs(Loader("first"), Loader("last"), 2)
    names = [name for name, _, step in all_of(epochs, 0, 4) if step == 0]
    assert names == ["first", "first", "last", "last"]


@pytest.mark.parametrize("given", range(12))
def test_a_pass_goes_on_where_a_state_was_taken(given: int) -> None:
    whole = all_of(Epochs(Loader("first"), Loader("last"), 2), 0, 3)
    epochs, seen = Epochs(Loader("first"), Loader("last"), 2), []
    for epoch in range(3):
        epochs.set_epoch(epoch)
        for batch in epochs:
            seen.append(batch)
            if len(seen) == given + 1:
                break
        if len(seen) == given + 1:
            break
    state = epochs.state_dict()
    again = Epochs(Loader("first"), Loader("last"), 2)
    again.load_state_dict(state)
    begin = again.state_dict()["epoch"]
    rest = list(again) if begin < 3 else []
    assert seen + rest + all_of(again, begin + 1, 3) == whole


def test_nothing_is_mixed_in_the_last_epochs() -> None:
    recipe = Recipe(mixup=1.0, epochs=3, unmixed_epochs=1, batch_size=256)
    epochs, _ = loaders(recipe, open_data("digits"), num_workers=0)
    mixed = []
    for epoch in range(3):
        epochs.set_epoch(epoch)
        mixed.append(any(bool((targets.lam < 1).any()) for _, targets in epochs))
    assert mixed == [True, True, False]


def test_a_policy_that_would_make_labels_wrong_is_refused() -> None:
    data = open_data("digits")
    with pytest.raises(ValueError, match="changes labels of 'digits'"):
        loaders(Recipe(policy="hflip"), data, num_workers=0)
    named = Data(data.train, data.validation, data.test, "x", None)
    assert isinstance(next(iter(loaders(Recipe(), named, num_workers=0)[1]))[1], torch.Tensor)
