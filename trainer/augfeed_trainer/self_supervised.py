"""Training without labels: SimCLR or DINO on views, then what its features are worth."""

import math
import time
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import nn

from augfeed import DataLoader, View, Views
from augfeed.errors import InputError
from augfeed.policy import Normalize, Policy, Resize
from augfeed.presets import dino_global_1, dino_global_2, dino_local, simclr
from augfeed.read.sources import Source
from augfeed_trainer.data import Data, statistics
from augfeed_trainer.models import build_model
from augfeed_trainer.models.networks import Shape
from augfeed_trainer.objectives import DINO, Encoder, Objective, SimCLR
from augfeed_trainer.probes import Labelled, linear_probe, nearest
from augfeed_trainer.randomness import keyed
from augfeed_trainer.recipe import Recipe

LOCALS = 4  # small views of DINO's, of half the side
SMALLEST = 8  # pixels of a side that a view may have


@dataclass(frozen=True, slots=True)
class Probed:
    """Accuracies on the test part: of neighbors, and of a linear classifier."""

    nearest: float
    linear: float


@dataclass(frozen=True, slots=True)
class Pretrained:
    """An encoder, the loss of each epoch, and its probes beside those of the untrained one."""

    encoder: nn.Module
    losses: tuple[float, ...]
    before: Probed
    after: Probed
    seconds: float


def views_of(objective: Objective, size: int, normalize: Normalize) -> Views:
    """Return the views of an objective: two, or DINO's with four small ones of half the side.

    The jitter of SimCLR has the strength 0.5, as the paper has it for small images.
    """
    mean, std = normalize.mean, normalize.std
    if objective == "simclr":
        return Views(View(simclr(size, 0.5, mean, std), 2))
    large = dino_global_1(size, mean, std), dino_global_2(size, mean, std)
    small = dino_local(max(SMALLEST, size // 2), mean, std)
    return Views({"global": large, "local": (small, LOCALS)})


def pretrain(
    objective: Objective, recipe: Recipe, data: Data, *, size: int | None = None,
    num_workers: int = 0, device: Any = "cpu",
) -> Pretrained:  # fmt: skip
    """Return an encoder trained on views of the training part, and its probes on the test part.

    Of the recipe count `model`, `epochs`, `batch_size`, `lr`, `weight_decay` and `seed`; batch
    norm is used where it says "none". `size` is the side of views, that of the images without it
    (64 for files). Raises `InputError`.
    """
    began = time.monotonic()
    side, normalize = _checked(objective, recipe, data, size), statistics(data.train)
    encoder, width = _encoder(recipe, data, side, device)
    with keyed(recipe.seed, 1, "weights"):
        model: SimCLR | DINO = (SimCLR if objective == "simclr" else DINO)(encoder, width)
    model.to(device)
    clean = Policy([Resize((side, side)), normalize])

    def probed() -> Probed:
        parts = [features(encoder, part, clean, device) for part in (data.train, data.test)]
        return Probed(nearest(*parts, classes=data.classes),
                      linear_probe(*parts, classes=data.classes))  # fmt: skip

    before = probed()
    loader = DataLoader(
        data.train, recipe.batch_size, True, drop_last=True, num_workers=num_workers,
        device=device, views=views_of(objective, side, normalize), seed=recipe.seed,
    )  # fmt: skip
    losses = _trained(model, loader, recipe)
    return Pretrained(encoder, losses, before, probed(), time.monotonic() - began)


def _checked(objective: str, recipe: Recipe, data: Data, size: int | None) -> int:
    if objective not in get_args(Objective):
        raise InputError(f"objective={objective!r} is unknown: use one of {get_args(Objective)}")
    if len(data.train) < recipe.batch_size or recipe.batch_size < 2:
        raise InputError(
            f"batch_size={recipe.batch_size!r} is not from 2 to {len(data.train)}, the images of "
            "the training part: a view is found among those of its batch"
        )
    if recipe.policy is not None:
        raise InputError(
            f"policy={recipe.policy!r} does not go with objective={objective!r}, whose views have "
            "their own: leave it out"
        )
    side = size or (min(data.train.sizes) if data.train.sizes else 64)
    if side < SMALLEST:
        raise InputError(f"size={side!r} is below {SMALLEST} pixels: give a larger one")
    return side


def _encoder(recipe: Recipe, data: Data, side: int, device: Any) -> tuple[Encoder, int]:
    shape = Shape(data.train.channels, side, side, data.classes)
    norm = "batch" if recipe.norm == "none" else recipe.norm
    network = build_model(recipe.model, shape, norm=norm, seed=recipe.seed)
    maps = getattr(network, "features", None)
    if not isinstance(maps, nn.Module):
        raise InputError(
            f"model={recipe.model!r} has no features to learn: use 'cnn', 'resnet', 'resnet18', or "
            "a network with a module `features`"
        )
    encoder = Encoder(maps).to(device)
    with torch.no_grad():
        encoder.eval()
        width = encoder(torch.zeros(1, data.train.channels, side, side, device=device)).shape[1]
    return encoder, int(width)


def _trained(model: SimCLR | DINO, loader: Any, recipe: Recipe) -> tuple[float, ...]:
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, recipe.lr, weight_decay=recipe.weight_decay)
    steps, done, losses = recipe.epochs * len(loader), 0, []
    model.train()
    for epoch in range(recipe.epochs):
        loader.set_epoch(epoch)
        total = 0.0
        for batch in loader:
            images = batch[0] if isinstance(batch, list | tuple) else batch
            loss = model(images)
            optimizer.param_groups[0]["lr"] = recipe.lr * _rate(done / steps, recipe.warmup)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            model.after_step(done / steps)
            total += float(loss.detach())
        losses.append(total / len(loader))
    return tuple(losses)


def _rate(progress: float, warmup: float) -> float:
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@torch.no_grad()
def features(encoder: nn.Module, source: Source, policy: Policy, device: Any = "cpu") -> Labelled:
    """Return what an encoder makes of the clean images of a source, and their classes."""
    training = encoder.training
    encoder.eval()
    made, labels = [], []
    for images, targets in DataLoader(source, 256, policy=policy, device=device, seed=0):
        made.append(encoder(images).float().cpu())
        labels.append(targets.cpu())
    encoder.train(training)
    return torch.cat(made), torch.cat(labels)
