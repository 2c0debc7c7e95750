"""Programs on all engines: against Pillow, in any batch, with flips, partners and floats."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from augfeed.engines import Output
from augfeed.notation import parse_policy
from augfeed.operation import Geometry
from augfeed.operation.program import (
    Candidate,
    Entry,
    Graded,
    Node,
    Series,
    UniformBins,
    shuffled,
)
from augfeed.ops import _enhance
from augfeed.plan import BatchRows, Plan, Program, draw_plan
from augfeed.plan.program import codes_of
from augfeed.policy import (
    Equalize,
    Invert,
    Policy,
    Posterize,
    Rotate,
    Sequence,
    Sharpness,
    Solarize,
)
from tests.cases import (
    CASES,
    ENGINES,
    INTERPRETED,
    Shape,
    assert_agree,
    fitted,
    make_images,
    plan_of,
    policy_of,
    run,
    usual,
)
from tests.sampling import covering_names, sampled

BYTES = Output(torch.uint8)
PROGRAMS = sorted(
    name for name, case in CASES.items() if policy_of(case, 3).programs and name != "nothing"
)
# Every step that a program may have, in few programs.
CODES = {name: {*chain(*codes_of(policy_of(CASES[name], 3)))} for name in PROGRAMS}
FEW = covering_names(CODES)
Step = Callable[[Image.Image, float], Image.Image]


def tried_program(name: str, engine: str) -> bool:
    """Every program, and every step where kernels are interpreted."""
    return engine not in INTERPRETED or name in FEW


def enhanced(name: str) -> Step:
    return lambda image, m: getattr(ImageEnhance, name)(image).enhance(1 + m)


# What Pillow does, by the name of a candidate.
PILLOW: dict[str, Step] = {
    "Brightness": enhanced("Brightness"),
    "Contrast": enhanced("Contrast"),
    "Color": enhanced("Color"),
    "Sharpness": enhanced("Sharpness"),
    "Equalize": lambda image, m: ImageOps.equalize(image),
    "Invert": lambda image, m: ImageOps.invert(image),
    "Posterize": lambda image, m: ImageOps.posterize(image, round(m)),
    "Solarize": lambda image, m: ImageOps.solarize(image, round(m)),
}


def factor(m: NDArray[np.float64], size: Any) -> NDArray[np.float64]:
    return 1 + m[:, None]


def nothing(m: NDArray[np.float64], size: Any) -> NDArray[np.float64]:
    return np.zeros((len(m), 0))


def same(m: NDArray[np.float64], size: Any) -> NDArray[np.float64]:
    return m[:, None]


def threshold(m: NDArray[np.float64], size: Any) -> NDArray[np.float64]:
    return (m[:, None] - 0.5) / 255


def turned(m: NDArray[np.float64], size: Any) -> NDArray[np.float64]:
    return Rotate(180).inverse({"applied": np.ones(len(m), np.bool_), "degrees": m}, size)


def negative(m: NDArray[np.float64], size: Any) -> NDArray[np.float64]:
    return np.ones((len(m), 1))


STRENGTH = tuple(np.linspace(0, 0.95, 11).tolist())
CANDIDATES: dict[str, tuple[Candidate, tuple[float, ...]]] = {
    "Brightness": (Candidate("Brightness", _enhance.Brightness, factor, signed=True), STRENGTH),
    "Contrast": (Candidate("Contrast", _enhance.Contrast, factor, signed=True), STRENGTH),
    "Color": (Candidate("Color", _enhance.Color, factor, signed=True), STRENGTH),
    "Sharpness": (Candidate("Sharpness", Sharpness, factor, signed=True), STRENGTH),
    "Equalize": (Candidate("Equalize", Equalize, nothing), (0.0,)),
    "Invert": (Candidate("Invert", Invert, negative), (0.0,)),
    "Posterize": (Candidate("Posterize", Posterize, same),
                  (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0)),
    "Solarize": (Candidate("Solarize", Solarize, threshold),
                 tuple(np.linspace(0, 256, 11).round().tolist())),
}  # fmt: skip
# Of contrast the mean gray may be another level than Pillow's, which rounds each pixel's before.
EXACT = tuple(name for name in CANDIDATES if name != "Contrast")


def drawn_from(names: tuple[str, ...]) -> Graded:
    return Graded(tuple((Entry(*CANDIDATES[name]),) for name in names), UniformBins(11))


def plan_by(
    monkeypatch: pytest.MonkeyPatch, tree: Node, shape: Shape, p: float, *more: Any
) -> tuple[Plan, Program]:  # fmt: skip
    """Return a plan whose programs are drawn from a tree; `p` sets policies apart."""
    monkeypatch.setattr(Sequence, "tree", lambda self: tree)
    policy = Policy([Sequence((Invert(1.0),), p=p), *more])
    rows, size = BatchRows.of(np.arange(shape.batch)), (shape.height, shape.width)
    plan = draw_plan(policy, rows, seed=3, epoch=1, size=size)
    assert plan.program is not None
    return plan, plan.program


def by_pillow(program: Program, row: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gray = image.shape[2] == 1
    made = Image.fromarray(image[..., 0] if gray else image)
    for k, number in enumerate(program.slots.leaf[row]):
        if number:
            name = program.leaves[number - 1].name
            made = PILLOW[name](made, float(program.slots.magnitude[row, k]))
    return np.asarray(made).reshape(image.shape)


def assert_pillows(
    engine: str, plan: Plan, program: Program, images: torch.Tensor, most: int
) -> None:
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1).numpy()
    for row in range(plan.count):
        wanted = by_pillow(program, row, images[row].numpy())
        gap = np.abs(made[row].astype(int) - wanted.astype(int)).max()
        names = [program.leaves[n - 1].name for n in program.slots.leaf[row] if n]
        assert gap <= most, f"{names} at {program.slots.magnitude[row]} differ by {gap}"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CANDIDATES)
def test_a_single_step_is_pillows(
    name: str, channels: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = fitted(Shape(channels, 18, 23, 16), engine)
    tree = drawn_from((name,))
    key = 0.5 + list(CANDIDATES).index(name) / 100
    plan, program = plan_by(monkeypatch, tree, shape, key)
    assert_pillows(engine, plan, program, make_images(shape), most=int(name == "Contrast"))


@pytest.mark.parametrize("steps", [2, 4])
def test_sequences_of_steps_are_pillows_to_the_bit(
    steps: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = fitted(Shape(3, 18, 23, 60), engine)
    tree = Series((drawn_from(EXACT),) * steps)
    plan, program = plan_by(monkeypatch, tree, shape, 0.7 + steps / 100)
    assert_pillows(engine, plan, program, make_images(shape), most=0)


def test_all_steps_in_any_order_are_pillows_to_the_bit(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = fitted(Shape(3, 13, 11, 40), engine)
    tree = shuffled(tuple(drawn_from((name,)) for name in EXACT))
    plan, program = plan_by(monkeypatch, tree, shape, 0.8)
    assert_pillows(engine, plan, program, make_images(shape), most=0)


def test_a_turn_is_pillows_but_for_rounding_and_the_border(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = fitted(Shape(3, 24, 30, 8), engine)
    turn = Candidate("Rotate", Geometry, turned, signed=True, moves=True)
    tree = Series((Graded(((Entry(turn, STRENGTH),),), UniformBins(11)), drawn_from(("Invert",))))
    plan, program = plan_by(monkeypatch, tree, shape, 0.81)
    images = make_images(shape)
    made = run(engine, plan, images, output=BYTES).permute(0, 2, 3, 1).numpy()
    for row in range(plan.count):
        image = Image.fromarray(images[row].numpy())
        rotated = image.rotate(float(program.slots.magnitude[row, 0]),
                               resample=Image.Resampling.BILINEAR)  # fmt: skip
        wanted = 255 - np.asarray(rotated).astype(int)
        gap = np.abs(made[row].astype(int) - wanted)[3:-3, 3:-3]
        assert gap.max() <= 1


@sampled(tried_program, {"name": PROGRAMS, "engine": ENGINES})
def test_bits_of_a_program_are_the_same_in_any_batch(name: str, engine: str) -> None:
    shape = fitted(Shape(3, 12, 16, 4), engine)
    policy, images = policy_of(CASES[name], 3), make_images(shape)
    plan = plan_of(policy, shape)
    whole = run(engine, plan, images)
    size = (shape.height, shape.width)
    some = np.arange(1, min(3, shape.batch))
    rows = BatchRows(100 + some, some // 8, some, len(some))
    part = draw_plan(plan.policy, rows, seed=5, epoch=3, size=size)
    if policy.mixer is None:
        assert torch.equal(run(engine, part, images[1:3]), whole[1:3])
    again = run(engine, plan, images)
    assert torch.equal(again, whole)


def test_a_program_of_geometry_alone_is_the_pass_alone(engine: str) -> None:
    shape = usual(engine)
    plan = plan_of(parse_policy("hflip | one_of([rotate(30), shear(10)])"), shape)
    assert not plan.made.any()
    alone = replace(plan, program=None, policy=parse_policy("hflip | rotate(30)"))
    images = make_images(shape)
    assert torch.equal(run(engine, plan, images), run(engine, alone, images))


def test_flips_are_done_before_a_program(engine: str) -> None:
    shape, line = usual(engine), "sequence([translate(0.3), equalize(1.0), shear(20)])"
    images = make_images(shape)
    flipped = plan_of(parse_policy(f"hflip(1.0) | vflip(1.0) | {line}"), shape)
    made = run(engine, flipped, images)
    wanted = run(engine, plan_of(parse_policy(line), shape), images.flip(1).flip(2))
    assert_agree(made, wanted, flipped)


def test_partners_have_programs_of_their_own(engine: str) -> None:
    shape, line = usual(engine), "one_of([solarize(0.5, p=1.0), rotate(40), equalize(1.0)])"
    images = make_images(shape)
    alone = run(engine, plan_of(parse_policy(line), shape), images)
    plan = plan_of(parse_policy(f"{line} | mixup(0.7)"), shape)
    mixed, lam = run(engine, plan, images), torch.from_numpy(plan.mixes.lam).view(-1, 1, 1, 1)
    partners = torch.from_numpy(plan.mixes.partner.astype(np.int64))
    assert plan.mixes.mode.any()
    assert (mixed - (lam * alone + (1 - lam) * alone[partners])).abs().max() < 1e-5


@sampled(tried_program, {"name": PROGRAMS, "engine": ENGINES})
def test_floats_are_rounded_to_levels_before_a_program(name: str, engine: str) -> None:
    shape = fitted(Shape(3, 12, 16, 4), engine)
    plan, images = plan_of(policy_of(CASES[name], 3), shape), make_images(shape)
    assert_agree(run(engine, plan, images.float() / 255), run(engine, plan, images), plan)


def test_floats_that_are_no_numbers_are_black_in_a_program(engine: str) -> None:
    shape = Shape(3, 8, 9, 2)
    images = make_images(shape).float() / 255
    images[0, 0, :3] = torch.tensor([torch.nan, -torch.inf, -3.0])[:, None]
    plan = plan_of(parse_policy("sequence([posterize(8, p=1.0), posterize(7, p=1.0)])"), shape)
    made = run(engine, plan, images)
    assert (made[0, :, 0, :3] == 0).all() and torch.isfinite(made).all()


def test_what_the_border_says_fills_what_a_program_moves_in(engine: str) -> None:
    shape = Shape(3, 9, 12, 3)
    line = "sequence([translate(0.4), posterize(8, p=1.0), equalize(0.0), invert(1.0)])"
    white = torch.full((3, 9, 12, 3), 255, dtype=torch.uint8)
    plan = plan_of(parse_policy(f"{line} | border(fill=1.0)"), shape)
    assert (run(engine, plan, white, output=BYTES) == 0).all()
    plan = plan_of(parse_policy(line), shape)
    assert run(engine, plan, white, output=BYTES).max() == 255
