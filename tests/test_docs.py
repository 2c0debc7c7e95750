"""What the pages tell people to write runs."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, RandomSampler, default_collate

from augfeed import DataLoader

PAGE = Path(__file__).parents[1] / "docs" / "migration.md"
BLOCKS = re.findall(r"```python\n(# ours.*?)```", PAGE.read_text(), re.DOTALL)


class Pairs(Dataset[Any]):
    """80 pictures of 10 classes, as a script's own data set."""

    def __len__(self) -> int:
        return 80

    def __getitem__(self, i: int) -> Any:
        return Image.fromarray(np.full((40, 44, 3), i, np.uint8)), i % 10


def collate(samples: list[Any]) -> Any:
    return default_collate([(np.array(picture), label) for picture, label in samples])


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for k in range(20):
        folder = tmp_path / "photos" / "train" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (k, k, k)).save(folder / f"{k}.jpg")
    monkeypatch.chdir(tmp_path)
    data = Pairs()
    inner = SimpleNamespace(dataset=data, batch_size=8, sampler=RandomSampler(data), num_workers=0,
                            collate_fn=collate, drop_last=True)  # fmt: skip
    loader: DataLoader[Any] = DataLoader(data, 8, policy="hflip", num_classes=10)
    return {"dataset": data, "torch": torch, "DataLoader": DataLoader, "loader": loader,
            "loader_train": SimpleNamespace(loader=inner)}  # fmt: skip


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_our_lines_run(number: int, names: dict[str, Any]) -> None:
    exec(BLOCKS[number], names)
    loader = getattr(names["loader_train"], "loader", None)
    loader = loader if isinstance(loader, DataLoader) else names["loader"]
    images, _ = next(iter(loader))
    assert images.shape[1] == 3


def test_every_section_has_its_lines() -> None:
    assert len(BLOCKS) == 7
    for name in ("torch", "torchvision v2", "timm", "Kornia", "DALI", "FFCV"):
        assert f"\n## {name}\n" in PAGE.read_text()
