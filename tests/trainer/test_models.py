"""Networks: each norm over its axes, dropout by its definition, weights as a function of a seed."""

from typing import Any

import pytest
import torch
from torch import nn

from augfeed.errors import InputError
from augfeed_trainer.models import MODELS, DropoutRates, Shape, build_model, decayed
from augfeed_trainer.models.norms import NORMS, norm_1d, norm_2d
from augfeed_trainer.models.stochastic_depth import StochasticDepth, depths
from augfeed_trainer.randomness import keyed

SHAPE = Shape(3, 28, 28, 10)
AXES = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3)}


def normalised(maps: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    mean = maps.mean(axes, keepdim=True)
    variance = ((maps - mean) ** 2).mean(axes, keepdim=True)
    return (maps - mean) / torch.sqrt(variance + 1e-5)


@pytest.mark.parametrize("norm", AXES)
def test_a_norm_takes_mean_and_variance_over_its_axes(norm: Any) -> None:
    maps = torch.randn(4, 6, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = norm_2d(norm, 6).double().train()
    torch.testing.assert_close(made(maps), normalised(maps, AXES[norm]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (16, 8), (6, 3), (48, 24), (3, 1)])
def test_group_norm_is_over_groups_of_channels(channels: int, groups: int) -> None:
    maps = torch.randn(2, channels, 4, 3, dtype=torch.float64)
    parts = maps.view(2, groups, channels // groups, 4, 3)
    expected = normalised(parts, (2, 3, 4)).view_as(maps)
    torch.testing.assert_close(norm_2d("group", channels).double()(maps), expected)


def test_norms_of_vectors() -> None:
    vectors = torch.randn(9, 8, dtype=torch.float64)
    made = norm_1d("batch", 8).double()(vectors)
    torch.testing.assert_close(made, normalised(vectors, (0,)))
    torch.testing.assert_close(norm_1d("layer", 8).double()(vectors), normalised(vectors, (1,)))
    with pytest.raises(InputError, match="'instance' normalizes over pixels"):
        norm_1d("instance", 8)
    with pytest.raises(InputError, match="norm='weight' is unknown"):
        norm_2d("weight", 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer", "none"])
@pytest.mark.parametrize("model", MODELS)
def test_every_network_takes_every_norm_and_learns(model: str, norm: Any) -> None:
    shape = Shape(3, 64, 64, 7) if model in ("resnet10", "resnet18") else Shape(1, 28, 28, 7)
    if (model, norm) == ("mlp", "instance"):
        return
    network = build_model(model, shape, norm=norm, dropout=DropoutRates(0.1, 0.1, 0.1)).train()
    images = torch.randn(4, shape.channels, shape.height, shape.width)
    logits = network(images)
    assert logits.shape == (4, 7)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    kinds = [module for module in network.modules() if isinstance(module, NORMS)]
    assert bool(kinds) is (norm != "none")


@pytest.mark.parametrize("make", [lambda p: nn.Dropout(p), lambda p: nn.Dropout2d(p),
                                  StochasticDepth])  # fmt: skip
def test_dropout_keeps_the_mean_drops_whole_units_and_is_off_in_evaluation(make: Any) -> None:
    layer, maps = make(0.25), torch.ones(4000, 3, 2, 2)
    with keyed(0, 0, "dropout"):
        out = layer.train()(maps)
    assert sorted(out.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)
    units = {nn.Dropout: out.flatten(), nn.Dropout2d: out.flatten(0, 1).flatten(1),
             StochasticDepth: out.flatten(1)}[type(layer)]  # fmt: skip
    if units.ndim == 2:
        assert ((units == 0).all(1) | (units > 0).all(1)).all()
    assert (units.reshape(len(units), -1)[:, 0] == 0).float().mean().item() == pytest.approx(
        0.25, abs=0.03
    )
    assert torch.equal(layer.eval()(maps), maps)


def test_depths_rise_to_the_last_block() -> None:
    assert depths(0.4, 4) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    network = build_model("resnet", SHAPE, dropout=DropoutRates(depth=0.3))
    found = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert found == pytest.approx([0.1, 0.2, 0.3])


def test_weights_are_a_function_of_the_seed_and_no_generator_is_touched() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build_model("cnn", SHAPE, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(before, torch.random.get_rng_state())


def test_penalties_spare_biases_and_norms() -> None:
    network = build_model("resnet", SHAPE, norm="group")
    chosen = {id(parameter) for parameter in decayed(network)}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            spared = isinstance(module, NORMS) or name == "bias"
            assert (id(parameter) in chosen) is not spared


def tiny(channels: int, num_classes: int) -> nn.Module:
    """A network by import path."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 784, num_classes))


def no_module(classes: int) -> int:
    """What is not a network."""
    return classes


def test_any_module_by_its_import_path() -> None:
    made = build_model("tests.trainer.test_models:tiny", SHAPE)
    assert made(torch.zeros(2, 3, 28, 28)).shape == (2, 10)
    for name, said in (("nothing", "is unknown"), ("no.such:thing", "cannot be imported"),
                       ("tests.trainer.test_models:absent", "cannot be imported"),
                       ("tests.trainer.test_models:no_module", "made a int")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            build_model(name, SHAPE)
