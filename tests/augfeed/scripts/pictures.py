"""Small pictures for the scripts that tests launch: each sample's label is its number."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset

from augfeed import DataLoader

ROOT = Path(__file__).resolve().parents[3]
COUNT, SIDE = 45, 6
PIXELS = np.random.default_rng(6).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
PLAIN = "random_crop(6, padding=2) | hflip | gaussian_noise(0.1)"  # labels stay: they name samples
MIXED = f"{PLAIN} | mixup(0.4)"
LANES = ("native", "general")


class Pairs(Dataset[Any]):
    """Pictures and labels of a class that is not recognised, so of the general lane."""

    def __init__(self, count: int = COUNT) -> None:
        self.count, self.classes = count, list(range(COUNT))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return torch.from_numpy(PIXELS[index]), index


def data_of(lane: str, count: int = COUNT) -> Any:
    """The same samples, for a lane."""
    if lane == "general":
        return Pairs(count)
    return TensorDataset(torch.from_numpy(PIXELS[:count]), torch.arange(count))


def loader_of(lane: str, batch_size: int = 8, policy: Any = PLAIN, **options: Any) -> Any:
    """A loader that takes a lane, shuffled and with a seed unless told otherwise."""
    options = {"shuffle": True, "seed": 1, "num_classes": COUNT, **options}
    count = options.pop("count", COUNT)
    made: Any = DataLoader(data_of(lane, count), batch_size, policy=policy, **options)
    assert made.lane == (lane if policy is not None else "torch")
    return made


def digest(*tensors: torch.Tensor) -> str:
    """What names the values of some tensors."""
    parts = b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)
    return hashlib.md5(parts).hexdigest()[:12]


def digests(batches: Iterable[Any]) -> list[str]:
    """One digest a batch, of pictures and targets."""
    return [digest(images, targets) for images, targets in batches]


def named(batch: Any) -> list[tuple[int, str]]:
    """The number and the digest of each sample of a batch that does not mix."""
    images, labels = batch
    return [
        (int(label), digest(image)) for image, label in zip(images, labels.tolist(), strict=True)
    ]


def listed(loader: Any) -> list[tuple[int, str]]:
    """The numbers and digests of a pass."""
    return [pair for batch in loader for pair in named(batch)]


def keep(told: Any, folder: str, rank: int = 0) -> None:
    """Leave for the test what a process found."""
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(told), "utf-8")


def environment(**more: str) -> dict[str, str]:
    """The environment of a script: it finds the package, and no trace of another launcher."""
    launched = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    kept = {key: value for key, value in os.environ.items() if key not in launched}
    path = os.pathsep.join([str(ROOT / "pipelines"), str(ROOT)])
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def launched(script: str, *arguments: str, world: int = 1) -> list[Any]:
    """What each of `world` processes of a script kept; a script is given a folder first."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"tests.augfeed.scripts.{script}", folder, *arguments]
        running = [
            subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=environment(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank),
                                MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
                if world > 1 else environment(),
            )
            for rank in range(world)
        ]  # fmt: skip
        try:
            said = [process.communicate(timeout=120)[0] for process in running]
        finally:
            for process in running:
                process.kill()
        codes = [process.returncode for process in running]
        assert not any(codes), "\n".join(said)
        files = sorted(Path(folder).glob("rank*.json"))
        return [json.loads(file.read_text("utf-8")) for file in files]
