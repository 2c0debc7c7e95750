from pathlib import Path

import pytest

from benchmarks import bench_scaling, plots, table
from benchmarks.chain import PARTS
from benchmarks.result_scaling import ScalingResult

SMALL = "--rounds 2 --samples 64 --num-workers 2"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScalingResult, str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench_scaling, "BATCHES", (8, 64, 128))
        patched.setattr(bench_scaling, "SIZES", (32, 48))
        patched.setattr(bench_scaling, "SIZE", 32)
        patched.setattr(bench_scaling, "BATCH", 32)
        out = tmp_path_factory.mktemp("scaling") / "result.json"
        assert bench_scaling.main([*SMALL.split(), "--out", str(out)]) == 0
    return ScalingResult.model_validate_json(out.read_text()), out.read_text()


def test_every_axis_has_its_points(result: tuple[ScalingResult, str]) -> None:
    found, _ = result
    values = {axis: [point.value for point in found.along(axis)]
              for axis in ("batch", "size", "threads", "parts")}  # fmt: skip
    assert values["batch"] == ["8", "64"]  # 128 is more than there are samples
    assert values["size"] == ["32", "48"] and values["threads"] == ["1", "2"]
    assert values["parts"] == ["normalise", *(f"+ {part}" for part in PARTS)]
    assert all(len(point.seconds) == 2 and min(point.seconds) > 0 for point in found.points)


def test_a_cost_is_the_time_of_a_thread_above_the_point_before(
    result: tuple[ScalingResult, str],
) -> None:
    first, second = result[0].along("parts")[:2]
    assert first.cost is None and second.cost is not None
    expected = 2e6 / second.rate.median - 2e6 / first.rate.median  # 2 threads
    assert second.cost == pytest.approx(expected)
    assert all(point.cost is None for point in result[0].along("batch"))


def test_the_table_has_a_line_for_each_point(result: tuple[ScalingResult, str]) -> None:
    found, text = result
    shown = table.rendered(text)
    lines = [line for line in shown.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(lines) == len(found.points) + 4


def test_it_is_drawn(result: tuple[ScalingResult, str], tmp_path: Path) -> None:
    plots.draw_scaling(result[0], tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


def test_a_loader_that_gives_too_few_samples_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_scaling, "Augfeed", lambda *_, **__: lambda: iter(()))
    with pytest.raises(SystemExit, match="0 samples"):
        bench_scaling.main(["--quick"])
