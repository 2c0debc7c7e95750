"""What the workers of Ray Train run with Lightning: also the example of `docs/how-to/ray.md`."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import lightning
import ray.train
import ray.train.lightning
import torch

from tests.augfeed.ray.training import EPOCHS, loader_of


class Model(lightning.LightningModule):
    """A linear one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3 * 8 * 8, 5)

    def training_step(self, batch: Any, step: int) -> Any:
        images, labels = batch
        return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)


class Report(lightning.Callback):
    """Reports a checkpoint every second step, and at the end; Lightning puts the state of the
    loader into it. `die` is the step in which rank 1 ends once."""

    def __init__(self, die: int | None) -> None:
        self.die = die

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, step: int
    ) -> None:
        if self.die == trainer.global_step and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if trainer.global_step % 2 == 0:
            self._report(trainer)

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self._report(trainer)

    def _report(self, trainer: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer.save_checkpoint(Path(folder) / "all.ckpt")  # on all ranks; rank 0 writes
            if trainer.global_rank:
                ray.train.report({})
            else:
                ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def train(config: dict[str, Any]) -> None:
    """Train for two epochs; go on where the newest checkpoint was taken, if there is one."""
    checkpoint = ray.train.get_checkpoint()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices="auto",
        strategy=ray.train.lightning.RayDDPStrategy(),
        plugins=[ray.train.lightning.RayLightningEnvironment()],
        callbacks=[Report(None if checkpoint else config.get("die"))],
        use_distributed_sampler=False,  # shard="auto" of the loader splits epochs over the workers
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer = ray.train.lightning.prepare_trainer(trainer)
    loader = loader_of(config["loader"])
    if checkpoint is None:
        trainer.fit(Model(), loader)
        return
    with checkpoint.as_directory() as folder:
        trainer.fit(Model(), loader, ckpt_path=str(Path(folder) / "all.ckpt"))
