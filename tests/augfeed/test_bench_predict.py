"""The prediction of a kernel's time: what follows from counts, which have tests of their own."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from augfeed.bench import predict as model
from augfeed.bench.kernel_pass import Pass
from augfeed.bench.predict import (
    CHIPS,
    Chip,
    PredictedRow,
    Prediction,
    Wanted,
    reached,
    trips_by_stores,
)
from augfeed.bench.report import report_prediction
from augfeed.bench.result import Shape
from augfeed.bench.sass import Listing
from augfeed.cli import app
from augfeed.engines import Output
from augfeed.errors import InputError, MissingExtraError
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import CutMix, Mixup, Policy, RandomErasing, Rotate
from tests.cases import ENGINES

needs_triton = pytest.mark.skipif("cuda" not in ENGINES, reason="Triton is for Linux")
SHAPE = Shape(64, 3, 224, 224)
PIXELS = 64 * 224 * 224
CHIP = Chip(name="chip", processors=10, clock=1e9, bandwidth=1e12, cache=50 << 20)


def work(issue: float, kernel: str = "augment", programs: int = 1000, **cycles: float) -> Pass:
    return Pass(kernel=kernel, programs=programs, instructions=issue, most=issue, kinds={},
                cycles={"issue": issue, **cycles}, unknown=(), unknown_opcodes=())  # fmt: skip


# What a chip takes


def test_time_is_the_longer_of_instructions_and_bytes() -> None:
    # 40 warp instructions a ns: 32 instructions a pixel take a fortieth of a ns.
    few = reached(CHIP, (work(32),), SHAPE, (3 * PIXELS, 6 * PIXELS), 9 * PIXELS)
    assert few.issue == pytest.approx(PIXELS / 40e9)
    assert few.memory == pytest.approx(9 * PIXELS / 1e12)
    assert few.seconds == few.issue and few.bound == "issue"
    wide = CHIP.model_copy(update={"processors": 1000})
    many = reached(wide, (work(32),), SHAPE, (3 * PIXELS, 6 * PIXELS), 9 * PIXELS)
    assert many.seconds == many.memory and many.bound == "bytes"
    assert many.share == pytest.approx(1)


def test_part_that_is_busy_longest_decides() -> None:
    found = reached(CHIP, (work(32, alu=20, special=64),), SHAPE, (1, 1), 2)
    assert found.bound == "special"
    assert found.issue == pytest.approx(2 * PIXELS / 40e9)


def test_multiprocessor_with_one_program_more_is_waited_for() -> None:
    even, odd = (reached(CHIP, (work(32, programs=count),), SHAPE, (1, 1), 2)
                 for count in (20, 21))  # fmt: skip
    assert odd.issue == pytest.approx(even.issue * 30 / 21)


def test_frames_that_fit_half_of_the_cache_are_fetched_once_for_their_mean() -> None:
    passes = (work(1, "sum_frames"), work(1))
    for read, again in ((10 << 20, 0), (25 << 20, 0), (45 << 20, 20 << 20)):
        found = reached(CHIP, passes, SHAPE, (read, 7), 1)
        assert found.memory == pytest.approx((read + again + 7) / 1e12)


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.integers(1, 10**9))
def test_more_work_never_takes_less(issue: float, more: float, moved: int) -> None:
    few, many = (reached(CHIP, (work(count),), SHAPE, (moved, moved), moved)
                 for count in (issue, issue + more))  # fmt: skip
    assert few.seconds <= many.seconds and few.share >= many.share


# How often a loop goes round

LOOP = """
/*0000*/ MOV R1, R2 ;
.L_x_0:
/*0010*/ STG.E.128 [R2.64], R4 ;
/*0020*/ @P0 STG.E.64 [R2.64], R4 ;
/*0030*/ @P1 BRA `(.L_x_0) ;
/*0040*/ STG.E [R2.64], R4 ;
/*0050*/ EXIT ;
"""


def test_trips_of_a_loop_follow_from_what_is_stored() -> None:
    listing = Listing.parse(LOOP)
    assert trips_by_stores(listing, 5 * 192 + 32) == 5
    assert trips_by_stores(Listing.parse("/*0000*/ EXIT ;"), 0) == 1


@pytest.mark.parametrize("stored", [5 * 192, 5 * 192 + 33, 32, 0])
def test_code_that_stores_something_else_is_refused(stored: int) -> None:
    with pytest.raises(InputError, match="192 bits in a loop and 32 outside"):
        trips_by_stores(Listing.parse(LOOP), stored)


def test_more_loops_than_the_model_knows_are_refused() -> None:
    text = LOOP.replace("/*0040*/", "/*0038*/ @P2 BRA `(.L_x_0) ;\n.L_x_1:\n/*0040*/")
    text = text.replace("/*0050*/", "/*0048*/ @P3 BRA `(.L_x_1) ;\n/*0050*/")
    with pytest.raises(InputError, match="2 loops"):
        trips_by_stores(Listing.parse(text), 1000)


