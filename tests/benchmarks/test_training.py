from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import bench_training, plots, table
from benchmarks.bench_arrays import CHAIN
from benchmarks.bench_training import Run, Task
from benchmarks.contest import Job
from benchmarks.data import make_arrays
from benchmarks.result_training import TrainingResult

CPU = torch.device("cpu")


def task(count: int = 64, title: str = "tiny") -> Task:
    return Task(title, Job(make_arrays(count, 32), CHAIN, 10, 32, 1, 0), "mlp", "none")


def test_each_way_to_feed_trains_and_the_ratios_are_those_of_the_times() -> None:
    rows = {row.name: row for row in bench_training._measured(task(), CPU, 2)}
    assert {"ready", "augfeed"} < rows.keys() and len(rows) == 3
    assert rows["augfeed"].slower.of_medians == 1 and rows["ready"].over.of_medians == 1
    assert all(len(row.seconds) == 2 for row in rows.values())


def test_the_network_is_trained() -> None:
    one = task()
    run = Run(one, bench_training._ready(one.job, CPU), CPU)
    before = [value.detach().clone() for value in run.network.parameters()]
    run.epoch()
    assert not all(
        torch.equal(old, new) for old, new in zip(before, run.network.parameters(), strict=True)
    )


@pytest.mark.parametrize("broken", [
    lambda: iter([(torch.zeros(32, 1, 28, 28), torch.full((32, 10), 0.1))]),
    lambda: iter([(torch.full((64, 1, 28, 28), torch.nan), torch.full((64, 10), 0.1))]),
])  # fmt: skip
def test_what_is_not_an_epoch_is_not_timed(broken: Any) -> None:
    with pytest.raises(SystemExit, match="no epoch of 64"):
        Run(task(), broken, CPU).epoch()


def test_the_command_measures_and_its_table_has_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_training, "tasks", lambda *_: iter([task(), task(96, "more")]))
    out = tmp_path / "result.json"
    assert bench_training.main(["--device", "cpu", "--rounds", "2", "--out", str(out)]) == 0
    result = TrainingResult.model_validate_json(out.read_text())
    assert len(result.rows) == 6 and result.device.kind == "cpu"
    assert table.rendered(out.read_text()) in capsys.readouterr().out
    plots.draw_training(result, tmp_path / "training.png")
    assert (tmp_path / "training.png").stat().st_size > 5_000
