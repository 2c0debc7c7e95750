"""What the workers of Ray Train run in the tests: also the example of `docs/how-to/ray.md`."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from augfeed import DataLoader
from augfeed.ray import Actors, RayLoader
from tests.augfeed.ray.clusters import BATCH, DATA

POLICY = "random_crop(8, padding=1) | hflip | normalize(0.5, 0.25)"
EPOCHS = 2


def loader_of(kind: str) -> Any:
    if kind == "ray":
        few = Actors(least=1, most=1, num_cpus=0.1)
        return RayLoader(DATA, BATCH, True, policy=POLICY, seed=3, actors=few)
    return DataLoader(DATA, BATCH, True, policy=POLICY, seed=3)


def train(config: dict[str, Any]) -> None:
    """Train for two epochs, with a checkpoint every second step; `die` ends rank 1 once."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    loader, first = loader_of(config["loader"]), 0
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            held = torch.load(Path(folder) / "all.pt")
        plain.load_state_dict(held["model"])
        loader.load_state_dict(held["loader"])
        first = held["loader"]["epoch"]
    model: Any = ray.train.torch.prepare_model(plain)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    rank, steps, resumed = ray.train.get_context().get_world_rank(), 0, checkpoint is not None
    for _ in range(first, EPOCHS):
        for images, labels in loader:
            loss: Any = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            if config.get("die") == steps and rank == 1 and not resumed:
                os.kill(os.getpid(), signal.SIGKILL)
            if steps % 2 == 0:
                _report(rank, plain, loader)
    _report(rank, plain, loader)


def _report(rank: int, model: torch.nn.Module, loader: Any) -> None:
    held = {"model": model.state_dict(), "loader": loader.state_dict()}
    if rank:
        ray.train.report({})
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(held, Path(folder) / "all.pt")
        ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))
