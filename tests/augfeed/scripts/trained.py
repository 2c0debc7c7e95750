"""A Lightning run that writes down what every rank was given, as JSON into a folder."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning
import torch

from augfeed import DataLoader
from tests.augfeed.scripts import leave
from tests.augfeed.scripts.ranks import data_of

POLICY = "hflip | gaussian_noise(0.1) | normalize(0.5, 0.25)"


def train_loader(lane: str, policy: str = POLICY, **options: Any) -> "DataLoader[Any]":
    """Return the loader of the run."""
    given = {"shuffle": True, "seed": 3, "num_workers": 1, **options}
    return DataLoader(data_of(lane), 16, policy=policy, **given)


class Run(lightning.LightningModule):
    """Writes down a number for every image that it is given."""

    def __init__(self, lane: str, *, hook: bool = False, stop: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(192, 5)
        self.lane, self.hook, self.stop = lane, hook, stop
        self.seen: list[list[float]] = []

    def train_dataloader(self) -> Any:
        """Return the loader, where it is not passed to `fit`."""
        assert self.hook
        return train_loader(self.lane)

    def training_step(self, batch: Any, step: int) -> torch.Tensor:
        """Train, and write down."""
        images, labels = batch
        assert images.dtype == torch.float32
        while len(self.seen) <= self.current_epoch:
            self.seen.append([])
        self.seen[self.current_epoch] += images.double().sum(dim=(1, 2, 3)).tolist()
        return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)

    def on_train_batch_end(self, outputs: Any, batch: Any, step: int) -> None:
        """Save a checkpoint in mid-epoch, and stop there."""
        if self.stop is not None and self.current_epoch == 1 and step == self.stop:
            self.trainer.save_checkpoint(Path(self.trainer.default_root_dir) / "mid.ckpt")
            self.trainer.should_stop = True

    def validation_step(self, batch: Any, step: int) -> None:
        """Look at the batch."""
        assert batch[0].dtype == torch.float32

    def predict_step(self, batch: Any, step: int) -> torch.Tensor:
        """Return the images' numbers."""
        numbers: torch.Tensor = batch[0].double().sum(dim=(1, 2, 3))
        return numbers

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the plainest."""
        return torch.optim.SGD(self.parameters(), 0.01)


def trainer(folder: str, devices: int = 1, epochs: int = 2) -> lightning.Trainer:
    """Return a trainer that prints nothing."""
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=devices, logger=False,
        strategy="ddp" if devices > 1 else "auto", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip


def main() -> None:
    """Train on two ranks."""
    lane, way, folder = sys.argv[1:]
    module = Run(lane, hook=way == "hook")
    run = trainer(folder, 2)
    validation: DataLoader[Any] = DataLoader(data_of(lane), 32, policy="normalize(0.5, 0.25)")
    run.fit(module, None if module.hook else train_loader(lane), validation)
    Path(folder, f"{module.global_rank}.json").write_text(json.dumps(module.seen))
    leave()
