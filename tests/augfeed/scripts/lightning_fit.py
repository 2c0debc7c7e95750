"""Trains with Lightning in every way that concerns a loader, and keeps what each rank was given.

Arguments: a folder, and the number of processes, which Lightning starts.
"""

import sys
import warnings
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.augfeed.scripts.pictures import LANES, MIXED, digest, keep, loader_of, named

warnings.simplefilter("ignore")  # it advises more workers, loggers and the like
FOLDER, DEVICES = sys.argv[1], int(sys.argv[2])


class Watcher(lightning.LightningModule):
    """Keeps the samples it is given, as `{stage: [samples of an epoch]}`."""

    def __init__(self, made: Any = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.told: dict[str, list[Any]] = {"train": [], "validate": [], "predict": []}
        self.made, self.loader = made, ""

    def train_dataloader(self) -> Any:
        return None if self.made is None else self.made()

    def _see(self, stage: str, batch: Any) -> None:
        images, targets = batch
        mixed = targets.ndim == 2
        self.told[stage][-1].append(digest(images, targets) if mixed else named(batch))

    def on_train_epoch_start(self) -> None:
        self.told["train"].append([])
        used = self.trainer.train_dataloader
        self.loader = f"{used.lane} {type(used.sampler).__name__}"

    def on_validation_epoch_start(self) -> None:
        self.told["validate"].append([])

    def on_predict_epoch_start(self) -> None:
        self.told["predict"].append([])

    def training_step(self, batch: Any, index: int) -> Any:
        self._see("train", batch)
        return self.layer(batch[0].mean().reshape(1, 1)).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self._see("validate", batch)

    def predict_step(self, batch: Any, index: int) -> Any:
        self._see("predict", batch)
        return batch[1]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def trainer(epochs: int, *callbacks: Any) -> lightning.Trainer:
    """A trainer that keeps quiet."""
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=DEVICES, logger=False,
        strategy="ddp" if DEVICES > 1 else "auto", callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks), enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


def fitted(lane: str, *, hook: bool) -> dict[str, Any]:
    """Two epochs with validation, by a loader given to `fit` or made by the module's hook."""

    def made() -> Any:
        return loader_of(lane, num_workers=1)

    module = Watcher(made if hook else None)
    still = loader_of(lane, policy="normalize(0.5, 0.5)", shuffle=False)
    trainer(2).fit(module, None if hook else made(), still)
    return {**module.told, "loader": module.loader}


def predicted(lane: str) -> list[Any]:
    """What is given out for prediction."""
    module = Watcher()
    trainer(1).predict(module, loader_of(lane, policy="normalize(0.5, 0.5)", shuffle=False))
    return module.told["predict"]


def resumed(lane: str) -> dict[str, Any]:
    """Two epochs with a checkpoint after 2 batches of the second, and what follows from it."""
    folder = f"{FOLDER}/{lane}"
    first, again = Watcher(), Watcher()
    batches = len(loader_of(lane, policy=MIXED)) // DEVICES + (DEVICES > 1)
    saving = ModelCheckpoint(folder, "{step}", every_n_train_steps=batches + 2, save_top_k=-1)
    trainer(2, saving).fit(first, loader_of(lane, policy=MIXED, num_workers=1))
    path = f"{folder}/step={batches + 2}.ckpt"
    trainer(3).fit(again, loader_of(lane, policy=MIXED), ckpt_path=path)
    return {"whole": first.told["train"], "rest": again.told["train"]}


def main() -> None:
    """Keep all of it."""
    told: dict[str, Any] = {}
    for lane in LANES:
        told[f"{lane} fit"] = fitted(lane, hook=False)
        told[f"{lane} hook"] = fitted(lane, hook=True)
        told[f"{lane} predict"] = predicted(lane)
        told[f"{lane} resume"] = resumed(lane)
    keep(told, FOLDER, torch.distributed.get_rank() if DEVICES > 1 else 0)


if __name__ == "__main__":
    main()
