"""What steps on a GPU write when they are ended early, or fail in part: rows as they come."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from benchmarks import bench_resident
from benchmarks.bench_arrays import COLOR_CHAIN
from benchmarks.contest import Job
from benchmarks.data import make_arrays
from benchmarks.gpu import modules, training
from benchmarks.gpu.shards import joined, write_joined
from benchmarks.gpu.training import WORKERS, Options, Task
from benchmarks.result_resident import ResidentResult
from benchmarks.result_training import Row
from benchmarks.table import rendered
from tests.augfeed import gpu_checks

OPTIONS = Options(torch.device("cpu"), quick=True, photos=None, threads=1)
TAKEN = {"ready": 1.0, "augfeed": 2.0, WORKERS: 8.0}


class Fed:
    """Stands in for a training: its epochs take what `TAKEN` says, or fail."""

    calls: ClassVar[list[str]] = []

    def __init__(self, job: Any, stem: str, name: Any, options: Any) -> None:
        self.name: str = name

    def epoch(self) -> float:
        self.calls.append(self.name)
        if self.name not in TAKEN:
            raise RuntimeError("broken")
        return TAKEN[self.name]


def task_of(*names: str) -> Task:
    data = make_arrays(64, 64, 32, 3)
    job = Job[Any](data, COLOR_CHAIN, data.classes, 64, 1, 1)

    def fed(name: str) -> Callable[[], Any]:
        return lambda: name

    return Task("task", job, "small", {name: (f"by {name}", fed(name)) for name in names})


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[list[Row]]]]:
    monkeypatch.setattr(training, "Training", Fed)
    monkeypatch.setattr(Fed, "calls", [])

    def run(*names: str) -> list[list[Row]]:
        kept: list[list[Row]] = []
        training.run(task_of(*names), OPTIONS, 2, kept.append)
        return kept

    yield run


def test_training_has_its_rows_before_processes_of_a_peer_start(rows: Any) -> None:
    kept = rows("ready", "augfeed", WORKERS)
    before = Fed.calls.index(WORKERS)
    assert Fed.calls[:before].count("augfeed") == training.FIRST + 2
    assert [row.name for row in kept[0]] == ["ready", "augfeed"]
    assert [row.name for row in kept[-1]] == ["ready", "augfeed", WORKERS]


def test_ratios_of_training_are_those_of_the_rounds_that_two_have_in_common(rows: Any) -> None:
    found = {row.name: row for row in rows("ready", "augfeed", WORKERS)[-1]}
    peer = found[WORKERS]
    assert (len(found["ready"].seconds), len(peer.seconds)) == (4, 2)
    assert (peer.slower.of_medians, peer.over.of_medians) == (4.0, 8.0)
    assert (found["augfeed"].exposed, peer.exposed) == (1.0, 7.0)


@pytest.mark.parametrize("names", [("ready", "augfeed", "bad"), ("ready", "bad", "augfeed")])
def test_who_fails_is_left_out_of_training(
    rows: Any, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row.name for row in rows(*names)[-1]] == ["ready", "augfeed"]
    assert "left out: by bad: RuntimeError: broken" in capsys.readouterr().out


def test_who_fails_later_keeps_the_rows_that_it_has(
    rows: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Fed.epoch

    def epoch(self: Fed) -> float:
        if self.name == WORKERS and self.calls.count(WORKERS) == 2:
            raise RuntimeError("worker died")
        return whole(self)

    monkeypatch.setattr(Fed, "epoch", epoch)
    found = {row.name: row for row in rows("ready", "augfeed", WORKERS)[-1]}
    assert {name: len(row.seconds) for name, row in found.items()} == {
        "ready": 4, "augfeed": 4, WORKERS: 1,
    }  # fmt: skip
    assert "worker died" in capsys.readouterr().out


def test_arrays_of_workers_are_in_memory_that_processes_share() -> None:
    data = make_arrays(64, 64, 32, 3)
    made = training.shared(data)
    assert made.images.is_shared()
    assert (made.images.numpy() == data.images).all()
    assert made.labels is data.labels


def test_rows_of_the_resident_dataset_are_written_after_each_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen = tmp_path / "result.json", list[list[int]]()
    measure = bench_resident.measure

    def looking(*given: Any) -> Any:
        text = out.read_text() if out.exists() else None
        seen.append([row.batch for row in ResidentResult.model_validate_json(text).rows]
                    if text else [])  # fmt: skip
        return measure(*given)

    monkeypatch.setattr(bench_resident, "measure", looking)
    words = "--quick --samples 128 --batch-size 32 64 --num-workers 1 --only augfeed --device cpu"
    assert bench_resident.main([*words.split(), "--rounds", "1", "--out", str(out)]) == 0
    assert seen == [[], [32]]


def test_tables_share_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: dict[str, float] = {}

    def check(name: str) -> Callable[[], None]:
        return lambda: ends.update({name: gpu_checks.UNTIL[0]})

    names = ["several_devices", *gpu_checks.TABLES]
    monkeypatch.setattr(gpu_checks, "CHECKS", {name: check(name) for name in names})
    monkeypatch.setattr(gpu_checks, "UNTIL", [0.0])
    monkeypatch.setattr(gpu_checks, "SHARD", [0, 1])
    monkeypatch.setattr("tests.augfeed.gpu_checks.time.monotonic", lambda: 100.0)
    assert gpu_checks.main(["--seconds", "30", "--only", ",".join(names)]) == 0
    assert [ends[name] for name in gpu_checks.TABLES] == [110.0, 115.0, 130.0]


def test_a_tool_that_does_not_end_is_said_to_be_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "compute-sanitizer"
    tool.write_text("#!/bin/sh\nsleep 600\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(gpu_checks, "PATIENCE", 0.5)
    assert gpu_checks.main(["--only", "memcheck"]) == 0
    assert "memcheck: unfinished: memcheck was ended after 0.5 s" in capsys.readouterr().out


def outcome(text: str, seconds: float = 1.0) -> dict[str, Any]:
    return {"outcome": text, "seconds": seconds}


def test_parts_of_a_table_are_joined() -> None:
    ended = "unfinished: {} of 20 passed, then time was over"
    found = joined([
        {"whole": outcome("passed"), "ended": outcome("passed"), "broken": outcome("passed")},
        {"whole": outcome("passed", 3.0), "ended": outcome(ended.format(5)),
         "broken": outcome("failed: one")},
        {"whole": outcome("passed"), "ended": outcome(ended.format(7))},
    ])  # fmt: skip
    assert found["whole"] == outcome("passed", 3.0)
    assert found["ended"]["outcome"] == ("unfinished: 1 of 3 parts passed, of the others 12 of 40")
    assert found["broken"]["outcome"] == "failed in 1 of 2 parts: failed: one"


def test_joined_parts_are_those_that_are_there(tmp_path: Path) -> None:
    out = tmp_path / "tables.json"
    write_joined([tmp_path / "0.json"], out)
    assert not out.exists()
    (tmp_path / "1.json").write_text(json.dumps({"case_table": outcome("passed")}))
    write_joined([tmp_path / "0.json", tmp_path / "1.json"], out)
    assert "| case table | passed |" in rendered(out.read_text())


def test_the_result_of_modules_has_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "modules.json"
    answers: list[tuple[str, Any]] = [
        ("one", lambda: {"images": 4, "device, ms": 0.1, "host, ms": 0.2}),
        ("two", lambda: {"images": 8, "epochs, s": [3.0, 1.0]}),
        ("three", lambda: 1 / 0),
    ]
    monkeypatch.setattr(modules, "questions", lambda _: answers)
    monkeypatch.setattr("sys.argv", ["modules", "--device", "cpu", "--out", str(out)])
    assert modules.main() == 1
    table = rendered(out.read_text())
    assert "| one | 4 | 0.1 | 0.2 |  |" in table
    assert "| two | 8 |  |  | 3.0, 1.0 |" in table
    assert "| three | failed: ZeroDivisionError" in table
