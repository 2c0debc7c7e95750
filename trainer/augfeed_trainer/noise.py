"""Noise on weights: gradients are taken at noisy weights and applied to the exact clean ones."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from augfeed_trainer.models import decayed
from augfeed_trainer.randomness import generator
from augfeed_trainer.recipe import WeightNoise

USE = "weight noise"


class NoisyWeights:
    """Adds noise to the weights of a model, and takes it off again to the last bit.

    Biases and the scales and shifts of norms stay as they are.
    """

    def __init__(self, model: nn.Module, noise: WeightNoise, seed: int) -> None:
        self.weights, self.noise, self.seed = decayed(model), noise, seed
        self._clean: list[torch.Tensor] | None = None

    @torch.no_grad()
    def add(self, step: int, rank: int = 0) -> None:
        """Put noise on all weights, a function of seed, step and, if `per_rank`, rank."""
        self.remove()
        self._clean = [weight.detach().clone() for weight in self.weights]
        rank = rank if self.noise.per_rank else 0
        for k, weight in enumerate(self.weights):
            draws = generator(weight.device, self.seed, step, f"{USE} {k}", rank)
            drawn = torch.empty_like(weight).normal_(generator=draws)
            scale = weight.square().mean().sqrt() if self.noise.relative else 1.0
            weight.add_(drawn * (scale * self.noise.std))

    @torch.no_grad()
    def remove(self) -> None:
        """Put the clean weights back, as they were."""
        if self._clean is not None:
            for weight, clean in zip(self.weights, self._clean, strict=True):
                weight.copy_(clean)
            self._clean = None


class WeightNoiseCallback(Callback):
    """Has each batch of training see weights with noise of its own, and nothing else see any.

    Weights are clean again after the backward pass: when the optimizer steps, in validation, in
    checkpoints, and when training ends, by an error too.
    """

    def __init__(self, noise: WeightNoise, seed: int) -> None:
        self.noise, self.seed = noise, seed
        self._noisy: NoisyWeights | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the weights, on the device that they are trained on."""
        self._noisy = NoisyWeights(pl_module, self.noise, self.seed)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Put noise on."""
        if self._noisy is not None:
            self._noisy.add(_batches(trainer), trainer.global_rank)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take it off: the gradient is there."""
        if self._noisy is not None:
            self._noisy.remove()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave clean weights behind."""
        if self._noisy is not None:
            self._noisy.remove()


def _batches(trainer: Trainer) -> int:
    # All batches before this one; a step may take several.
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


__all__ = ["NoisyWeights", "WeightNoise", "WeightNoiseCallback"]
