"""Passes over the pixels are counted as the engines make them, and the page says the same."""

from pathlib import Path

import numpy as np
import pytest

from augfeed import parse_policy
from augfeed.bench.passes import Passes, passes_of
from augfeed.plan import BatchRows, draw_plan

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| `") and line.rstrip(" |").endswith("%")
]


@pytest.mark.parametrize(("line", "framed", "moved"), ROWS)
def test_the_page_of_recipes_says_how_many_samples_take_a_second_pass(
    line: str, framed: str, moved: str
) -> None:
    found = passes_of(parse_policy(line))
    assert (f"{found.framed:.0%}", f"{found.moved:.0%}") == (framed, moved)


def test_the_page_names_recipes() -> None:
    assert len(ROWS) > 5


@pytest.mark.parametrize(
    ("line", "framed", "moved"),
    [
        ("horizontal_flip | rotate(10) | color_jitter(0.4)", 0.0, 0.0),
        ("equalize(p=1.0)", 1.0, 0.0),
        ("sequence([rotate(10, p=1.0)])", 0.0, 0.0),
        ("sequence([equalize(p=1.0), rotate(10, p=1.0)])", 1.0, 0.0),
        ("sequence([rotate(10, p=1.0), equalize(p=1.0)])", 1.0, 1.0),
    ],
)
def test_only_what_cannot_be_composed_takes_a_second_pass(
    line: str, framed: float, moved: float
) -> None:
    assert passes_of(parse_policy(line), (32, 32)) == Passes(framed, moved)


def test_the_share_is_that_of_the_frames_that_engines_make() -> None:
    policy = parse_policy("random_crop(32) | trivial_augment_wide")
    plan = draw_plan(policy, BatchRows.of(np.arange(4096)), seed=0, epoch=0, size=(32, 32))
    assert plan.program is not None
    assert passes_of(policy) == Passes(float(plan.made.sum()) / 4096, 0.0)
    assert 0.5 < passes_of(policy).framed < 13 / 14


def test_passes_are_said_in_words() -> None:
    assert Passes(0.0, 0.0).text == "one pass over the pixels of every sample"
    assert Passes(0.57, 0.0).text.endswith("of 57%: their frame is made first")
    assert Passes(0.8, 0.2).text.endswith("made first, and pixels of 20% are moved on it")
