"""The benchmark of the service: its ways do the same, and its table says what was measured."""

from pathlib import Path

import pytest
import torch

from augfeed.errors import CheckError
from benchmarks import bench_service
from benchmarks.result_service import ServiceResult
from benchmarks.table import rendered
from tests.sampling import slow


def test_the_ways_to_encode_a_batch_give_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_service, "LARGE", (2, 3, 4, 4))
    entries = bench_service.wire_entries()
    images = [entry.run() for entry in entries]
    assert len(entries) == 4 and all(torch.equal(one, images[0]) for one in images)


def test_ratios_are_to_the_first_way_of_each_question() -> None:
    def work() -> int:
        return sum(range(20_000))

    entries = [bench_service.Entry(question, f"{question}{k}", work, 1.0, "x")
               for question in ("a", "b") for k in range(2)]  # fmt: skip
    rows = bench_service.timed(entries, 3)
    assert [row.slower.of_medians for row in rows[::2]] == [1.0, 1.0]
    assert all(len(row.seconds) == 3 for row in rows)


# Each of two checkouts has a server and a client in processes of their own.
@pytest.mark.parametrize("against", [False, slow(True)], ids=["alone", "against another"])
def test_the_benchmark_runs_and_its_table_can_be_made(
    against: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_service, "LARGE", (4, 3, 32, 32))
    monkeypatch.setattr(bench_service, "SAMPLES", 512)
    out = tmp_path / "service.json"
    other = ["--against", str(bench_service.ROOT)] if against else []
    assert bench_service.main(["--rounds", "2", *other, "--out", str(out)]) == 0
    result = ServiceResult.model_validate_json(out.read_text())
    assert result.computed == result.batches == 2
    compared = [row.question for row in result.rows if row.title.endswith(": the other")]
    questions = ["one stream, warm", "four streams, warm", "a loader over HTTP",
                 "a loader in process"]  # fmt: skip
    assert compared == (questions if against else [])
    assert len(result.rows) == 10 + 2 * len(compared)
    assert "augfeed.DataLoader in process" in rendered(out.read_text())


def test_a_folder_that_is_not_a_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="are missing: give the folder of a checkout"):
        bench_service.Side(tmp_path, (), 1)
