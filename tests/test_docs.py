"""What the pages tell people to write runs."""

import inspect
import io
import re
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, RandomSampler, default_collate

from augfeed import DataLoader
from augfeed.ops.generate import outputs

ROOT = Path(__file__).parents[1]
MIGRATION = ROOT / "docs" / "migration.md"
OURS = re.findall(r"```python\n(# ours.*?)```", MIGRATION.read_text(), re.DOTALL)
BLOCK = re.compile(r"(<!-- not run: [^>]*-->\n)?```python\n(.*?)```", re.DOTALL)
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page != MIGRATION),
]


class Pairs(Dataset[Any]):
    """80 images of 10 classes, as a script's own dataset."""

    def __len__(self) -> int:
        return 80

    def __getitem__(self, i: int) -> Any:
        return Image.fromarray(np.full((40, 44, 3), i, np.uint8)), i % 10


def collate(samples: list[Any]) -> Any:
    return default_collate([(np.array(image), label) for image, label in samples])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages speak of: `photos` and `shards`."""
    noise = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 8)):
        for k in range(count):
            place = tmp_path / "photos" / part / ("ab", "cd")[k % 2]
            place.mkdir(parents=True, exist_ok=True)
            pixels = noise.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{k}.jpg")
    (tmp_path / "shards").mkdir()
    files = sorted((tmp_path / "photos" / "train").rglob("*.jpg"))
    for number in range(2):
        with tarfile.open(tmp_path / "shards" / f"train-{number:06}.tar", "w") as shard:
            for k, file in enumerate(files[number::2]):
                for ending, data in (("jpg", file.read_bytes()), ("cls", b"%d" % (k % 2))):
                    member = tarfile.TarInfo(f"{k:03}.{ending}")
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_page_of_operations_is_what_the_operations_say() -> None:
    page = ROOT / "docs" / "reference" / "operations.md"
    assert page.read_text() == outputs()[page], "run: python -m augfeed.ops.generate"
    headings = re.findall(r"^## (.*)", page.read_text(), re.MULTILINE)
    assert len(headings) == len({*headings})  # a family stands together


def blocks_of(page: Path) -> list[str]:
    return [code for skipped, code in BLOCK.findall(page.read_text()) if not skipped]


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create",
    "ignore:.*treespec.*:FutureWarning",  # Lightning's own use
    "ignore:.*does not have many workers",
)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_a_page_run_one_after_the_other(
    page: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": page.stem}
    for code in blocks_of(page):
        exec(compile(code, str(page), "exec"), names)


@pytest.fixture
def names(folder: Path) -> dict[str, Any]:
    data = Pairs()
    inner = SimpleNamespace(dataset=data, batch_size=8, sampler=RandomSampler(data), num_workers=0,
                            collate_fn=collate, drop_last=True)  # fmt: skip
    loader: DataLoader[Any] = DataLoader(data, 8, policy="hflip", num_classes=10)
    return {"dataset": data, "torch": torch, "DataLoader": DataLoader, "loader": loader,
            "loader_train": SimpleNamespace(loader=inner)}  # fmt: skip


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("number", range(len(OURS)))
def test_our_lines_of_the_migration_run(number: int, names: dict[str, Any]) -> None:
    exec(OURS[number], names)
    loader = getattr(names["loader_train"], "loader", None)
    loader = loader if isinstance(loader, DataLoader) else names["loader"]
    images, _ = next(iter(loader))
    assert images.shape[1] == 3


def test_every_section_of_the_migration_has_its_lines() -> None:
    assert len(OURS) == 7
    for name in ("torch", "torchvision v2", "timm", "Kornia", "DALI", "FFCV"):
        assert f"\n## {name}\n" in MIGRATION.read_text()


def test_the_loader_documents_each_of_its_arguments() -> None:
    text = inspect.getdoc(DataLoader) or ""
    section = text.split("Args:\n")[1].split("\nRaises:")[0]
    listed = re.findall(r"^    (\w+): ", section, re.MULTILINE)
    assert listed == list(inspect.signature(DataLoader.__init__).parameters)[1:]
