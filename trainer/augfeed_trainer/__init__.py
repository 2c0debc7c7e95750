"""The reference trainer: every regularizer as a setting, and the study that tells what each is
worth on given data."""

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import Trained, train

__all__ = ["Recipe", "Trained", "train"]
