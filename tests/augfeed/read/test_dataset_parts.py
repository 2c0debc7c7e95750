"""A dataset that is changed after its loader was built is noticed where it is read as it was."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset, TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputError
from augfeed.read.dataset_parts import DatasetParts

PIXELS = torch.arange(6 * 3 * 4 * 4, dtype=torch.int32).reshape(6, 3, 4, 4).to(torch.uint8)
LABELS = torch.arange(6)
ROWS = np.array([4, 2])


class Stored:
    """A dataset in memory as torchvision's are."""

    def __init__(self) -> None:
        self.data, self.targets = PIXELS, LABELS.tolist()
        self.transform: Any = None
        self.target_transform: Any = None

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Any:
        return self.data[i], self.targets[i]


class Files:
    """Files as torchvision's `ImageFolder` holds them."""

    def __init__(self, root: Path) -> None:
        self.classes = ["cat", "dog"]
        self.samples = [(str(root / f"{k}.png"), k % 2) for k in range(4)]
        for path, _ in self.samples:
            Image.new("RGB", (4, 4), (9, 8, 7)).save(path)
        self.transform: Any = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Any:
        path, label = self.samples[i]
        return Image.open(path), label


def native(dataset: Any) -> DataLoader[Any]:
    loader: DataLoader[Any] = DataLoader(dataset, 2, policy="center_crop(4)", seed=0)
    assert loader.lane == "native"
    assert [labels.tolist() for _, labels in loader] == [labels.tolist() for _, labels in loader]
    return loader


def subset(dataset: Any, indices: Any) -> Any:
    return Subset(dataset, indices)


def set_to(name: str, value: Any) -> Callable[[Any], None]:
    return lambda dataset: setattr(dataset, name, value)


CHANGES: list[tuple[str, Callable[[Any], None]]] = [
    ("transform", set_to("transform", np.asarray)),
    ("target_transform", set_to("target_transform", int)),
    ("transforms", set_to("transforms", np.asarray)),
    ("data", set_to("data", PIXELS.flip(0))),
    ("targets", set_to("targets", [0] * 6)),
    ("targets", lambda dataset: dataset.targets.reverse()),
]


@pytest.mark.parametrize(("name", "change"), CHANGES)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a subset"])
def test_a_dataset_that_was_changed_is_refused(
    name: str, change: Callable[[Any], None], *, inside: bool
) -> None:
    dataset = Stored()
    loader = native(subset(dataset, [3, 1, 2]) if inside else dataset)
    change(dataset)
    with pytest.raises(InputError, match=f"'{name}' of this Stored was changed .* build the"):
        next(iter(loader))


def test_files_that_were_listed_anew_are_refused(tmp_path: Path) -> None:
    dataset = Files(tmp_path)
    loader = native(dataset)
    dataset.samples.pop()
    with pytest.raises(InputError, match="'samples' of this Files was changed"):
        next(iter(loader))


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_subset_with_other_indices_is_refused(kind: Any, *, in_place: bool) -> None:
    dataset = subset(TensorDataset(PIXELS, LABELS), kind([3, 1, 2]))
    loader = native(dataset)
    if in_place:
        dataset.indices[0] = 5
    else:
        dataset.indices = kind([0, 1])
    with pytest.raises(InputError, match="'indices' of this Subset was changed"):
        next(iter(loader))


def test_tensors_of_another_round_are_refused() -> None:
    dataset = TensorDataset(PIXELS, LABELS)
    loader = native(dataset)
    dataset.tensors = (PIXELS, LABELS.flip(0))
    with pytest.raises(InputError, match="'tensors' of this TensorDataset was changed"):
        next(iter(loader))


def test_what_was_changed_before_the_loader_was_built_counts() -> None:
    dataset = Stored()
    dataset.targets = [5, 4, 3, 2, 1, 0]
    assert [labels.tolist() for _, labels in native(dataset)] == [[5, 4], [3, 2], [1, 0]]


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))]
)
def test_a_copy_of_a_loader_is_no_change(again: Any) -> None:
    for dataset in (subset(Stored(), [2, 1, 3]), subset(TensorDataset(PIXELS, LABELS), ROWS)):
        loader = native(dataset)
        twin = again(loader)
        assert [b.tolist() for _, b in twin] == [b.tolist() for _, b in loader]
        twin.dataset.dataset.transform = np.asarray
        with pytest.raises(InputError, match="'transform' of this"):
            next(iter(twin))
        next(iter(loader))


def test_an_equal_list_is_no_change() -> None:
    dataset = Stored()
    loader = native(dataset)
    dataset.targets = list(dataset.targets)
    next(iter(loader))


def test_the_general_lane_sees_the_change() -> None:
    dataset: Any = Stored()
    dataset.target_transform = int
    loader: DataLoader[Any] = DataLoader(dataset, 6, policy="hflip", seed=0)
    assert loader.lane == "general"
    dataset.targets = [7] * 6
    assert next(iter(loader))[1].tolist() == [7] * 6


def test_a_transform_that_hugging_face_is_given_later_is_refused() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image()})
    given = {"image": [Image.new("RGB", (4, 4), (k, 0, 0)) for k in range(3)]}
    dataset = datasets.Dataset.from_dict(given, features=features)
    loader: DataLoader[Any] = DataLoader(dataset, 2, policy="center_crop(4)", seed=0)
    assert loader.lane == "native"
    assert len(list(pickle.loads(pickle.dumps(loader)))) == len(list(loader)) == 2
    dataset.with_transform(lambda rows: rows)  # another dataset
    assert len(list(loader)) == 2
    dataset.set_transform(lambda rows: rows)
    with pytest.raises(InputError, match="'format' of this Dataset was changed"):
        next(iter(loader))


def test_a_list_of_other_tensors_is_a_change() -> None:
    dataset: Any = Stored()
    dataset.samples = [PIXELS[0], PIXELS[1]]
    parts = DatasetParts.of(dataset)
    parts.check()
    dataset.samples = [PIXELS[0], PIXELS[2]]
    with pytest.raises(InputError, match="'samples' of this Stored was changed"):
        parts.check()
