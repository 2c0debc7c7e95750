"""The reference networks, and any other one by its import path."""

import inspect
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import nn

from augfeed.errors import InputError
from augfeed_trainer.models.networks import CNN, MLP, DropoutRates, ResNet, Shape
from augfeed_trainer.models.norms import NORMS, Norm
from augfeed_trainer.randomness import keyed

NO_DROPOUT = DropoutRates()
MODELS: dict[str, Any] = {
    "mlp": MLP,
    "cnn": CNN,
    "resnet": ResNet,
    "resnet10": partial(ResNet, blocks=(1, 1, 1, 1), width=16, stem="large"),
    "resnet18": partial(ResNet, blocks=(2, 2, 2, 2), width=64, stem="large"),
}


def build_model(
    name: str,
    shape: Shape,
    *,
    norm: Norm = "none",
    dropout: DropoutRates = NO_DROPOUT,
    seed: int = 0,
) -> nn.Module:
    """Return a network, its weights a function of `seed`.

    `name` is one of "mlp", "cnn", "resnet", "resnet10", "resnet18", or `package.module:callable`,
    which is called with those of `shape`, `norm`, `dropout`, `channels`, `classes` and
    `num_classes` that it has as parameters. Raises `InputError`.
    """
    make = MODELS[name] if name in MODELS else _imported(name)
    given: dict[str, Any] = {"shape": shape, "norm": norm, "dropout": dropout}
    if name not in MODELS:
        given |= {
            "channels": shape.channels, "classes": shape.classes, "num_classes": shape.classes
        }  # fmt: skip
        known = inspect.signature(make).parameters
        given = {key: value for key, value in given.items() if key in known}
    with keyed(seed, 0, "weights"):
        model = make(**given)
    if not isinstance(model, nn.Module):
        raise InputError(f"model={name!r} made a {type(model).__name__}: name what makes a Module")
    # Convolutions take half the time on images whose channels lie last in memory.
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _imported(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise InputError(
            f"model={name!r} is unknown: use one of {[*MODELS]}, or 'package.module:callable'"
        )
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"model={name!r} cannot be imported ({error}): check that the module is on the path"
        ) from error


def decayed(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that a penalty or noise is for: not biases, not those of norms."""
    spared = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, NORMS)
        for parameter in module.parameters(recurse=False)
    }
    return [
        parameter for parameter in model.parameters()
        if parameter.ndim > 1 and id(parameter) not in spared and parameter.requires_grad
    ]  # fmt: skip


def parameters_of(model: nn.Module) -> int:
    """Return the number of learned values."""
    return sum(parameter.numel() for parameter in model.parameters())


__all__ = [
    "CNN",
    "MLP",
    "MODELS",
    "DropoutRates",
    "Norm",
    "ResNet",
    "Shape",
    "build_model",
    "decayed",
    "parameters_of",
]
