"""Machine code as text: which instructions a thread carries out, and how often."""

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augfeed.bench.pipes import bits, cost
from augfeed.bench.sass import Instruction, Line, Listing
from augfeed.errors import InputError


def sass(*rows: str) -> str:
    """Write rows as nvdisasm does: a label as it is, an instruction behind its address."""
    written, address = [".text.k:"], 0
    for row in rows:
        if row.startswith(("//", ".")):
            written.append(f"\t{row}" if row.startswith("//") else row)
        else:
            written.append(f"        /*{address:04x}*/              {row} ;")
            address += 16
    return "\n".join(written)


def executed(text: str, trips: dict[str, float], taken: dict[str, float] | None = None) -> float:
    """Return the instructions of a thread; loops and branches are named by their first opcode."""
    listing = Listing.parse(text)
    rounds = {loop.head: trips[listing.blocks[loop.head][0].name] for loop in listing.loops}
    odds = {b: share for b in listing.choices for operands, share in (taken or {}).items()
            if operands in listing.blocks[b][-1].operands}  # fmt: skip
    counts = listing.counts(rounds, odds).tolist()
    return float(sum(map(operator.mul, map(len, listing.blocks), counts)))


LOOP = sass("MOV R1, c[0x0][0x28]", ".L_x_0:", "IADD3 R1, R1, 0x1, RZ", "FFMA R2, R1, R2, R3",
            "@P1 BRA `(.L_x_0)", "EXIT", ".L_x_1:", "BRA `(.L_x_1)", "NOP")  # fmt: skip


def test_instructions_are_read_with_their_guards_lines_and_addresses() -> None:
    load, ends = "@!P0 LDG.E.64 R2, desc[UR4][R4.64]", "EXIT"
    first, second = '//## File "/a/b.py", line 7', '//## File "/a/c.py", line 9'
    listing = Listing.parse(sass(first, load, second, ends))
    assert listing.instructions == (
        Instruction(0, "!P0", "LDG.E.64", "R2, desc[UR4][R4.64]", Line("/a/b.py", 7)),
        Instruction(16, None, "EXIT", "", Line("/a/c.py", 9)),
    )


def test_straight_code_is_carried_out_once_and_padding_never() -> None:
    text = sass("MOV R1, R2", "@P0 FADD R1, R1, R2", "EXIT", ".L_x_1:", "BRA `(.L_x_1)", "NOP")
    assert executed(text, {}) == 3
    assert not Listing.parse(text).loops


def test_body_of_a_loop_counts_as_often_as_it_goes_round() -> None:
    assert executed(LOOP, {"IADD3": 1}) == 1 + 3 + 1
    assert executed(LOOP, {"IADD3": 8}) == pytest.approx(1 + 8 * 3 + 1)


def test_guarded_instructions_are_issued_whether_they_act_or_not() -> None:
    plain, guarded = (sass(f"{guard}FADD R1, R1, R2", "EXIT") for guard in ("", "@!P3 "))
    assert executed(plain, {}) == executed(guarded, {}) == 2


def test_loop_may_be_left_in_its_middle_by_an_end() -> None:
    text = sass("MOV R1, R2", ".L_x_0:", "FADD R1, R1, R2", "@!P1 EXIT", "IADD3 R1, R1, 0x1, RZ",
                "BRA `(.L_x_0)")  # fmt: skip
    assert executed(text, {"FADD": 4}) == pytest.approx(1 + 4 * 2 + 3 * 2)


def test_jumps_to_addresses_are_those_to_labels() -> None:
    assert executed(LOOP.replace("`(.L_x_0)", "0x10"), {"IADD3": 5}) == executed(LOOP, {"IADD3": 5})


def test_branch_is_weighed_by_how_likely_it_is() -> None:
    text = sass("MOV R1, R2", "@P0 BRA `(.L_x_0)", "FADD R1, R1, R2", "FADD R1, R1, R2",
                "FADD R1, R1, R2", "BRA `(.L_x_1)", ".L_x_0:", "FMUL R1, R1, R2", ".L_x_1:",
                "EXIT")  # fmt: skip
    assert executed(text, {}, {"L_x_0": 0.0}) == 2 + 4 + 1
    assert executed(text, {}, {"L_x_0": 1.0}) == 2 + 1 + 1
    assert executed(text, {}, {"L_x_0": 0.75}) == pytest.approx(2 + 0.25 * 4 + 0.75 + 1)
    assert executed(text, {}) == pytest.approx(2 + 0.5 * 4 + 0.5 + 1)


