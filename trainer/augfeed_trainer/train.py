"""A training run: Lightning's loop around a recipe and its data."""

import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import nn
from torch.optim.swa_utils import update_bn

from augfeed.read.sources import Source
from augfeed_trainer.checkpoints import Newest, newest
from augfeed_trainer.data import Data, Served, evaluated, loaders, policies, shape_of
from augfeed_trainer.models import Drops, build_model
from augfeed_trainer.models.norms import check_values
from augfeed_trainer.module import Classifier
from augfeed_trainer.noise import WeightNoiseCallback
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.stopping import BestWeights


@dataclass(frozen=True, slots=True)
class Scores:
    """Loss and accuracy on clean images, and how many there were."""

    loss: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run left: the network with the weights of its best epoch, and how it got there.

    `history` has a row for each epoch: "epoch" from 0, and the metrics that were logged. `train`
    and `validation` are measured at the end, on clean images.
    """

    network: nn.Module
    recipe: Recipe
    train: Scores
    validation: Scores
    history: tuple[dict[str, float], ...]
    best_epoch: int
    stopped: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """How a run is carried out; nothing of it changes its result on one machine.

    `out` is the folder for checkpoints, logs and curves; None writes nothing. `every` is the number
    of steps between checkpoints. `num_workers` threads make batches. `devices` and `nodes` are
    Lightning's. The validation part is measured every `measured` epochs, or each epoch if the
    recipe stops early.
    `served` says which service gives out the batches of training; none makes them here.
    """

    out: Path | None = None
    every: int = 200
    num_workers: int = 2
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    served: Served | None = None
    progress: bool = True
    measured: int = 1


def train(
    recipe: Recipe, data: Data, run: Run = Run(), *, resume: bool = False,
    callbacks: tuple[Callback, ...] = (),
) -> Trained:  # fmt: skip
    """Return what a run of a recipe gives.

    `resume` goes on from the newest checkpoint in the run's folder, exactly: the weights at the end
    are those of a run that was never ended. Raises `InputError` for settings that do not fit the
    data, or if there is nothing to resume.
    """
    processes = run.devices * run.nodes
    network = network_of(recipe, data, processes)
    device = "cuda" if run.accelerator in ("auto", "gpu") and torch.cuda.is_available() else "cpu"
    epochs, validation = loaders(
        recipe, data, num_workers=run.num_workers, device=device, served=run.served,
        processes=processes,
    )  # fmt: skip
    module = Classifier(network, recipe, len(epochs) * recipe.epochs)
    best = BestWeights(recipe.patience, recipe.min_delta, keep=recipe.patience > 0)
    history = History()
    own = [history, *_callbacks(recipe, run), best, *callbacks]
    begun = time.perf_counter()
    checkpoint = newest(run.out) if resume else None
    with _quiet():
        trainer = _trainer(recipe, run, own)
        trainer.fit(module, epochs, validation, ckpt_path=checkpoint, weights_only=False)
    seconds = time.perf_counter() - begun
    network = module.network
    if recipe.reestimate_norm:
        reestimate(network, data, recipe, num_workers=run.num_workers, device=device)
    network.to(device)
    return Trained(
        network, recipe, score(network, data.train, data, recipe, num_workers=run.num_workers),
        score(network, data.validation, data, recipe, num_workers=run.num_workers),
        tuple(history.rows), best.best_epoch if best.best_epoch >= 0 else len(history.rows) - 1,
        trainer.should_stop and len(history.rows) < recipe.epochs, seconds,
    )  # fmt: skip


def network_of(recipe: Recipe, data: Data, processes: int = 1) -> nn.Module:
    """Return the network of a recipe as training begins with it; raise `InputError` where it does
    not fit the data."""
    shape = shape_of(policies(recipe, data)[0], data)
    drops = Drops(recipe.dropout, recipe.channel_dropout, recipe.stochastic_depth)
    network = build_model(recipe.model, shape, norm=recipe.norm, drops=drops, seed=recipe.seed)
    each = min(recipe.batch_size, -(-len(data.train) // processes))
    check_values(network, (shape.channels, shape.height, shape.width), each)
    return network


def _callbacks(recipe: Recipe, run: Run) -> list[Callback]:
    found: list[Callback] = []
    if recipe.weight_noise is not None:
        found.append(WeightNoiseCallback(recipe.weight_noise, recipe.seed))
    if recipe.ema is not None:
        found.append(EMAWeightAveraging(decay=recipe.ema))
    if run.out is not None:
        found.append(Newest(run.out, run.every))
    return found


def _trainer(recipe: Recipe, run: Run, callbacks: list[Callback]) -> Trainer:
    logs: list[Logger] = []
    if run.out is not None:
        version = _unused(run.out / "logs")  # a resumed run leaves the logs before
        logs.append(CSVLogger(run.out / "logs", name="", version=version))
        with suppress(ModuleNotFoundError):  # TensorBoard is not installed
            logs.append(TensorBoardLogger(run.out / "tensorboard", name="", version=version))
    return Trainer(
        max_epochs=recipe.epochs, accelerator=run.accelerator, devices=run.devices,
        num_nodes=run.nodes, precision=recipe.precision, callbacks=callbacks, logger=logs or False,
        enable_checkpointing=run.out is not None, enable_progress_bar=run.progress,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=10,
        default_root_dir=run.out,
        check_val_every_n_epoch=1 if recipe.patience else max(1, min(run.measured, recipe.epochs)),
    )  # fmt: skip


def _unused(folder: Path) -> str:
    return f"part-{len(list(folder.glob('part-*'))) if folder.is_dir() else 0}"


class History(Callback):
    """Keeps the metrics of every epoch; a resumed run has those before, too."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what was logged."""
        # Lightning keeps the metrics of the last validation; where there was none now, none are.
        every = trainer.check_val_every_n_epoch or 1
        measured = (trainer.current_epoch + 1) % every == 0
        names = trainer.callback_metrics.items() if measured else ()
        held = {name: float(value) for name, value in names if not name.startswith("train/")}
        row = {"epoch": float(trainer.current_epoch)} | held
        # Lightning asks the module to log those of training after this.
        assert isinstance(pl_module, Classifier)
        self.rows.append(row | pl_module.means())

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take rows back."""
        self.rows = list(state_dict["rows"])


@torch.no_grad()
def score(
    network: nn.Module, source: Source, data: Data, recipe: Recipe, *, num_workers: int = 2
) -> Scores:
    """Return loss and accuracy of a network on a part of its data, clean."""
    device = next(network.parameters()).device
    network.eval()
    loss = right = count = 0.0
    clean = policies(recipe, data)[1]
    for images, labels in evaluated(source, clean, recipe, num_workers=num_workers, device=device):
        logits = network(images).float()
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += float((logits.argmax(1) == labels).sum())
        count += len(images)
    return Scores(loss / count, right / count, int(count))


def reestimate(
    network: nn.Module, data: Data, recipe: Recipe, *, num_workers: int = 2, device: Any = "cpu"
) -> None:
    """Replace the running statistics of batch norm by those of the clean training part.

    Augmented images have others than the clean ones that follow (1912.00741). Each batch counts
    the same, as in `torch.optim.swa_utils.update_bn`, which does it.
    """
    clean = policies(recipe, data)[1]
    loader = evaluated(data.train, clean, recipe, num_workers=num_workers, device=device)
    network.to(device)
    update_bn((images for images, _ in loader), network, device=torch.device(device))
    network.eval()


class _quiet(warnings.catch_warnings):
    """Keeps back what Lightning reports loaders that are not torch's, and of short epochs."""

    def __enter__(self) -> Any:
        held = super().__enter__()
        for text in (".*does not have many workers.*", ".*smaller than the logging interval.*",
                     ".*is not supported.*sampler.*", ".*Checkpoint directory .* exists.*",
                     ".*GPU available but not used.*", ".*tensorboardX.*",
                     ".*persistent_workers.*"):  # fmt: skip
            warnings.filterwarnings("ignore", text)
        warnings.filterwarnings("ignore", ".*treespec.*", FutureWarning)  # Lightning's own use
        return held
