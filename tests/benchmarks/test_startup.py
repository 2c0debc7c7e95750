from pathlib import Path

import pytest

from benchmarks import bench_startup, table
from benchmarks.result_startup import StartupResult


def test_each_figure_is_of_new_processes_and_the_table_has_a_row_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_startup, "COUNT", bench_startup.BATCH)
    out = tmp_path / "result.json"
    arguments = f"--rounds 1 --only augfeed,memory --out {out}"
    assert bench_startup.main(arguments.split()) == 0
    result = StartupResult.model_validate_json(out.read_text())
    assert [row.name for row in result.rows] == ["augfeed", "memory"]
    assert all(len(row.values) == 1 and min(row.values) > 0 for row in result.rows)
    assert result.rows[1].unit == "MB" and result.rows[1].spread.median > 50
    assert table.rendered(out.read_text()) in capsys.readouterr().out


def test_rounds_go_through_the_rows_by_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measured(name: str, *_: Path) -> float:
        asked.append(name)
        return float(len(asked))

    monkeypatch.setattr(bench_startup, "COUNT", bench_startup.BATCH)
    monkeypatch.setattr(bench_startup, "measured", measured)
    monkeypatch.setattr(bench_startup, "_printed", lambda *_: 0.0)
    out = tmp_path / "result.json"
    arguments = f"--rounds 2 --only torch,augfeed,first --out {out}"
    assert bench_startup.main(arguments.split()) == 0
    assert asked == ["torch", "augfeed", "first"] * 2
    found = StartupResult.model_validate_json(out.read_text()).rows
    assert [row.values for row in found] == [(1.0, 4.0), (2.0, 5.0), (3.0, 6.0)]


def test_unknown_rows_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_startup.main(["--only", "nobody"])
    assert "nobody" in capsys.readouterr().err
