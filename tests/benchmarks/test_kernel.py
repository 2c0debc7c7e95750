"""The contest of the kernel: the same work, told differences, interleaved rounds, both ratios."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from augfeed.bench import clock
from augfeed.bench.chains import chains
from augfeed.bench.kernel import Options
from augfeed.bench.result import Shape
from augfeed.bench.work import BenchImages
from augfeed.engines import engine_for
from augfeed.plan import BatchRows, draw_plan
from augfeed.policy import HorizontalFlip, Mixup, Normalize, Policy, Rotate, Shear
from benchmarks import bench_kernel, kernel_contest, kernel_triton
from benchmarks.kernel_contest import (
    PEERS,
    Entry,
    contest,
    nothing_drawn,
    probe,
    problems_of,
    race,
)
from benchmarks.kernel_peer import Affine, Made, Peer, UnsupportedError, Work, steps
from benchmarks.kernel_result import PASS, WHOLE, KernelContest, LeftOut
from benchmarks.kernel_table import render
from benchmarks.result import Ratio
from benchmarks.table import rendered

CPU = torch.device("cpu")
SHAPE = Shape(16, 3, 32, 32)
KORNIA, COMPILED, TORCHVISION, TRITON, READY = PEERS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "WARM", 0.0)
    monkeypatch.setattr(clock, "SHORTEST", {"cpu": 1e-5})
    monkeypatch.setattr(clock, "COPY", {"cpu": 1 << 16})
    monkeypatch.setattr(clock, "COPIES", 3)
    monkeypatch.setattr(kernel_contest, "SHORTEST", 1e-5)


def work_of(policy: Policy, dtype: torch.dtype = torch.float32) -> Work:
    return Work(policy, SHAPE, dtype, torch.contiguous_format, CPU)


def planes() -> torch.Tensor:
    return BenchImages(SHAPE, CPU, 1).batches[0].permute(0, 3, 1, 2).contiguous()


def base_of(policy: Policy) -> torch.Tensor:
    plan = draw_plan(policy, BatchRows.of(np.arange(16)), seed=1, epoch=0, size=SHAPE.size)
    return engine_for("cpu").apply(plan, BenchImages(SHAPE, CPU, 1).batches[0])


def problems(peer: Peer, policy: Policy) -> list[str]:
    work = work_of(policy)
    return problems_of(peer, peer.make(work), work, base_of(policy), planes())


def broken(change: Callable[[torch.Tensor], torch.Tensor]) -> Peer:
    """Return a peer that does the work of Kornia, then one thing more."""

    def make(work: Work) -> Made:
        made = KORNIA.make(work)
        return replace(made, run=lambda given: change(made.run(given)))

    return Peer("other", "broken", make)


# The same work


@pytest.mark.parametrize("chain", [name for name in chains(SHAPE) if name != "trivial_augment"])
def test_kornia_does_every_chain_but_programs(chain: str) -> None:
    assert problems(KORNIA, chains(SHAPE)[chain]) == []


def test_kornia_has_no_operation_for_each_sample() -> None:
    with pytest.raises(UnsupportedError, match="TrivialAugmentWide"):
        KORNIA.make(work_of(chains(SHAPE)["trivial_augment"]))


@pytest.mark.parametrize(
    ("chain", "change", "message"),
    [
        ("rotate", lambda batch: batch[:, :, 1:], "not torch.float32"),
        ("rotate", lambda batch: batch.double(), "float64"),
        ("rotate", lambda batch: batch.transpose(2, 3), "in memory"),
        ("rotate", lambda batch: batch / 0, "not finite"),
        ("rotate", lambda batch: batch[:1].repeat(16, 1, 1, 1), "draw for themselves"),
        ("mixup", lambda batch: batch[:1].repeat(16, 1, 1, 1), "draw for themselves"),
        ("convert", lambda batch: batch * 1.1, "differ by"),
        ("normalize", lambda batch: batch + 0.1, "differ by"),
    ],
)
def test_gate_stops_a_peer(chain: str, change: Any, message: str) -> None:
    (problem,) = problems(broken(change), chains(SHAPE)[chain])
    assert message in problem


def test_gate_lets_a_batch_share_parameters_where_that_is_reported() -> None:
    peer = broken(lambda batch: batch[:1].repeat(16, 1, 1, 1))
    assert problems(replace(peer, per_sample=False), chains(SHAPE)["rotate"]) == []
    assert not TORCHVISION.per_sample


def test_nothing_is_drawn_where_every_image_gets_the_same() -> None:
    fixed = {name for name, policy in chains(SHAPE).items() if nothing_drawn(policy)}
    assert fixed == {"convert", "normalize", "grayscale", "posterize", "solarize"}


def test_probe_is_one_image_and_two_where_only_mixing_is_drawn() -> None:
    one = probe(work_of(Policy([HorizontalFlip()])))
    assert one.dtype == torch.uint8
    assert bool((one == one[:1]).all())
    assert not torch.equal(one, one.flip(3))
    two = probe(work_of(Policy([Mixup(0.2), Normalize(0.5, 0.5)])))
    assert set(two.flatten().tolist()) == {0, 255}


def test_affine_operations_are_one_where_others_have_them_as_one() -> None:
    policy = Policy([HorizontalFlip(), Rotate(15), Shear(10), Normalize(0.5, 0.25)])
    flip, affine, normalize = steps(policy)
    assert (flip, normalize) == (HorizontalFlip(), Normalize(0.5, 0.25))
    assert affine == Affine(15, None, None, 10, 1.0)
    with pytest.raises(UnsupportedError, match="probabilities"):
        list(steps(Policy([Rotate(15, p=0.3), Shear(10)])))
    with pytest.raises(UnsupportedError, match="along y"):
        list(steps(Policy([Shear(10, 5)])))


def test_triton_augment_gets_the_chains_that_both_have() -> None:
    both = set()
    for name, policy in chains(SHAPE).items():
        try:
            kernel_triton._arguments(work_of(policy))
            both.add(name)
        except UnsupportedError:
            pass
    assert both == {"normalize", "flip", "rotate", "affine", "jitter_about_half", "grayscale",
                    "flip_jitter_normalize", "affine_jitter_normalize"}  # fmt: skip


def test_triton_augment_is_given_the_same_numbers() -> None:
    arguments, notes = kernel_triton._arguments(
        work_of(chains(SHAPE)["affine_jitter_normalize"], torch.bfloat16)
    )
    assert arguments == {
        "horizontal_flip_p": 0.5, "degrees": 15.0, "translate": (0.1, 0.1), "scale": (0.8, 1.2),
        "shear": 10.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "grayscale_p": 0.1,
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    assert "computes in bfloat16" in notes


# Rounds, and who is left out


def test_rounds_are_interleaved() -> None:
    order: list[str] = []
    entries = [
        Entry(name, name, lambda name=name: order.append(name), batches=count)  # type: ignore[misc]
        for name, count in (("a", 1), ("b", 2))
    ]
    seconds = race(entries, CPU, 3)
    assert order == ["a", "b", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3}


def options() -> Options:
    return Options.of("cpu", shapes=["16x3x32x32"], chains=["flip"], repeats=3)


def test_ratios_are_to_the_whole_and_to_the_pass_alone() -> None:
    rows, left_out = contest(options(), [KORNIA], 3, lambda _: None)
    by_name = {row.name: row for row in rows}
    assert list(by_name) == [WHOLE, PASS, "portable", "kornia"]
    assert not left_out
    whole, alone, kornia = (by_name[name].seconds for name in (WHOLE, PASS, "kornia"))
    assert by_name["kornia"].slower == Ratio.of(kornia, whole)
    assert by_name["kornia"].slower_than_pass == Ratio.of(kornia, alone)
    assert by_name[WHOLE].slower.of_medians == by_name[PASS].slower_than_pass.of_medians == 1
    assert all(len(row.seconds) == 3 for row in rows)


def raising(work: Work) -> Made:
    raise RuntimeError("no kernel image\nis available")


def failing(work: Work) -> Made:
    def run(given: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("at once")

    return Made(run)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (Peer("other", "raises", raising), "RuntimeError: no kernel image"),
        (Peer("other", "fails", failing), "ZeroDivisionError: at once"),
        (broken(lambda batch: batch.double()), "not the same work: torch.float64"),
    ],
)
def test_peer_that_cannot_is_left_out_and_reported(peer: Peer, reason: str) -> None:
    rows, (missing,) = contest(options(), [peer, KORNIA], 1, lambda _: None)
    assert missing.reason.startswith(reason)
    assert "\n" not in missing.reason
    assert (missing.name, missing.chain, missing.shape) == ("other", "flip", SHAPE)
    assert [row.name for row in rows] == [WHOLE, PASS, "portable", "kornia"]


def test_peer_that_is_not_installed_is_left_out_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_kernel, "MODULES", {"torchvision": "no_such_module_here"})
    peers, (missing,) = bench_kernel.peers_of("torchvision,kornia")
    assert [peer.name for peer in peers] == ["kornia"]
    assert missing.name == "torchvision"
    assert "no_such_module_here cannot be imported" in missing.reason


def test_unknown_peer_is_named() -> None:
    with pytest.raises(SystemExit, match="nobody"):
        bench_kernel.peers_of("nobody")


# The command


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[KernelContest, str]:
    out = tmp_path_factory.mktemp("kernel") / "result.json"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WARM", 0.0), ("COPIES", 3), ("COPY", {"cpu": 1 << 16})):
            patch.setattr(clock, name, value)
        patch.setattr(kernel_contest, "SHORTEST", 1e-5)
        arguments = ["--quick", "--device", "cpu", "--commit", "abc", "--out", str(out)]
        assert bench_kernel.main([*arguments, "--only", "kornia"]) == 0
    return KernelContest.model_validate_json(out.read_text()), out.read_text()


def test_quick_run_measures_augfeed_and_others(written: tuple[KernelContest, str]) -> None:
    result, text = written
    assert {row.chain for row in result.engine.rows} == set(bench_kernel.QUICK["chains"])
    for row in result.engine.rows:
        assert result.find(row.chain, row.shape, "kornia") is not None
    assert result.engine.commit == "abc"
    assert result.engine.command == (
        "python -m benchmarks.bench_kernel --device cpu --only kornia --quick"
    )
    assert "kornia" in result.versions
    assert "/" not in json.loads(text)["engine"]["command"]


def test_result_round_trips_and_refuses_what_it_does_not_know(
    written: tuple[KernelContest, str],
) -> None:
    result, text = written
    assert KernelContest.model_validate_json(result.model_dump_json()) == result
    with pytest.raises(ValidationError, match="host"):
        KernelContest.model_validate({**json.loads(text), "host": "x"})


def test_table_shows_share_ratios_and_what_others_do_otherwise(
    written: tuple[KernelContest, str],
) -> None:
    result, text = written
    table = rendered(text)
    assert table == render(result)
    kornia = result.find("seed_chain", SHAPE, "kornia")
    assert kornia is not None
    (line,) = (line for line in table.splitlines() if line.startswith("| seed_chain |"))
    assert f"{result.engine.row('seed_chain', SHAPE).share:.0%}" in line
    assert line.count(" x (") == 2  # portable, Kornia
    for note in kornia.differs.split("; "):
        assert note in table
    assert "16 x 3 x 32 x 32" in table


def test_absent_peers_stand_in_the_table(written: tuple[KernelContest, str]) -> None:
    absent = LeftOut(name="torchvision", reason="torchvision cannot be imported")
    result = written[0].model_copy(update={"left_out": (absent,)})
    assert "torchvision: torchvision cannot be imported" in render(result)


def test_nothing_is_printed_when_the_own_gate_is_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = engine_for("cpu")

    class Broken:
        name = "broken"

        def apply(self, *arguments: Any, **given: Any) -> torch.Tensor:
            return inner.apply(*arguments, **given) * 1.01

    monkeypatch.setattr("augfeed.bench.kernel.engine_for", lambda *_: Broken())
    out = tmp_path / "result.json"
    assert bench_kernel.main(["--quick", "--device", "cpu", "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no figures" in printed.err
    assert not out.exists()
