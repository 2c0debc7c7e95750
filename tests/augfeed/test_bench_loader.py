"""`augfeed bench loader`: what is counted and refused; no time is ever asserted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from augfeed import Policy, presets
from augfeed.bench import loader as bench
from augfeed.bench.loader import LoaderOptions, LoaderResult, sized
from augfeed.cli import app
from augfeed.errors import InputError
from augfeed.read.folder import FolderSource
from augfeed.read.sources import ArraySource, open_source
from augfeed.stage_costs import LoaderStats


def write_folder(folder: Path, count: int) -> Path:
    random = np.random.default_rng(0)
    for k in range(count):
        path = folder / f"class-{k % 2}" / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return folder


def run(*arguments: object) -> Result:
    few = ["--seconds", "0.02", "--rounds", "2", "--num-workers", "2"]
    words = ["bench", "loader", *few, *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "120"})


def arrays(count: int = 64) -> ArraySource:
    images = np.random.default_rng(0).integers(0, 256, (count, 12, 12), np.uint8)
    return ArraySource(images, np.arange(count) % 3)


def test_files_are_held_against_decoding(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    data = write_folder(tmp_path / "data", 6)
    done = run("--data", data, "--batch-size", 4, "--policy", "imagenet(32)", "--json", out)
    assert done.exit_code == 0, done.output
    result = LoaderResult.model_validate_json(out.read_text())
    assert [row.name for row in result.rows] == ["limit", "whole", "basic", "cached"]
    assert result.samples == 64 and result.batch == 4  # 6 files, repeated to 16 batches
    limit = result.rows[0].rate.median
    for row in result.rows:
        assert len(row.rates) == 2 and row.share == pytest.approx(row.rate.median / limit)
        assert row.title in " ".join(done.output.split())
        assert (row.times is None) == (row.name == "limit")
    times = result.rows[1].times
    assert times is not None and min(times.exposed, times.host, times.read, times.augment) > 0
    words = " ".join(done.output.split())
    for word in ("waited", "computed", "plan", "read", "augment", "targets"):
        assert word in words


def test_arrays_are_held_against_gathering() -> None:
    done = run("--data", "digits", "--batch-size", 32, "--policy", "digits(8)")
    assert done.exit_code == 0, done.output
    assert "batches gathered" in done.output and "cache" not in done.output


def test_the_basic_chain_is_the_policy_without_what_changes_values() -> None:
    policy = presets.imagenet(32)
    kept = Policy([one for one in policy.operations if one.op in bench.BASIC])
    assert [one.op for one in kept.operations] == [
        "random_resized_crop", "horizontal_flip", "normalize"
    ]  # fmt: skip


def test_many_files_are_spread_over_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SAMPLES", 4)
    monkeypatch.setattr(bench, "BATCHES", 1)
    source = open_source(write_folder(tmp_path, 8))
    assert isinstance(source, FolderSource)
    small = sized(source, 4)
    assert isinstance(small, FolderSource) and len(small) == 4
    assert [small.path(i) for i in range(4)] == [source.path(i) for i in (0, 2, 4, 6)]


def test_a_loader_whose_batches_depend_on_threads_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = LoaderOptions(arrays(), presets.fashion(12), 32, 2)
    bench.check(asked)
    count = iter(range(2))
    monkeypatch.setattr(LoaderOptions, "loader", lambda *_: [(torch.full((2,), next(count)),)])
    with pytest.raises(AssertionError, match="no rate"):
        bench.check(asked)


@pytest.mark.parametrize(
    ("name", "value"), [("batch_size", 65), ("num_workers", 0), ("rounds", 0), ("seconds", 0.0)]
)
def test_what_cannot_be_measured_is_named(name: str, value: float) -> None:
    given = {"batch_size": 32, "num_workers": 1, name: value}
    with pytest.raises(InputError, match=name):
        LoaderOptions(arrays(), presets.fashion(12), **given)  # type: ignore[arg-type]


def test_times_are_those_of_one_batch() -> None:
    stats = LoaderStats(4, 32, 8.0, 2.0, plan=1.0, read=0.5, augment=4.0, targets=0.25)
    times = bench.BatchTimes.of(stats)
    assert (times.exposed, times.host, times.plan) == (2e6, 0.5e6, 0.25e6)
    assert (times.read, times.augment, times.targets) == (0.125e6, 1e6, 0.0625e6)


def test_a_file_that_cannot_be_written_is_reported_before(tmp_path: Path) -> None:
    done = run("--data", "digits", "--json", tmp_path / "none" / "out.json")
    assert done.exit_code == 2 and "make it first" in " ".join(done.output.split())
