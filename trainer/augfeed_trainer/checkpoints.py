"""Checkpoints that a killed run goes on from: always one that is whole."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from augfeed.errors import InputError

FOLDER = "checkpoints"


class Newest(Checkpoint):
    """Keeps the newest checkpoint: every `every` steps, and after each epoch with its validation.

    One takes its name when it is written whole, and only then does the one before go.
    """

    def __init__(self, folder: Path, every: int) -> None:
        """Write nothing yet."""
        self.folder, self.every = folder / FOLDER, every
        self._saved = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save; after the last batch of an epoch the validation comes first."""
        step = trainer.global_step
        if step % self.every == 0 and step != self._saved and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the epoch left."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        self._saved = trainer.global_step
        path = self.folder / f"{self._saved:09d}.ckpt"
        part = path.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(path)
            for other in self.folder.glob("*.ckpt"):
                if other != path:
                    other.unlink()


def newest(folder: Path | None) -> Path:
    """Return the newest whole checkpoint of a run's folder; raise `InputError` without one."""
    if folder is not None:
        for path in sorted((folder / FOLDER).glob("*.ckpt"), reverse=True):
            try:
                torch.load(path, map_location="cpu", weights_only=False)
            except Exception:  # damaged, by whatever
                continue
            return path
    raise InputError(f"folder={str(folder)!r} has no checkpoint to resume from: train again")