# Branches


def plan_of(*operations: Any, size: tuple[int, int] = (64, 48), count: int = 32) -> Plan:
    return draw_plan(Policy(operations), BatchRows.of(np.arange(count)), seed=3, epoch=0, size=size)


def spec_of(plan: Plan, output: torch.dtype = torch.bfloat16) -> Any:
    from augfeed.engines.cuda.spec import Spec

    images = torch.empty((1, *plan.size, 3), dtype=torch.uint8)
    return Spec.of(plan.policy, plan.size, images, Output(output), framed=True)


@needs_triton
def test_shares_are_those_of_the_plan() -> None:
    from augfeed.bench.branches import shares_of

    mixup = plan_of(Mixup(0.2, p=0.5), count=64)
    assert shares_of(mixup, spec_of(mixup), None)["mixed"] == np.mean(mixup.mixes.mode > 0)
    rotated = plan_of(Rotate(15, p=0.3), count=64)
    shares = shares_of(rotated, spec_of(rotated), None)
    assert shares["warped"] == np.mean(rotated.warped)
    assert shares["mixed"] == shares["erased"] == shares["outside"] == 0


@needs_triton
@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_steps_that_meet_a_box_are_counted(height: int, width: int, cut: bool) -> None:
    from augfeed.bench.branches import shares_of

    operation = CutMix(1.0) if cut else RandomErasing(p=1.0)
    plan = plan_of(operation, size=(height, width), count=8)
    spec = spec_of(plan)
    boxes = plan.mixes.patch if cut else plan.erased
    lines = np.zeros((8, height * width), bool)
    for row, (top, _, bottom, _) in zip(lines, boxes, strict=True):
        row[top * width : bottom * width] = True
    met = np.array([lines[:, first : first + spec.block].any(1)
                    for first in range(0, height * width, spec.block)])  # fmt: skip
    found = shares_of(plan, spec, None)["mixed" if cut else "erased"]
    used = met[:, plan.mixes.mode > 0] if cut else met
    assert found == pytest.approx(used.sum() / met.size)


@needs_triton
@given(st.integers(40, 200), st.integers(40, 200))
def test_tiles_that_meet_a_box_are_counted(height: int, width: int) -> None:
    from augfeed.bench.branches import shares_of

    plan = plan_of(Rotate(5), RandomErasing(p=1.0), size=(height, width), count=4)
    spec = spec_of(plan)
    down, across = spec.block // spec.tile, spec.tile
    met = [
        top < box[2] and box[0] < top + down and left < box[3] and box[1] < left + across
        for box in plan.erased for top in range(0, height, down) for left in range(0, width, across)
    ]  # fmt: skip
    assert shares_of(plan, spec, None)["erased"] == pytest.approx(np.mean(met))


