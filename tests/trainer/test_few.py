"""Few images, few classes, small parts: trained on, or refused with what to change."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from augfeed.cli import app
from augfeed.errors import InputError
from augfeed.read import sources
from augfeed_trainer.data import TEST_ARRAYS, Data, loaders, open_data, open_served
from augfeed_trainer.data_split import Shares, split
from augfeed_trainer.models import MODELS, Shape, build_model
from augfeed_trainer.models.norms import check_values
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.techniques import techniques
from augfeed_trainer.train import Run, train

SMALL = Recipe(model="mlp", epochs=1)


def arrays(counts: Sequence[int], side: int = 8) -> tuple[Any, Any]:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.zeros((len(labels), side, side, 1), np.uint8), labels


def file(folder: Path, counts: Sequence[int], test: Sequence[int] | None = None) -> str:
    path = folder / "set.npz"
    images, labels = arrays(counts)
    held = {} if test is None else dict(zip(("x_test", "y_test"), arrays(test), strict=True))
    np.savez(path, x_train=images, y_train=labels, **held)
    return str(path)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=6), st.floats(0.01, 0.99),
    st.none() | st.floats(0.01, 0.99), st.integers(0, 3),
)  # fmt: skip
def test_shares_are_refused_where_a_part_would_be_empty_and_nowhere_else(
    counts: list[int], validation: float, test: float | None, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    left, tested = split(labels, test, seed) if test else (np.arange(len(labels)), None)
    learned, held = split(labels[left], validation, seed)
    right = len(held) and len(learned) and (tested is None or len(tested))
    try:
        Shares(validation, test).check("it", labels)
    except InputError:
        assert not right or len(np.unique(labels)) < 2
    else:
        assert right and len(np.unique(labels)) >= 2


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 40), st.floats(0.01, 0.99), st.none() | st.floats(0.01, 0.99))
def test_the_cure_of_an_empty_part_is_one(
    count: int, validation: float, test: float | None
) -> None:
    try:
        Shares(validation, test).check("it", np.repeat([0, 1], count))
    except InputError as error:
        said = str(error)
    else:
        return
    assert re.search("part (is|are) empty", said) and f"validation={validation!r}" in said
    if found := re.search(r"give (\d+) images or more", said):
        Shares(validation, test).check("it", np.repeat([0, 1], int(found[1])))
        with pytest.raises(InputError):
            Shares(validation, test).check("it", np.repeat([0, 1], int(found[1]) - 1))
    if share := re.search(r"give validation=([\d.]+) or more", said):
        Shares(float(share[1]), test).check("it", np.repeat([0, 1], count))


@pytest.mark.parametrize(
    ("counts", "test", "said"),
    [
        ([0], None, "empty"),
        ([1], None, "the class 0 alone"),
        ([40], None, "the class 0 alone"),
        ([0, 0, 9], None, "the class 2 alone"),
        ([1, 1], None, "the test part and the validation part are empty: give 7 images"),
        ([2, 2], None, "the test part and the validation part are empty: give 7 images"),
        ([3, 3], None, r"the validation part is empty: give validation=0\.26 or more"),
        ([1] * 30, None, "30 images in 30 classes, at most 1 in one"),
        ([5, 5], [1, 1], r"the validation part is empty: give validation=0\.11 or more"),
        ([8, 8], [], "empty"),
        ([8, 8], [1, 1, 1], "the test part of set.npz has class 2, and the training part"),
    ],
)
def test_data_that_are_too_few_are_refused(
    tmp_path: Path, counts: list[int], test: list[int] | None, said: str
) -> None:
    path = file(tmp_path, counts, test)
    with pytest.raises(InputError, match=said):
        open_data(path)
    for command in ("train", "study"):
        done = CliRunner().invoke(app, [command, "--data", path], env={"COLUMNS": "400"})
        assert done.exit_code == 2 and re.search(said, done.stderr), done.output


@pytest.mark.parametrize(
    ("counts", "test", "batch_size"),
    [([7, 7], None, 128), ([7, 7], None, 1), ([7, 1, 1], None, 2), ([6, 6], [1, 1], 5),
     ([7, 7], None, 11), ([6, 6], [0, 1], 4)],
)  # fmt: skip
def test_few_images_are_trained_on(
    tmp_path: Path, counts: list[int], test: list[int] | None, batch_size: int
) -> None:
    data = open_data(file(tmp_path, counts, test))
    recipe = SMALL.with_(batch_size=batch_size)
    trained = train(recipe, data, Run(progress=False, num_workers=0, accelerator="cpu"))
    assert len(trained.history) == 1 and trained.validation.count == len(data.validation)


def test_a_folder_of_two_classes_with_two_images_each_is_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for k in range(2):
            path = tmp_path / name / f"{k}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (k, 2, 3)).save(path)
    with pytest.raises(InputError, match=r"4 images in 2 classes.*give 7 images or more"):
        open_data(str(tmp_path))


def test_parts_made_by_hand_are_checked(tmp_path: Path) -> None:
    data = open_data(file(tmp_path, [9, 9]))

    class Nothing:
        num_classes = 2

        def __len__(self) -> int:
            return 0

    nothing: Any = Nothing()
    for name in ("train", "validation", "test"):
        parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
        with pytest.raises(InputError, match=f"the {name} part of x is empty"):
            Data(**{**parts, name: nothing}, title="x")


def test_a_test_part_that_cannot_be_halved_is_refused(tmp_path: Path) -> None:
    assert len(open_served(file(tmp_path, [5, 5], [2, 1])).validation) == 1
    with pytest.raises(InputError, match=r"2 images, no 2 of a class.*give 2 images or more"):
        open_served(file(tmp_path, [5, 5], [1, 1]))


def test_labels_below_zero_are_no_classes(tmp_path: Path) -> None:
    images, labels = arrays([9, 9])
    np.savez(tmp_path / "set.npz", images=images, labels=labels - 1)
    with pytest.raises(InputError, match="-1"):
        open_data(str(tmp_path / "set.npz"))


def test_a_test_part_that_is_broken_is_not_taken_for_none(tmp_path: Path) -> None:
    assert sources._IMAGES["test"] == TEST_ARRAYS
    images, labels = arrays([9, 9])
    np.savez(tmp_path / "set.npz", x_train=images, y_train=labels, x_test=images, y_test=labels[1:])
    with pytest.raises(InputError):
        open_data(str(tmp_path / "set.npz"))


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 100])
def test_every_rank_has_a_batch(tmp_path: Path, processes: int, batch_size: int) -> None:
    data = open_data(file(tmp_path, [7, 7]))
    recipe = SMALL.with_(batch_size=batch_size)
    epochs, _ = loaders(recipe, data, num_workers=0, processes=processes)
    for rank in range(processes):
        epochs.first.shard = (rank, processes)
        assert len(epochs) >= 1 and len(list(epochs)) == len(epochs)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer", "none"])
@pytest.mark.parametrize(("count", "side"), [(1, 1), (1, 8), (2, 1), (2, 8), (2, 64)])
def test_a_norm_of_one_value_is_refused_where_torch_would(
    name: str, norm: Any, count: int, side: int
) -> None:
    if name == "mlp" and norm == "instance":
        return  # refused when it is built
    network = build_model(name, Shape(1, side, side, 3), norm=norm)
    held = {key: value.clone() for key, value in network.state_dict().items()}
    try:
        check_values(network, (1, side, side), count)
    except InputError as error:
        assert norm in str(error)
        with pytest.raises(ValueError, match="more than 1"):
            network.train()(torch.zeros(count, 1, side, side))
    else:
        assert network.training
        assert all(torch.equal(value, held[key]) for key, value in network.state_dict().items())
        network(torch.zeros(count, 1, side, side))


def test_networks_of_others_are_looked_at_too() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
    check_values(network, (1, 2, 2), 2)
    with pytest.raises(InputError, match=r"batches of shape \(1, 1, 2, 2\)"):
        check_values(network, (1, 2, 2), 1)


def test_a_study_does_not_try_a_norm_that_has_one_value(tmp_path: Path) -> None:
    data = open_data(file(tmp_path, [9, 9]))
    base = SMALL.with_(batch_size=1)
    reasons = {item.name: item.reason for item in techniques(base, data, (8, 8))[1]}
    assert "one value" in reasons["batch norm"] and "layer norm" not in reasons
    base = SMALL.with_(model="resnet18")
    reasons = {item.name: item.reason for item in techniques(base, data, (8, 8))[1]}
    assert "one value" in reasons["instance norm"] and "batch norm" not in reasons
