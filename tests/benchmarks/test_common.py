"""The benchmarks hold to their method: the gate stops what is not the same work."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from benchmarks import bench_arrays, bench_photos, common, peer_torch
from benchmarks.bench_arrays import CHAIN, CONTESTANTS, Probes
from benchmarks.chain import PARTS, Chain, Part
from benchmarks.contest import Contestant, Job, Passes, Suite
from benchmarks.data import Arrays, make_arrays, make_photos, spread
from benchmarks.gate import GateError
from benchmarks.result import Ratio, Result, Spread, slug
from benchmarks.summary import summary
from benchmarks.table import render, tables

BATCH = 32
Pair = tuple[torch.Tensor, torch.Tensor]
Break = Callable[[torch.Tensor, torch.Tensor], Pair]


def suite_of(*contestants: Contestant[Arrays]) -> Suite[Arrays]:
    arrays = make_arrays(256, BATCH)
    job = Job(arrays, CHAIN, arrays.classes, BATCH, threads=1, workers=0)
    return Suite("arrays", "Tiny", arrays.name, job, contestants, Probes(CHAIN))


AUGFEED, TORCH = CONTESTANTS[:2]


# Statistics


def test_spread_is_median_and_quartiles() -> None:
    assert Spread.of([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(median=3, low=2, high=4)
    assert Spread.of([7.0]) == Spread(median=7, low=7, high=7)


def test_ratio_pairs_the_rounds() -> None:
    ratio = Ratio.of([2.0, 30.0, 4.0], [1.0, 10.0, 4.0])
    assert ratio.of_medians == 1.0
    assert ratio.by_round == Spread(median=2, low=1.5, high=2.5)


# The gate


@pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda item: item.name)
def test_contestant_passes_the_gate(contestant: Contestant[Arrays]) -> None:
    common.warm_up(suite_of(AUGFEED, replace(contestant, name="other")), lambda _: None)


def broken(change: Break, chain: Callable[[Chain], Chain] = lambda chain: chain) -> Any:
    """Return a contestant that does the work of `torch` on another chain, then one thing more."""

    def make(job: Job[Arrays]) -> Passes:
        batches = TORCH.make(replace(job, chain=chain(job.chain)))

        def one_pass() -> Iterator[tuple[Any, Any]]:
            for images, targets in batches():
                yield change(images, targets)

        return one_pass

    return Contestant("other", "broken", make)


def same(images: torch.Tensor, targets: torch.Tensor) -> Pair:
    return images, targets


def without(part: Part) -> Callable[[Chain], Chain]:
    return lambda chain: chain.only(*(item for item in PARTS if item != part))


@pytest.mark.parametrize(
    ("contestant", "message"),
    [
        (broken(lambda x, y: (x[:, :, 1:], y)), "images of shape"),
        (broken(lambda x, y: (x.double(), y)), "images of torch.float64"),
        (broken(lambda x, y: (x.transpose(2, 3), y)), "not contiguous"),
        (broken(lambda x, y: (x / 0, y)), "not finite"),
        (broken(lambda x, y: (x, y[:, 1:])), "labels of shape"),
        (broken(lambda x, y: (x, y.argmax(1))), "labels of shape"),
        (broken(lambda x, y: (x, y.double())), "labels of torch.float64"),
        (broken(lambda x, y: (x, y * 1.01)), "do not sum to 1"),
        (broken(lambda x, y: (x + 1, y)), "mean"),
        (broken(lambda x, y: (x * 2, y)), "deviation"),
        (broken(lambda x, y: (x, y.roll(1, 0))), "miss the share of the pixels"),
        *((broken(same, without(part)), f"other: {part}") for part in ("crop", "flip", "jitter")),
        *((broken(same, without(part)), f"other: {part}") for part in ("cutout", "noise")),
        (broken(same, without("mixing")), "same share"),
        (broken(same, without("smoothing")), "smoothing leaves"),
        (broken(same, lambda chain: replace(chain, noise=2 * chain.noise)), "noise has a dev"),
    ],
)  # fmt: skip
def test_gate_stops(contestant: Contestant[Arrays], message: str) -> None:
    with pytest.raises(GateError, match=message):
        common.measure(suite_of(AUGFEED, contestant), 1, "")


def test_gate_stops_parameters_that_a_batch_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_torch, "_factors", lambda count, bound: torch.full((count,), 0.9))
    with pytest.raises(GateError, match="jitter leaves 1 different"):
        common.measure(suite_of(AUGFEED, TORCH), 1, "")


def test_gate_stops_samples_that_are_missing() -> None:
    def make(job: Job[Arrays]) -> Passes:
        return lambda: list(TORCH.make(job)())[: max(1, len(job.data) // BATCH - 1)].__iter__()

    with pytest.raises(GateError, match="224 samples came, not 256"):
        common.measure(suite_of(AUGFEED, Contestant("other", "short", make)), 1, "")


def test_nothing_is_printed_when_the_gate_is_red(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "result.json"
    options = common.parser("arrays", "", BATCH).parse_args(["--out", str(out)])
    suite = suite_of(AUGFEED, broken(lambda x, y: (x + 1, y)))
    assert common.main(suite, options) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no figures" in printed.err
    assert not out.exists()


# The result


@pytest.fixture(scope="module")
def result() -> Result:
    return common.measure(suite_of(AUGFEED, TORCH), 3, "python -m benchmarks.bench_arrays")


def test_result_shows_what_was_measured_on_what(result: Result) -> None:
    assert {"python", "torch", "numba", "kornia", "augfeed", "simplejpeg"} <= set(result.versions)
    assert result.machine.cpu
    assert result.machine.threads == 1
    assert result.date.endswith("+00:00")
    assert "gaussian_noise" in result.chain
    assert result.samples == 256


def test_result_has_raw_times_and_ratios_to_augfeed(result: Result) -> None:
    own, other = result.row("augfeed"), result.row("torch")
    assert own.slower == Ratio(of_medians=1, by_round=Spread(median=1, low=1, high=1))
    assert len(own.seconds) == len(other.seconds) == result.rounds == 3
    assert other.slower == Ratio.of(other.seconds, own.seconds)
    assert other.rate.median == pytest.approx(256 / sorted(other.seconds)[1])


def test_result_round_trips_and_refuses_what_it_does_not_know(result: Result) -> None:
    text = result.model_dump_json()
    assert Result.model_validate_json(text) == result
    with pytest.raises(ValidationError, match="host"):
        Result.model_validate({**json.loads(text), "host": "x"})


def test_table_has_a_row_for_everyone(result: Result) -> None:
    table = render(result)
    for row in result.rows:
        assert f"| {row.title} |" in table
    assert f"{result.row('torch').slower.of_medians:.2f} x" in table


# The commands


def test_arrays_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    arguments = f"--quick --samples 512 --rounds 1 --only kornia,torch_workers --out {out}"
    assert bench_arrays.main(arguments.split()) == 0
    result = Result.model_validate_json(out.read_text())
    assert [row.name for row in result.rows] == ["augfeed", "torch_workers", "kornia"]
    assert str(tmp_path) not in out.read_text()
    assert capsys.readouterr().out == render(result)


def test_photos_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = replace(bench_photos.CHAIN, size=48, cutout=12)
    monkeypatch.setattr(bench_photos, "CHAIN", smaller)
    monkeypatch.setattr(bench_photos, "PHOTO_SIZE", (100, 75))
    monkeypatch.setattr(common, "SHORTEST", 1e-9)
    out = tmp_path / "result.json"
    arguments = f"--quick --samples 32 --batch-size 16 --rounds 1 --num-workers 1 --out {out}"
    assert bench_photos.main(arguments.split()) == 0
    result = Result.model_validate_json(out.read_text())
    limit = result.row("decoding")
    assert {row.name for row in result.rows} == {item.name for item in bench_photos.CONTESTANTS}
    assert limit.of_limit is not None
    assert limit.of_limit.of_medians == 1
    assert result.row("torch").of_limit == Ratio.of(limit.seconds, result.row("torch").seconds)


def test_paths_are_not_part_of_the_command() -> None:
    options = common.parser("photos", "", 64).parse_args(["--data", "/some/where/flowers"])
    assert "--data flowers" in common.command_of("photos", options)
    assert "/some" not in common.command_of("photos", options)


def test_the_command_of_a_result_gives_the_options_that_it_was_run_with() -> None:
    given = ["--samples", "5", "--batch-size", "3", "--num-workers", "2", "--rounds", "4"]
    parser = common.parser("photos", "", 64)
    command = common.command_of("photos", parser.parse_args(given))
    assert parser.parse_args(command.split()[3:]) == parser.parse_args(given)


def test_unknown_contestant_is_named() -> None:
    with pytest.raises(SystemExit, match="nobody"):
        common.chosen(suite_of(AUGFEED), "nobody")


# The data


def test_made_data_are_the_same_every_time(tmp_path: Path) -> None:
    assert (make_arrays(64, 32).images == make_arrays(64, 32).images).all()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_photos(tmp_path / name, 8, 8)
    first, second = (sorted((tmp_path / name).rglob("*.jpg")) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_spread_gives_whole_batches() -> None:
    assert spread(10, 10, 4).tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert spread(3, 9, 4).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    with pytest.raises(SystemExit, match="not a batch of 4"):
        spread(10, 3, 4)


def test_slug_is_fit_for_a_file_name() -> None:
    assert slug("AMD EPYC(TM) 9/2 cores") == "amd-epyc-tm-9-2-cores"


def test_readme_and_documentation_show_the_committed_results() -> None:
    root = Path(__file__).parents[2]
    results = sorted((root / "benchmarks" / "results").glob("*.json"))
    assert results
    assert tables(results) in (root / "docs" / "benchmarks.md").read_text()
    assert summary(results) in (root / "README.md").read_text()
