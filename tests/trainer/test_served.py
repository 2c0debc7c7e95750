"""Training on batches that a service makes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from augfeed.errors import InputError, MissingExtraError
from augfeed_trainer.data import Served, open_served
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import Run, train
from tests.service.servers import serving
from tests.trainer.test_train import Interrupt, weights

RECIPE = Recipe(
    model="cnn", norm="batch", policy="translate(0.1) | mixup(0.2)", unmixed_epochs=1, epochs=3,
    batch_size=64,
)  # fmt: skip
TRAIN, TEST = 500, 200


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = load_digits()
    images, labels = (found.images * 15.9).astype(np.uint8), found.target
    made = tmp_path_factory.mktemp("served") / "digits.npz"
    held = slice(TRAIN, TRAIN + TEST)
    np.savez(
        made, x_train=images[:TRAIN], y_train=labels[:TRAIN], x_test=images[held],
        y_test=labels[held],
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def served(path: Path) -> Iterator[Served]:
    with serving(datasets={"digits": path}) as one, serving(datasets={"digits": path}) as two:
        yield Served(tuple(f"http://127.0.0.1:{each.port}" for each in (one, two)), "digits")


def run_of(**settings: Any) -> Run:
    return Run(num_workers=1, accelerator="cpu", progress=False, **settings)


def test_held_out_parts_share_no_image_and_the_training_part_is_whole(path: Path) -> None:
    data = open_served(str(path))
    assert (len(data.train), len(data.validation) + len(data.test)) == (TRAIN, TEST)
    rows = [{part.image(k).tobytes() for k in range(len(part))}
            for part in (data.validation, data.test)]  # fmt: skip
    assert not rows[0] & rows[1]


def test_two_replicas_give_the_weights_of_batches_made_here(path: Path, served: Served) -> None:
    data = open_served(str(path))
    here = train(RECIPE, data, run_of())
    there = train(RECIPE, data, run_of(served=served))
    for one, other in zip(weights(here), weights(there), strict=True):
        assert torch.equal(one, other)


def test_a_run_fed_by_a_service_resumes_exactly(path: Path, served: Served, tmp_path: Path) -> None:
    data = open_served(str(path))
    run = run_of(served=served, out=tmp_path, every=2)
    whole = train(RECIPE, data, run_of(served=served))
    with pytest.raises(RuntimeError, match="ended"):
        train(RECIPE, data, run, callbacks=(Interrupt(11),))
    resumed = train(RECIPE, data, run, resume=True)
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(one, other)


def test_data_without_a_test_part_are_refused() -> None:
    with pytest.raises(InputError, match=r"'digits' has no test part of its own.*idx"):
        open_served("digits")


def test_other_data_than_those_of_the_service_are_refused(path: Path, served: Served) -> None:
    other = path.with_name("other.npz")
    with np.load(path) as held:
        np.savez(other, **{name: held[name][:150] for name in held})
    with pytest.raises(InputError, match=r"has 500 images and the training part .* has 150"):
        train(RECIPE, open_served(str(other)), run_of(served=served))


def test_without_the_client_the_extra_is_named(
    path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "augfeed_client", None)
    with pytest.raises(MissingExtraError, match=r"augfeed\[client\]"):
        train(RECIPE, open_served(str(path)), run_of(served=served))
