"""The reference trainer: every regularizer as a setting, and the study that says what each is
worth on given data."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import augfeed  # noqa: F401  # first: Lightning imports Rich, which draws from Python's generator

if TYPE_CHECKING:
    from augfeed_trainer.recipe import Recipe as Recipe
    from augfeed_trainer.train import Trained as Trained
    from augfeed_trainer.train import train as train

# Imported on first use: the options of the commands are known without Lightning.
_HOMES = {"Recipe": "augfeed_trainer.recipe", "Trained": "augfeed_trainer.train"}
__all__ = ["Recipe", "Trained", "train"]


class _Package(ModuleType):
    # `train` is the function, also after the module of that name was imported.

    @property
    def train(self) -> Callable[..., Any]:
        made: Callable[..., Any] = import_module("augfeed_trainer.train").train
        return made

    @train.setter
    def train(self, module: ModuleType) -> None:
        """Leave the function where an import would put the module."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'augfeed_trainer' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


sys.modules[__name__].__class__ = _Package