@needs_triton
@pytest.mark.parametrize("degrees", [0.01, 20.0, 90.0])
def test_tiles_near_borders_are_counted(degrees: float) -> None:
    from augfeed.bench.branches import shares_of

    plan = plan_of(Rotate((degrees, degrees)), size=(128, 192), count=2)
    spec = spec_of(plan)
    y, x = np.mgrid[:128, :192]
    places = np.stack([x, y], -1) @ plan.inverse[0, :2, :2].T + plan.inverse[0, :2, 2]
    inside = (places >= 0).all(-1) & (places <= [191, 126]).all(-1)
    tiles = inside.reshape(-1, spec.block // spec.tile, 192 // spec.tile, spec.tile)
    expected = 1 - tiles.all((1, 3)).mean()
    assert shares_of(plan, spec, None)["bordered"] == pytest.approx(expected)
    assert 0 < expected < 1


def line_of(file: str, text: str) -> int:
    source = Path(model.__file__).parents[1] / "engines" / "cuda" / file
    lines = source.read_text().splitlines()
    return next(k for k, line in enumerate(lines, 1) if line.strip().startswith(text))


def branch(line: int, jump: str, file: str = "kernel.py") -> Listing:
    return Listing.parse(f"""
        //## File "/elsewhere/{file}", line {line}
        /*0000*/ @P0 BRA `(.L_x_{jump}) ;
        /*0010*/ FADD R1, R1, R2 ;
        /*0020*/ FADD R1, R1, R2 ;
        /*0030*/ FADD R1, R1, R2 ;
        /*0040*/ BRA `(.L_x_1) ;
        .L_x_0:
        /*0050*/ FMUL R1, R1, R2 ;
        .L_x_1:
        /*0060*/ EXIT ;
    """)


@needs_triton
def test_condition_is_what_the_longer_side_is_for() -> None:
    from augfeed.bench.branches import odds_of

    line = line_of("kernel.py", "if mixes:")
    assert odds_of(branch(line, "0"), {"mixed": 0.25}).taken == {0: 0.75}
    # The same with the longer side behind the jump.
    other = Listing.parse(f"""
        //## File "/elsewhere/kernel.py", line {line}
        /*0000*/ @P0 BRA `(.L_x_0) ;
        /*0010*/ FMUL R1, R1, R2 ;
        /*0020*/ EXIT ;
        .L_x_0:
        /*0030*/ FADD R1, R1, R2 ;
        /*0040*/ FADD R1, R1, R2 ;
        /*0050*/ FADD R1, R1, R2 ;
        /*0060*/ EXIT ;
    """)
    assert odds_of(other, {"mixed": 0.25}).taken == {0: 0.25}


@needs_triton
def test_branch_that_is_not_known_is_reported_and_taken_always() -> None:
    from augfeed.bench.branches import odds_of

    assert odds_of(branch(1, "0"), {"mixed": 0.25}) == ({0: 0.0}, ("kernel.py:1",))
    assert odds_of(branch(1, "0", "other.py"), {}).unknown == ("other.py:1",)


@needs_triton
def test_every_condition_stands_in_the_source_of_the_kernel() -> None:
    from augfeed.bench.branches import CONDITIONS, SOURCES

    lines = [
        line.strip() for path in SOURCES.glob("*.py") for line in path.read_text().splitlines()
    ]
    for name, start in CONDITIONS.items():
        assert any(re.match(start, line) for line in lines), name


# The command


def row(**changes: Any) -> PredictedRow:
    passes = (work(10, "sum_frames"), work(77.4).model_copy(update={"most": 99.6, **changes}))
    taken = tuple(reached(chip, passes, SHAPE, (3 * PIXELS, 6 * PIXELS), 9 * PIXELS)
                  for chip in CHIPS)  # fmt: skip
    return PredictedRow(chain="jitter", policy="jitter", shape=SHAPE, moved=9 * PIXELS,
                        read=3 * PIXELS, again=4 * PIXELS, written=6 * PIXELS, passes=passes,
                        reached=taken)  # fmt: skip


def printed(found: PredictedRow) -> str:
    made = Prediction(date="today", command="augfeed", commit=None, versions={"triton": "3.7"},
                      dtype="bfloat16", channels_last=False, chips=CHIPS,
                      rows=(found,))  # fmt: skip
    assert Prediction.model_validate_json(made.model_dump_json()) == made
    out = StringIO()
    Console(file=out, width=120).print(report_prediction(made))
    return out.getvalue()


def test_table_shows_instructions_bytes_and_shares() -> None:
    found = row()
    text = printed(found)
    (cells,) = [line.split() for line in text.splitlines() if line.strip().startswith("jitter")]
    assert cells[:4] == ["jitter", "87", "110", "9.0+4.0"]
    assert f"{found.reached[0].share:.0%}" in cells and found.reached[1].bound in cells
    assert "unknown" not in text.replace("commit unknown", "")


def test_table_shows_what_is_assumed() -> None:
    assert "kernel.py:7" in printed(row(unknown=("kernel.py:7",)))
    assert "left out" not in printed(row()).replace("launches are left out", "")
    framed = printed(row().model_copy(update={"left_out": True}))
    assert "jitter: the kernels that make frames before the pass are left out" in framed


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["bench", "kernel", "--predict", *arguments])
    assert result.exit_code == 2 and result.stdout == ""
    return result.stderr


@pytest.mark.parametrize("option", [("--device", "cpu"), ("--engine", "cpu"), ("--repeats", "5")])
def test_options_of_a_measurement_are_refused(option: tuple[str, str]) -> None:
    assert "leave out --device, --engine, --repeats" in refused(*option)


@needs_triton
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "3x224"), "64x3x224x224"),
        (("--chain", "blur"), "use one of"),
        (("--dtype", "uint8"), "bfloat16"),
    ],
)
def test_command_refuses(
    arguments: tuple[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert message in refused(*arguments)


@needs_triton
def test_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "unset it" in refused()


def test_triton_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"augfeed\[cuda\]"):
        Wanted.of()
