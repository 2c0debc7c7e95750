"""Early stopping, with the weights of the best epoch put back at the end."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

MONITOR = "validation/loss"


class BestWeights(EarlyStopping):
    """Stops after `patience` epochs without a gain of `min_delta` (Prechelt, 1998).

    What counts is the loss on the clean validation part. The weights and statistics of the best
    epoch are put back when training ends, stopped or not. `patience=0` never stops, and keeps the
    best all the same if `keep`.
    """

    def __init__(self, patience: int, min_delta: float = 0.0, *, keep: bool = True) -> None:
        super().__init__(
            MONITOR, min_delta=min_delta, patience=patience or 1 << 60, mode="min",
            check_on_train_epoch_end=False,
        )  # fmt: skip
        self.keep, self.best_epoch, self._before = keep, -1, math.inf
        self._best: dict[str, torch.Tensor] | None = None
        self._seen: dict[str, torch.Tensor] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the weights that are measured: averaged ones are in place from here on."""
        if self.keep:
            self._seen = {
                name: value.detach().clone() for name, value in pl_module.state_dict().items()
            }

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide, and keep the weights of a new best epoch."""
        super().on_validation_end(trainer, pl_module)
        if trainer.sanity_checking or not self.keep:
            return
        best = float(self.best_score)
        if best < self._before:
            self._before, self.best_epoch, self._best = best, trainer.current_epoch, self._seen
        self._seen = {}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best weights back."""
        if self._best is not None:
            pl_module.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return the state with the best weights, so that a resumed run still has them."""
        own = {"before": self._before, "best_epoch": self.best_epoch, "best": self._best}
        return {**super().state_dict(), "own": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state back."""
        own = state_dict["own"]
        self._before, self.best_epoch, self._best = own["before"], own["best_epoch"], own["best"]
        super().load_state_dict(state_dict)
