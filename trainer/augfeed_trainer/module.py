"""What is trained: a network, its loss with penalties, and metrics that know soft targets."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import MeanMetric

from augfeed import Targets, soft_cross_entropy
from augfeed.targets import target_entropy
from augfeed_trainer.models import decayed
from augfeed_trainer.penalty import decay_at_steps, penalty
from augfeed_trainer.randomness import keyed
from augfeed_trainer.recipe import Recipe


class Classifier(LightningModule):
    """A network under a recipe; batches are `(images, targets)` as `augfeed.DataLoader` gives them.

    Label smoothing is that of the targets, applied once. Dropout draws are a function of seed and
    batch number.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, steps: int) -> None:
        """Take the network and the number of steps of the whole run, for the schedule."""
        super().__init__()
        self.network, self.recipe, self.steps = network, recipe, max(1, steps)
        self._weights = decayed(network)
        names = ("train/loss", "train/excess", "train/accuracy")
        self.learned = nn.ModuleDict({_key(name): MeanMetric() for name in names})
        held = ("validation/loss", "validation/accuracy")
        self.validated = nn.ModuleDict({_key(name): MeanMetric() for name in held})
        self._names = (names, held)
        self._loss = torch.zeros(())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `[N, K]`."""
        logits: torch.Tensor = self.network(images)
        return logits

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Return the loss: soft cross-entropy, and the penalties that the recipe asks for."""
        images, targets = batch
        done = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        with keyed(self.recipe.seed, done, "dropout", self.global_rank, self.device):
            logits = self(images)
        loss = soft_cross_entropy(logits, targets)
        count = len(images)
        with torch.no_grad():
            excess = loss - target_entropy(targets)
            values = (loss, excess, shared_accuracy(logits, targets))
            for name, value in zip(self._names[0], values, strict=True):
                self._meter(self.learned, name).update(value.float(), count)
        if self.recipe.l2 or self.recipe.l1:
            loss = loss + penalty(self._weights, self.recipe.l2, self.recipe.l1)
        self._loss = loss.detach()
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self._report(self.learned, self._names[0])

    def means(self) -> dict[str, float]:
        """Return the means of training over the epoch so far."""
        meters = {name: self._meter(self.learned, name) for name in self._names[0]}
        return {name: float(meter.compute()) for name, meter in meters.items()
                if float(meter.weight) > 0}  # fmt: skip

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measure on clean images."""
        images, labels = batch
        logits = self(images)
        values = (F.cross_entropy(logits.float(), labels), (logits.argmax(1) == labels).float())
        for name, value in zip(self._names[1], values, strict=True):
            self._meter(self.validated, name).update(value, 1 if value.ndim else len(images))

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation part."""
        self._report(self.validated, self._names[1])

    def _meter(self, meters: nn.ModuleDict, name: str) -> MeanMetric:
        meter = meters[_key(name)]
        assert isinstance(meter, MeanMetric)
        return meter

    def _report(self, meters: nn.ModuleDict, names: tuple[str, ...]) -> None:
        for name in names:
            meter = self._meter(meters, name)
            bar = name in ("train/accuracy", "validation/accuracy")
            if float(meter.weight) > 0:
                self.log(name, meter.compute(), prog_bar=bar, sync_dist=False)
            meter.reset()

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with decoupled decay, and the schedule of the learning rate."""
        recipe = self.recipe
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adam":
            optimizer = torch.optim.Adam(self.network.parameters(), recipe.lr)
        else:
            optimizer = torch.optim.SGD(
                self.network.parameters(), recipe.lr, momentum=recipe.momentum,
                nesterov=recipe.momentum > 0,
            )  # fmt: skip
        if recipe.weight_decay:
            decay_at_steps(optimizer, self._weights, recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate_at)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step as a share of the largest: a ramp, then a cosine."""
        ramp = round(self.recipe.warmup * self.steps)
        if step < ramp:
            return (step + 1) / (ramp + 1)
        if self.recipe.schedule == "constant":
            return 1.0
        done = (step - ramp) / max(1, self.steps - ramp)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def shared_accuracy(logits: torch.Tensor, targets: Any) -> torch.Tensor:
    """Return the mean share that the class predicted for each sample has in its target.

    For class numbers that is the accuracy. Of an image mixed 7 to 3 the larger part counts 0.7 if
    it is found, the smaller one 0.3. Label smoothing is left out: it is not a share of the image.
    """
    predicted = logits.argmax(dim=1)
    shared: torch.Tensor
    if isinstance(targets, Targets):
        own, other = (_share(part, predicted) for part in (targets.a, targets.b))
        shared = targets.lam * own + (1 - targets.lam) * other
    else:
        shared = _share(targets, predicted)
    return shared.mean()


def _share(labels: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    # What the predicted class of each sample has in class numbers, or in rows of shares.
    if labels.ndim == 1:
        return (predicted == labels).float()
    return labels.gather(1, predicted[:, None])[:, 0]


def _key(name: str) -> str:
    return name.replace("/", "_")
