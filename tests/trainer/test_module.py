"""The loss and the metrics: they know what was mixed and smoothed."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import Targets, soft_cross_entropy
from augfeed.errors import AugfeedError, InputError
from augfeed.policy import LabelSmoothing
from augfeed.targets import target_entropy
from augfeed_trainer.data import open_data, policies
from augfeed_trainer.models import Shape, build_model
from augfeed_trainer.module import Classifier, shared_accuracy
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import reestimate


def mixed(lam: float = 0.7, epsilon: float = 0.0) -> Targets:
    a, b = torch.tensor([0, 1, 2]), torch.tensor([1, 1, 0])
    return Targets(a, b, torch.full((3,), lam), epsilon=epsilon, num_classes=4)


def test_label_smoothing_with_mixup_is_the_closed_form() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logs = logits.log_softmax(1)
    expected = []
    for row, (a, b) in enumerate([(0, 1), (1, 1), (2, 0)]):
        own = -(0.7 * logs[row, a] + 0.3 * logs[row, b])
        expected.append(0.9 * own - 0.1 * logs[row].mean())
    loss = soft_cross_entropy(logits.float(), mixed(0.7, 0.1))
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_smoothing_is_asked_for_once() -> None:
    policy, clean = policies(Recipe(label_smoothing=0.1), open_data("digits"))
    assert policy.find(LabelSmoothing) is not None and clean.find(LabelSmoothing) is None
    with pytest.raises(InputError, match="'label_smoothing' is asked for by the policy and by"):
        Recipe(policy="hflip | label_smoothing(0.1)", label_smoothing=0.1).augmentation()
    with pytest.raises(InputError, match="leave out one"):
        Recipe(policy="mixup(0.2)", cutmix=1.0).augmentation()


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_the_excess_of_a_perfect_prediction_is_zero(epsilon: float) -> None:
    targets = mixed(0.6, epsilon)
    logits = targets.dense().clamp_min(1e-30).log()
    excess = soft_cross_entropy(logits, targets) - target_entropy(targets)
    assert excess.item() == pytest.approx(0.0, abs=1e-5)


def test_accuracy_counts_the_share_of_what_is_found() -> None:
    targets = mixed(0.7, 0.1)
    logits = torch.eye(4)[[0, 1, 0]]
    assert shared_accuracy(logits, targets).item() == pytest.approx((0.7 + 1.0 + 0.3) / 3)
    assert shared_accuracy(logits, torch.tensor([0, 1, 1])).item() == pytest.approx(2 / 3)
    rows = torch.tensor([[0.5, 0.5, 0, 0]] * 3)
    assert shared_accuracy(logits, rows).item() == pytest.approx(0.5)
    shares = Targets(rows, rows, torch.ones(3))
    assert shared_accuracy(logits, shares).item() == pytest.approx(0.5)


def test_the_rate_ramps_up_and_falls_as_a_cosine() -> None:
    network = build_model("mlp", Shape(1, 8, 8, 10))
    module = Classifier(network, Recipe(warmup=0.1, lr=1.0), 100)
    rates = [module.rate_at(step) for step in range(101)]
    assert rates[:10] == pytest.approx([(k + 1) / 11 for k in range(10)])
    assert rates[10] == 1.0 and rates[100] == pytest.approx(0.0)
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    constant = Classifier(network, Recipe(schedule="constant", warmup=0), 100)
    assert {constant.rate_at(step) for step in range(100)} == {1.0}


def test_statistics_of_batch_norm_become_those_of_clean_images() -> None:
    data, recipe = open_data("digits"), Recipe(norm="batch", batch_size=2048)
    network = build_model("cnn", Shape(1, 8, 8, 10), norm="batch")
    reestimate(network, data, recipe, num_workers=0)
    _, clean = policies(recipe, data)
    normalize: Any = clean.operations[-1]
    source: Any = data.train
    all_images = source.images[source.rows(np.arange(len(source)))].astype(np.float32)
    images = torch.from_numpy(all_images).permute(0, 3, 1, 2)
    images = images / 255 if source.images.dtype == np.uint8 else images
    images = (images - normalize.mean[0]) / normalize.std[0]
    first: Any = network.features[0]  # type: ignore[index]
    norm: Any = network.features[1]  # type: ignore[index]
    maps = first(images)
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert not network.training


@pytest.mark.parametrize("settings", [{"dropout": 1.0}, {"norm": "weight"}, {"epochs": 0},
                                      {"nonsense": 1}, {"policy": "hflop"}])  # fmt: skip
def test_a_wrong_setting_is_named(settings: Any) -> None:
    with pytest.raises(
        AugfeedError, match="hflop" if "policy" in settings else next(iter(settings))
    ):
        Recipe().with_(**settings)
