"""Trains the small networks on shapes, with batches of `augfeed.DataLoader`."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchmetrics.classification import MulticlassJaccardIndex

from augfeed import DataLoader, soft_cross_entropy
from augfeed.errors import InputError
from augfeed.fields.annotated import FieldTargets
from augfeed.policy import Normalize, Policy
from augfeed.replaced_file import replaced, write_text
from augfeed_trainer.randomness import keyed
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.shapes.detection import (
    boxes_of,
    center_loss,
    center_maps,
    evaluation_library,
    mean_average_precision,
)
from augfeed_trainer.shapes.images import CLASSES, Shapes, Task
from augfeed_trainer.shapes.networks import CenterNet, UNet

# Settings of a recipe that mean something here.
USED = ("policy", "mixup", "cutmix", "cutout", "input_noise", "weight_decay", "epochs",
        "batch_size", "lr", "warmup", "seed")  # fmt: skip
TRAINING, VALIDATION, SIZE = 512, 128, 64
# Where the recipe has its defaults, which are for classification.
BATCH, RATE = 16, 0.004
EPOCHS: dict[Task, int] = {"segment": 30, "detect": 24}
POLICY = f"random_resized_crop({SIZE}, (0.5, 1.0)) | hflip | rotate(15) | jitter(0.3, 0.3, 0.3)"
TITLES = {"segment": "mIoU", "detect": "mAP"}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run came to: `score` is mIoU or mAP of the validation part, `chance` that of an
    answer which knows nothing; `losses` are the means of the epochs."""

    task: Task
    score: float
    chance: float
    losses: tuple[float, ...]
    seconds: float
    network: nn.Module


def train_shapes(
    task: Task, recipe: Recipe, *, num_workers: int = 2, device: str = "cpu",
    counts: tuple[int, int] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Measured:  # fmt: skip
    """Train a network for a task on shapes; raise `InputError` for settings without meaning here.

    `counts` are the numbers of images to train on and to measure on; `tell` is called with a line
    for every epoch.
    """
    check_settings(recipe)
    recipe = settled(recipe, task)
    if task == "detect":
        evaluation_library()
    begun, seed = time.perf_counter(), recipe.seed
    counts = counts or (TRAINING, VALIDATION)
    training = Shapes(counts[0], task, size=SIZE, seed=2 * seed)
    held = Shapes(counts[1], task, size=SIZE, seed=2 * seed + 1)
    with keyed(seed, 0, "weights"):
        made = UNet(len(CLASSES)) if task == "segment" else CenterNet(len(CLASSES) - 1)
    network = made.to(device)
    epochs = recipe.epochs
    loader = DataLoader(
        training, recipe.batch_size, shuffle=True, drop_last=True, num_workers=num_workers,
        seed=seed, device=device, policy=policy_of(recipe),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    steps = max(1, epochs * len(loader))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_share, steps, recipe.warmup))
    losses = []
    for epoch in range(epochs):
        network.train()
        total = torch.zeros(())
        for images, targets in loader:
            loss = _loss(task, network, images, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach().cpu()
        losses.append(float(total) / max(1, len(loader)))
        tell(f"epoch {epoch + 1} of {epochs}: loss {losses[-1]:.4f}")
    score, chance = measure(task, network, held, num_workers=num_workers, device=device)
    return Measured(task, score, chance, tuple(losses), time.perf_counter() - begun, network)


def _share(steps: int, warmup: float, step: int) -> float:
    # Of the learning rate: up in a line, down by half a cosine.
    first = max(1, round(steps * warmup))
    if step < first:
        return (step + 1) / first
    return 0.5 + 0.5 * math.cos(math.pi * (step - first) / max(1, steps - first))


def check_settings(recipe: Recipe) -> None:
    """Raise `InputError` for a setting of classification that has no meaning for shapes."""
    for name, value in recipe.changes().items():
        if name not in USED:
            raise InputError(
                f"{name}={value!r} is for --task classify: for shapes give some of {[*USED]}"
            )


def settled(recipe: Recipe, task: Task) -> Recipe:
    """Return a recipe with epochs, batch size, learning rate and policy for a task where none were
    given: without a policy images are cropped, turned and recolored."""
    usual = {"epochs": EPOCHS[task], "batch_size": BATCH, "lr": RATE, "policy": POLICY}
    given = {name for name in recipe.model_fields_set if getattr(recipe, name) is not None}
    return recipe.with_(**{name: usual[name] for name in usual.keys() - given})


def policy_of(recipe: Recipe) -> Policy:
    """Return the augmentation of a recipe, with a normalization if it has none."""
    made = recipe.augmentation()
    return made if made.find(Normalize) else made.with_(Normalize(0.5, 0.25))


def _loss(task: Task, network: nn.Module, images: torch.Tensor, targets: Any) -> torch.Tensor:
    if task == "segment":
        return soft_cross_entropy(network(images), targets)
    size = (images.shape[2], images.shape[3])
    there = FieldTargets.of(targets, len(images)).to("cpu").value
    heat, sides, right = (part.to(images.device)
                          for part in center_maps(there, len(CLASSES) - 1, size))  # fmt: skip
    return center_loss(network(images), (heat, sides, right))


@torch.no_grad()
def measure(
    task: Task, network: nn.Module, held: Shapes, *, num_workers: int = 2, device: str = "cpu"
) -> tuple[float, float]:
    """Return mIoU or mAP of a network, and that of an answer of background alone, or of no box."""
    network.eval()
    loader = DataLoader(
        held, 32, num_workers=num_workers, device=device, policy=Policy([Normalize(0.5, 0.25)]),
        seed=0,
    )  # fmt: skip
    if task == "segment":
        known = MulticlassJaccardIndex(len(CLASSES), ignore_index=255)
        nothing = MulticlassJaccardIndex(len(CLASSES), ignore_index=255)
        for images, masks in loader:
            known.update(network(images).argmax(1).cpu(), masks.cpu())
            nothing.update(torch.zeros_like(masks).cpu(), masks.cpu())
        return float(known.compute()), float(nothing.compute())
    found, wanted = [], []
    for images, targets in loader:
        there = FieldTargets.of(targets, len(images)).to("cpu").value
        made = network(images)
        found += boxes_of((made[0].cpu(), made[1].cpu()))
        pairs = zip(there["boxes"], there["labels"], strict=True)
        wanted += [{"boxes": boxes, "labels": labels} for boxes, labels in pairs]
    return mean_average_precision(found, wanted, held.size, len(CLASSES) - 1)["map"], 0.0


def save(measured: Measured, recipe: Recipe, out: Path) -> Path:
    """Write the weights, and what they came to, into a folder; return the file of the second."""
    out.mkdir(parents=True, exist_ok=True)
    with replaced(out / "weights.pt") as part:
        torch.save(measured.network.state_dict(), part)
    told = {
        "task": measured.task, TITLES[measured.task]: measured.score, "chance": measured.chance,
        "losses": measured.losses, "seconds": measured.seconds,
        "recipe": settled(recipe, measured.task).model_dump(mode="json"),
    }  # fmt: skip
    path = out / "measured.json"
    write_text(path, json.dumps(told, indent=1) + "\n")
    return path


__all__ = ["Measured", "measure", "save", "train_shapes"]
