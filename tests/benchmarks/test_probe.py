"""The benchmark of probes: paired seeds, and a result that can be read again."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import bench_probe
from benchmarks.result_probe import ProbeResult, gained, render


def test_a_gain_and_its_error_are_those_of_paired_differences() -> None:
    before, after = [0.70, 0.72, 0.69, 0.75], [0.74, 0.75, 0.74, 0.78]
    gain, error = gained(before, after)
    assert gain / error == pytest.approx(stats.ttest_rel(after, before).statistic)
    assert gain == pytest.approx(np.mean(after) - np.mean(before))


def test_a_run_leaves_a_pair_for_each_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "probe.json"
    arguments = "--images 64 --test-images 32 --epochs 1 --batch 16 --seeds 2 --out"
    assert bench_probe.main([*arguments.split(), str(out)]) == 0
    result = ProbeResult.model_validate_json(out.read_text())
    assert [pair.seed for pair in result.pairs] == [0, 1] and result.test_images == 32
    assert render(result) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench_probe.main(["--seeds", "1"])
    assert "give 2 or more" in capsys.readouterr().err
