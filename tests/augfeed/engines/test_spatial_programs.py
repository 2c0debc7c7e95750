"""Sharpness, jpeg and elastic in programs: the same on all engines, in any order."""

import pytest
import torch

from augfeed.engines import Output
from augfeed.notation import parse_policy
from augfeed.policy import Jpeg, Policy, Sharpness
from tests.cases import ENGINES, Shape, make_images, plan_of, run

BYTES = Output(torch.uint8)
SHAPE = Shape(3, 12, 14, 4)
LINES = (
    "sequence([sharpness(1.9, p=1.0)])",
    "sequence([jpeg(30, p=1.0)])",
    "sequence([elastic(40, 2, 0.4, p=1.0)])",
    "sequence([rotate(20), sharpness(1.9, p=1.0), jpeg(30, p=0.7), elastic(40, 2), "
    "sharpness(0.3)])",
    "random_order([autocontrast(0.5), solarize_add(0.3), gamma(2.2), channel_shuffle(0.5), "
    "channel_drop(p=0.3), sharpness([0, 2]), jpeg, elastic(30, 3), equalize])",
    "equalize | sharpness | jpeg | elastic | hflip | some_of([jpeg, elastic, sharpness], n=2)",
)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("other", ENGINES[1:])
def test_engines_agree_on_programs_of_these_steps(line: str, other: str, channels: int) -> None:
    shape = SHAPE._replace(channels=channels)
    plan, images = plan_of(parse_policy(line), shape), make_images(shape)
    for given in (images, images.float() / 255):
        gap = (run("cpu", plan, given) - run(other, plan, given)).abs()
        assert (gap > 1e-5).float().mean() < 0.01  # a level that is rounded otherwise goes on


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_in_a_program_is_what_it_is_outside(engine: str) -> None:
    images = make_images(SHAPE)
    for item in (Sharpness(1.9, p=1.0), Jpeg(40, p=1.0)):
        alone = run(engine, plan_of(Policy([item]), SHAPE), images, output=BYTES)
        line = f"sequence([{item.op}({1.9 if item.op == 'sharpness' else 40}, p=1.0)])"
        inside = run(engine, plan_of(parse_policy(line), SHAPE), images, output=BYTES)
        assert torch.equal(alone, inside)
