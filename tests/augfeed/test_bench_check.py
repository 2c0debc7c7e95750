"""The gate of the measurement: an engine is timed only if another one makes the same pixels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from augfeed.bench import check, clock, kernel
from augfeed.bench.chains import chosen
from augfeed.bench.clock import Clock
from augfeed.bench.result import Shape
from augfeed.cli import app
from augfeed.engines import Output, engine_for
from augfeed.errors import CheckError, MissingExtraError
from augfeed.policy import Policy, Posterize

SHAPE = Shape(9, 3, 12, 10)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WARM", 0.0), ("COPIES", 3), ("COPY", {"cpu": 1 << 16})):
        monkeypatch.setattr(clock, name, value)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "kernel", *map(str, arguments)])


class BrokenEngine:
    """The engine for CPUs, with one thing changed."""

    name = "broken"

    def __init__(self, change: Any) -> None:
        self.inner, self.change = engine_for("cpu"), change

    def apply(self, *arguments: Any, **options: Any) -> Any:
        return self.change(self.inner.apply(*arguments, **options))


def spoiled(batch: torch.Tensor) -> torch.Tensor:
    batch = batch.clone()
    batch[-1, -1, -1, -1] += 0.01
    return batch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoiled, "1 of"),
        (lambda batch: batch * 1.01, "values differ"),
        (lambda batch: batch.flip(3), "values differ"),
        (lambda batch: batch.roll(1, 0), "values differ"),
        (lambda batch: batch / 0, "not finite"),
        (lambda batch: batch[:, :, 1:], "not torch.float32"),
        (lambda batch: batch.double(), "float64"),
    ],
)
def test_gate_stops(change: Any, message: str) -> None:
    wanted = chosen([SHAPE], ["seed_chain"])
    with pytest.raises(CheckError, match=message) as error:
        check.check(BrokenEngine(change), engine_for("cpu"), wanted, CPU, Output())
    assert "seed_chain at 9x3x12x10" in str(error.value)


@pytest.mark.parametrize("dtype", check.STORED)
def test_engines_pass_the_gate(dtype: torch.dtype) -> None:
    shapes = [Shape(9, 3, 32, 32), Shape(2, 1, 7, 5)]
    cpu, portable = engine_for("cpu"), engine_for("cpu", "portable")
    check.check(cpu, portable, chosen(shapes, None), CPU, Output(dtype))


@pytest.mark.parametrize(("count", "passes"), [(2, True), (40, False)])
def test_few_values_may_cross_a_threshold(count: int, passes: bool) -> None:
    def cross(batch: torch.Tensor) -> torch.Tensor:
        batch = batch.clone()
        batch.view(-1)[:count] += 16 / 255
        return batch

    policy = Policy([Posterize(4, p=1.0)])
    options = (engine_for("cpu"), {SHAPE: {"posterize": policy}}, CPU, Output())
    if passes:
        check.check(BrokenEngine(cross), *options)
    else:
        with pytest.raises(CheckError, match="posterize"):
            check.check(BrokenEngine(cross), *options)


def test_nothing_is_timed_when_the_gate_is_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timed = []

    def note(*arguments: Any) -> float:
        timed.append(arguments)
        return 1.0

    monkeypatch.setattr(Clock, "worked", note)
    monkeypatch.setattr(kernel, "engine_for", lambda *_: BrokenEngine(spoiled))
    out = tmp_path / "result.json"
    result = run("--shape", "4x3x8x8", "--chain", "flip", "--repeats", 3, "--json", out)
    assert result.exit_code == 2
    assert "nothing is timed" in result.stderr.replace("\n", " ")
    assert result.stdout == ""
    assert not timed
    assert not out.exists()


def test_engine_is_held_against_another_one() -> None:
    assert check.witness_for(engine_for("cpu")).name == "portable"  # type: ignore[union-attr]
    assert check.witness_for(engine_for("cpu", "portable")).name == "cpu"  # type: ignore[union-attr]


def test_without_kornia_it_says_that_nothing_was_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> Any:
        raise MissingExtraError("Kornia", "kornia")

    monkeypatch.setattr(check, "engine_for", missing)
    result = run("--shape", "4x3x8x8", "--chain", "flip", "--repeats", 3)
    assert result.exit_code == 0
    assert "pixels not compared" in result.stdout
