from pathlib import Path

import pytest

from benchmarks import plots, summary
from benchmarks.result import Ratio, Result, Row, Spread
from benchmarks.summary import BUDGETS, Budget, read

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json"))


def test_a_ratio_is_that_of_the_medians_in_the_file() -> None:
    photos = read(RESULTS)["photos"]
    ratio = photos.row("augfeed").rate.median / photos.row("torchvision").rate.median
    line = next(
        line for line in summary.summary(RESULTS).splitlines() if "500 px" in line and "| " in line
    )
    assert f"| {ratio:.1f} x |" in line and f"{photos.row('augfeed').rate.median:,.0f}" in line


def test_a_budget_that_is_missed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = (
        Budget("easy", 2, lambda _: 3.0, ""), Budget("hard", 0.5, lambda _: 0.25, "reason", True),
    )  # fmt: skip
    monkeypatch.setattr(summary, "BUDGETS", budgets)
    text = summary.budgets(RESULTS)
    assert "| easy | 2 x | 3 x | met |" in text
    assert "| hard | 50% | 25% | **missed**: reason |" in text


def test_what_is_missed_in_the_committed_results_has_a_reason() -> None:
    lines = summary.budgets(RESULTS).splitlines()
    assert len(lines) > 12 and not [line for line in lines if line.endswith("**missed**:  |")]
    assert {budget.title for budget in BUDGETS} >= {line.split(" | ")[0][2:] for line in lines[4:]}


def test_a_budget_whose_benchmark_was_not_run_is_left_out() -> None:
    assert "28 x 28: Kornia" not in summary.summary([p for p in RESULTS if "photos" in p.name])


def test_the_fastest_peer_counts_and_not_augfeed_itself() -> None:
    def row(name: str, slower: float) -> Row:
        ratio = Ratio(of_medians=slower, by_round=Spread.of([slower]))
        return Row(name=name, title=name, work="whole", differs="", passes=1, seconds=(1.0,),
                   rate=Spread.of([1.0]), slower=ratio, of_limit=None)  # fmt: skip

    rows = (row("augfeed", 1), row("augfeed_ram", 0.3), row("a", 4), row("b", 1.8))
    made = read(RESULTS)["photos"].model_copy(update={"rows": rows})
    assert isinstance(made, Result)
    assert summary._least_ratio("photos")({"photos": made}) == 1.8


def test_rates_are_drawn(tmp_path: Path) -> None:
    plots.draw_rates(read(RESULTS), tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 10_000
