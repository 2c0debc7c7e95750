from pathlib import Path

import pytest

from benchmarks import bench_startup, table
from benchmarks.result_startup import StartupResult


def test_each_figure_is_of_new_processes_and_the_table_has_a_row_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_startup, "COUNT", bench_startup.BATCH)
    out = tmp_path / "result.json"
    arguments = f"--rounds 2 --only augfeed,memory --out {out}"
    assert bench_startup.main(arguments.split()) == 0
    result = StartupResult.model_validate_json(out.read_text())
    assert [row.name for row in result.rows] == ["augfeed", "memory"]
    assert all(len(row.values) == 2 and min(row.values) > 0 for row in result.rows)
    assert result.rows[1].unit == "MB" and result.rows[1].spread.median > 50
    assert table.rendered(out.read_text()) in capsys.readouterr().out


def test_unknown_rows_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_startup.main(["--only", "nobody"])
    assert "nobody" in capsys.readouterr().err
