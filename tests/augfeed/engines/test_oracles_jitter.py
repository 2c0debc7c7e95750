"""Color jitter by torchvision's law on every engine, against its formulas written with Pillow."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy import stats

from augfeed.engines import Output
from augfeed.errors import PolicyError
from augfeed.notation import format_policy, parse_policy
from augfeed.ops import _enhance
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.program import CODES
from augfeed.policy import ColorJitter, Policy
from augfeed.show.program_steps import drawn_steps
from tests.cases import ENGINES, Shape, make_images, run

LAW = 'color_jitter(0.8, 0.8, 0.8, 0.2, hue_space="hsv", ordering="random", clamp="each")'
SHAPE = Shape(3, 13, 17, 10)
UINT8 = Output(torch.uint8)
ENHANCE = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def planned(line: str, count: int = SHAPE.batch, **key: Any) -> Plan:
    rows = BatchRows.of(np.arange(count))
    key = {"seed": 3, "epoch": 1} | key
    return draw_plan(parse_policy(line), rows, size=(SHAPE.height, SHAPE.width), **key)


def hued(image: Image.Image, turn: float) -> Image.Image:
    # torchvision/transforms/_functional_pil.py: adjust_hue.
    hue, saturation, value = image.convert("HSV").split()
    shifted = np.asarray(hue) + np.array(int(turn * 255)).astype(np.uint8)
    merged = Image.merge("HSV", (Image.fromarray(shifted), saturation, value))
    return merged.convert("RGB")


def by_pillow(image: NDArray[np.uint8], steps: list[tuple[str, float]]) -> NDArray[np.int64]:
    made = Image.fromarray(image)
    for name, value in steps:
        made = hued(made, value) if name == "hue" else ENHANCE[name](made).enhance(value)
    return np.asarray(made, np.int64)


def steps_of(plan: Plan, row: int) -> list[tuple[str, float]]:
    return [(step.name, step.values["magnitude"]) for step in drawn_steps(plan, 0, row, 3)]


@pytest.mark.parametrize("name", [*ENHANCE, "hue"])
@pytest.mark.parametrize("engine", ENGINES)
def test_each_step_is_within_one_level_of_pillow(engine: str, name: str) -> None:
    strength = 0.5 if name == "hue" else 0.9
    plan = planned(f'color_jitter({name}={strength}, hue_space="hsv", clamp="each")')
    images = make_images(SHAPE)
    made = run(engine, plan, images, output=UINT8).permute(0, 2, 3, 1).numpy().astype(np.int64)
    changed = 0
    for k in range(SHAPE.batch):
        ((drawn, value),) = steps = steps_of(plan, k)
        assert drawn == name and (abs(value) <= 0.5 if name == "hue" else 0.1 <= value <= 1.9)
        asked = by_pillow(images[k].numpy(), steps)
        assert np.abs(made[k] - asked).max() <= 1
        changed += int((asked != images[k].numpy()).any())
    assert changed == SHAPE.batch


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_in_any_order_are_those_of_pillow(engine: str) -> None:
    plan, images = planned(LAW), make_images(SHAPE)
    made = run(engine, plan, images, output=UINT8).permute(0, 2, 3, 1).numpy().astype(np.int64)
    for k in range(SHAPE.batch):
        gap = np.abs(made[k] - by_pillow(images[k].numpy(), steps_of(plan, k)))
        # A level that one step is off, the next ones multiply by their factors and a turn.
        assert gap.max() <= 12 and (gap > 1).mean() < 0.02


def test_the_order_is_any_of_24_alike_and_factors_are_uniform() -> None:
    plan = planned(LAW, 4800)
    drawn = [steps_of(plan, k) for k in range(4800)]
    orders = [tuple(name for name, _ in steps) for steps in drawn]
    counts = [orders.count(order) for order in permutations((*ENHANCE, "hue"))]
    assert sum(counts) == 4800 and stats.chisquare(counts).pvalue > 1e-3
    for name in (*ENHANCE, "hue"):
        values = [value for steps in drawn for other, value in steps if other == name]
        low, span = (-0.2, 0.4) if name == "hue" else (0.2, 1.6)
        assert stats.kstest(values, stats.uniform(low, span).cdf).pvalue > 1e-3


def test_without_an_order_the_four_stand_as_listed() -> None:
    line = 'color_jitter(0.4, 0.4, 0.4, 0.1, p=0.5, hue_space="hsv", clamp="each")'
    plan = planned(line, 400)
    found = [tuple(name for name, _ in steps_of(plan, k)) for k in range(400)]
    assert set(found) == {(), (*ENHANCE, "hue")}
    assert 150 < found.count(()) < 250


def test_every_color_turns_as_pillow_turns_it_by_the_definition() -> None:
    from augfeed.operation.reference import SampleColumns

    axis = np.arange(0, 256, 5)
    colors = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3).astype(np.uint8)
    values = torch.from_numpy(colors).permute(0, 2, 1).unsqueeze(2).float() / 255
    for turn in (0.0, 0.1, -0.3, 0.5):
        shift = np.trunc(np.array([turn * 255.0])) % 256
        given = SampleColumns({"turn": shift.astype(np.float32)}, torch.zeros(1, 1, 1, 1))
        made = (_enhance.Hue.reference(values, given) * 255).round()[0, :, 0].T.numpy()
        asked = np.asarray(hued(Image.fromarray(colors), turn), np.float64)[0]
        assert np.abs(made - asked).max() <= 1


@pytest.mark.parametrize("engine", ENGINES)
def test_gray_images_keep_what_needs_color(engine: str) -> None:
    shape = Shape(1, 9, 7, 4)
    rows = BatchRows.of(np.arange(4))
    line = 'color_jitter(saturation=0.9, hue=0.4, hue_space="hsv", clamp="each")'
    plan = draw_plan(parse_policy(line), rows, seed=1, epoch=0, size=(9, 7))
    made = run(engine, plan, make_images(shape), output=UINT8)
    assert torch.equal(made.permute(0, 2, 3, 1), make_images(shape))


def test_the_numbers_of_steps_are_those_of_the_loops() -> None:
    from augfeed.kernels import program

    assert (CODES[_enhance.Color], CODES[_enhance.Hue]) == (program.COLOR, program.HUE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hue_space": "hsv", "hue": 0.1}, "hue_space='hsv' and ordering='fixed' with clamp='end'"),
        ({"ordering": "random", "contrast": 1}, "ordering='random' with clamp='end'"),
        ({"clamp": "each", "hue": 0.1}, "hue_space='yiq' with clamp='each'"),
        ({"clamp": "each", "about": "half", "contrast": 1}, "about='half' and"),
        ({"clamp": "each"}, "changes nothing"),
    ],
)
def test_a_mixture_of_laws_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        ColorJitter(**given)


def test_both_laws_may_stand_in_one_policy_and_survive_text_and_json() -> None:
    policy = parse_policy(f"{LAW} | horizontal_flip | color_jitter(0.2) | {LAW}")
    assert parse_policy(format_policy(policy)) == policy
    assert Policy.from_json(policy.to_json()) == policy
    assert policy.find(ColorJitter) == ColorJitter(0.2)
    assert [item.op for item in policy.operations[:2]] == ["color_jitter", "color_jitter"]


def test_the_fast_law_is_as_it_was_beside_the_other() -> None:
    alone = planned("color_jitter(0.2, 0.3, 0.1, 0.05)")
    both = planned(f"color_jitter(0.2, 0.3, 0.1, 0.05) | {LAW}")
    for name in ("brightness", "contrast", "saturation", "hue"):
        one, other = (getattr(plan.columns, name) for plan in (alone, both))
        np.testing.assert_array_equal(one, other)