def test_uniform_and_second_predicates_make_a_jump_conditional() -> None:
    for jump in ("BRA.U UP0, `(.L_x_0)", "BRA !P2, `(.L_x_0)", "@P0 BRA P2, `(.L_x_0)"):
        text = sass(jump, "FADD R1, R1, R2", ".L_x_0:", "EXIT")
        assert executed(text, {}, {"L_x_0": 0.25}) == pytest.approx(1 + 0.75 + 1)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_nested_loops_multiply(trips: list[int]) -> None:
    # Each loop has its own opcode at its head and one jump at its tail.
    names = ["FADD", "FMUL", "FFMA", "IADD3"][: len(trips)]
    heads = [row for k, name in enumerate(names) for row in (f".L_x_{k}:", f"{name} R1, R1, R2")]
    tails = [f"@P{k} BRA `(.L_x_{k})" for k in reversed(range(len(trips)))]
    found = executed(
        sass("MOV R1, R2", *heads, *tails, "EXIT"), dict(zip(names, trips, strict=True))
    )
    rounds = [math.prod(trips[: depth + 1]) for depth in range(len(trips))]
    assert found == pytest.approx(1 + 2 * sum(rounds) + 1)


@given(st.integers(1, 50), st.floats(0, 1))
def test_branch_inside_of_a_loop_counts_in_each_round(trips: int, share: float) -> None:
    text = sass(".L_x_0:", "FADD R1, R1, R2", "@P0 BRA `(.L_x_1)", "FMUL R1, R1, R2", ".L_x_1:",
                "@P1 BRA `(.L_x_0)", "EXIT")  # fmt: skip
    found = executed(text, {"FADD": trips}, {"L_x_1": share})
    assert found == pytest.approx(trips * (2 + (1 - share) + 1) + 1)


def test_branch_out_of_line_that_comes_back_is_no_loop() -> None:
    text = sass("@P0 BRA `(.L_x_1)", ".L_x_0:", "FADD R1, R1, R2", "EXIT", ".L_x_1:",
                "FMUL R1, R1, R2", "BRA `(.L_x_0)")  # fmt: skip
    assert not Listing.parse(text).loops
    assert executed(text, {}, {"L_x_1": 1.0}) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no instruction"),
        (sass("BRA `(.L_x_9)"), "not in it"),
        (sass("BRA 0x770"), "not in it"),
        (sass("BRX R2 -0x10", "EXIT"), "anywhere"),
        (sass(".L_x_0:", "FADD R1, R1, R2", "BRA `(.L_x_0)"), "no end"),
    ],
)
def test_code_that_cannot_be_followed_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _ = Listing.parse(text).loops


# What an instruction costs


def of(opcode: str) -> Instruction:
    return Instruction(0, None, opcode, "")


@pytest.mark.parametrize(
    ("opcode", "kind", "busy"),
    [
        ("FFMA", "fp32", {"issue": 1, "fma": 1}),
        ("FMNMX", "fp32", {"issue": 1, "alu": 2}),
        ("LOP3.LUT", "integer", {"issue": 1, "alu": 2}),
        ("IMAD.MOV.U32", "product", {"issue": 1, "fma": 1, "heavy": 2}),
        ("IMAD.WIDE.U32", "product", {"issue": 1, "fma": 2, "heavy": 4}),
        ("IMAD.HI.U32", "product", {"issue": 1, "fma": 2, "heavy": 4}),
        ("I2F.U8", "convert", {"issue": 1, "special": 8}),
        ("I2FP.F32.S32", "convert", {"issue": 1, "alu": 2}),
        ("MUFU.LG2", "special", {"issue": 1, "special": 8}),
        ("LDG.E.U8", "memory", {"issue": 1, "memory": 4}),
        ("LDG.E.64", "memory", {"issue": 1, "memory": 8}),
        ("STG.E.128", "memory", {"issue": 1, "memory": 16}),
        ("UIADD3", "uniform", {"issue": 1}),
        ("BRA", "control", {"issue": 1}),
        ("XYZZY.W", "other", {"issue": 1}),
    ],
)
def test_instructions_keep_busy_what_carries_them_out(
    opcode: str, kind: str, busy: dict[str, float]
) -> None:
    assert cost(of(opcode)) == (kind, busy)


def test_width_of_an_access_is_in_its_opcode() -> None:
    assert [bits(of(f"LDG.E{width}")) for width in ("", ".U8", ".S16", ".64", ".128.CONSTANT")] == [
        32, 8, 16, 64, 128,
    ]  # fmt: skip
