"""The benchmark of views: its gate stops those who do other work, and its results are read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from augfeed.bench.result import Machine, Spread
from augfeed.presets import IMAGENET_MEAN, IMAGENET_STD
from benchmarks import bench_views, summary, table
from benchmarks.gate import GateError
from benchmarks.gate_views import ViewsGate
from benchmarks.peer_views import NUMBERS, Batch, Passes
from benchmarks.result import Ratio, Result, Row

PHOTOS, BATCH, SIDE = 128, 32, 24
Change = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NUMBERS, "simclr", {"global": (2, SIDE)})


def views(which: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return two views of each photo, in 0 to 1: rough, jittered, some gray."""
    photos = torch.rand(PHOTOS, 3, 4, 4, generator=torch.Generator().manual_seed(9))[which]
    images = functional.interpolate(photos.repeat(2, 1, 1, 1), (SIDE, SIDE), mode="bilinear")
    images = images + 0.2 * torch.rand(images.shape, generator=generator)
    images = images * (0.4 + 0.8 * torch.rand(len(images), 1, 1, 1, generator=generator))
    gray = torch.rand(len(images), generator=generator) < 0.5
    images[gray] = images[gray].mean(1, keepdim=True)
    return images.clamp(0, 1)


def passes(seed: int, change: Change = lambda images: images, lost: int = 0) -> Passes:
    """Return the passes of a contestant that changes the views, and shuffles the photos."""
    generator = torch.Generator().manual_seed(seed)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))

    def one_pass() -> Iterator[Batch]:
        order = torch.randperm(PHOTOS, generator=generator)
        for which in torch.split(order, BATCH)[lost:]:
            yield {"global": (change(views(which, generator)) - mean) / std}, which

    return one_pass


def checked(other: Passes) -> None:
    gate = ViewsGate("simclr", BATCH, PHOTOS)
    gate.check("augfeed", passes(0))
    gate.check("other", other)


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_same_work_with_other_draws_passes_the_gate(seed: int) -> None:
    checked(passes(seed))


def solarized(images: torch.Tensor) -> torch.Tensor:
    some = images.clone()
    some[::2] = torch.where(some[::2] > 0.5, 1 - some[::2], some[::2])
    return some


OTHER = {
    "detail": lambda images: functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False),
    "mean": lambda images: images * 0.8,
    "deviation": lambda images: (images - 0.5) * 0.8 + 0.5,
    "unlikeness": lambda images: images / images.mean((1, 2, 3), keepdim=True) * 0.4,
    "gray": lambda images: images.mean(1, keepdim=True).expand(-1, 3, -1, -1),
    "dark": solarized,
}


@pytest.mark.parametrize("name", OTHER)
def test_other_work_is_stopped_by_what_it_changes(name: str) -> None:
    with pytest.raises(GateError, match=f"other: {name} of global is"):
        checked(passes(1, OTHER[name]))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (passes(1, lost=1), "not every photo came once"),
        (passes(1, lambda images: images[:BATCH].repeat(2, 1, 1, 1)), "are the same"),
        (passes(1, lambda images: images[:BATCH]), "is not of shape"),
        (passes(1, lambda images: images.double()), "is not finite float32"),
        (passes(1, lambda images: images / 0), "is not finite float32"),
        (lambda: (({}, which) for _, which in passes(1)()), r"gives \[\]"),
    ],
)
def test_what_is_not_a_batch_of_views_is_stopped(other: Passes, words: str) -> None:
    with pytest.raises(GateError, match=words):
        checked(other)


def test_a_pass_that_loses_photos_is_not_timed() -> None:
    with pytest.raises(GateError, match="96 of 128 photos came"):
        bench_views.timed(passes(1, lost=1), PHOTOS)


def test_a_contestant_that_does_not_exist_is_named() -> None:
    with pytest.raises(SystemExit, match="'torchvison'"):
        bench_views.makers("torchvison")


def test_a_result_of_views_is_a_row_of_the_summary_with_its_share_of_decoding(
    tmp_path: Path,
) -> None:
    def row(name: str, seconds: float, work: str) -> Row:
        return Row.model_validate({
            "name": name, "title": name, "work": work, "differs": "", "passes": 1,
            "seconds": (seconds,), "rate": Spread.of([256 / seconds]),
            "slower": Ratio.of([seconds], [1.0]), "of_limit": Ratio.of([0.5], [seconds]),
        })  # fmt: skip

    rows = (row("augfeed", 1, "whole"), row("decoding", 0.5, "decode"),
            row("torchvision", 4, "whole"), row("lightly", 7, "whole"))  # fmt: skip
    machine = Machine(cpu="x", cores=2, threads=2, system="", load=0.0)
    result = Result(
        suite="views-dino", title="Ten", date="", commit=None, command="", machine=machine,
        versions={}, data="", samples=256, batch=32, chain='views="dino"', rounds=1, rows=rows,
    )  # fmt: skip
    path = tmp_path / "views-dino.json"
    path.write_text(result.model_dump_json())
    line = next(line for line in summary.summary([path]).splitlines() if "DINO, ten" in line)
    assert line.startswith("| DINO, ten views | 256 | 50% |")
    assert line.endswith("| 4.0 x | - | - | - | - | 7.0 x |")
    assert "| DINO's ten views: lightly in DataLoader workers | 6 x | 7 x | met |" in table.tables(
        [path]
    )
