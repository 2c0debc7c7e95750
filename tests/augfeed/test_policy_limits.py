"""Policies that are too long: refused before any of their work is done, in few words."""

import difflib
import json
from collections.abc import Callable
from itertools import count, repeat
from typing import Any

import pytest
from pydantic import ValidationError

from augfeed import parse_policy
from augfeed.errors import InputError, PolicyError
from augfeed.ops import kornia
from augfeed.policy import MOST_OPERATIONS, HorizontalFlip, Policy
from augfeed.presets import resolve_policy
from augfeed.wire import Description

STAGE = {"op": "kornia", "name": "RandomGamma"}
LONG = [STAGE] * 5000
REFUSED = (PolicyError, InputError, ValidationError)
WORD = "x" * 5_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: Policy(LONG),
        lambda: Policy(repeat(STAGE)),  # without end
        lambda: Policy.from_json(json.dumps({"operations": LONG})),
        lambda: Policy.model_validate({"operations": LONG}),
        lambda: resolve_policy(json.dumps({"operations": LONG})),
        lambda: Description.parse(json.dumps({"dataset": "a", "policy": {"operations": LONG}})),
        lambda: Policy([HorizontalFlip()]).with_(*LONG),
    ],
)
def test_no_stage_of_a_policy_that_is_too_long_is_built(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr(kornia, "build", built.append)
    with pytest.raises(REFUSED, match=f"above {MOST_OPERATIONS}: leave some out"):
        make()
    assert built == []


def test_a_line_of_too_many_stages_ends_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    monkeypatch.setattr(kornia, "build", built.append)
    with pytest.raises(PolicyError, match="leave some out"):
        parse_policy(" | ".join(["kornia('RandomGamma')"] * 400))
    assert len(built) <= MOST_OPERATIONS + 1


def test_as_many_operations_as_there_may_be_are_carried_out() -> None:
    pytest.importorskip("kornia")
    assert len(Policy([STAGE] * MOST_OPERATIONS).operations) == MOST_OPERATIONS


@pytest.mark.parametrize("text", [
    {"name": WORD}, {"invariances": {"name": WORD}}, {"invariances": {"reason": WORD}},
])  # fmt: skip
def test_words_of_a_policy_have_a_length(text: Any) -> None:
    with pytest.raises(PolicyError, match=r"at most \d+ characters") as caught:
        Policy.from_json(json.dumps(text))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("operation", [
    {"op": "rotate"} | {f"d{k}": 1 for k in range(6000)},
    {"op": "normalize", "mean": ["a"] * 6000, "std": 1},
    {"op": "one_of", "operations": [{"op": "x"}] * 6000},
    {"op": "one_of", "operations": [{"op": "mixup"}], "weights": [1] * 6000},
    {"op": "kornia", "name": "RandomGamma", "parameters": {f"d{k}": 1 for k in range(6000)}},
    {"op": "kornia", "name": "RandomGamma", "parameters": {"gamma": [1] * 6000}},
    {"op": "kornia", "name": "RandomGamma", "parameters": {"p": [1] * 6000}},
    {"op": WORD}, {WORD: 1}, {"op": "rotate", WORD: 1}, {"op": "rotate", "degrees": WORD},
    {"op": "kornia", "name": WORD}, {"op": "kornia", "name": "RandomGamma", WORD: 1},
    {"op": "kornia", "name": "RandomGamma", "parameters": {WORD: 1}},
    {"op": "kornia", "name": "RandomGamma", "parameters": {"p": WORD}},
], ids=map(str, count()))  # fmt: skip
def test_errors_are_short_and_few_are_compared_whatever_is_wrong(
    operation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, closest = list[str](), difflib.get_close_matches

    def counted(name: str, *given: Any, **more: Any) -> Any:
        compared.append(name)
        return closest(name, *given, **more)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    with pytest.raises(PolicyError) as caught:
        Policy.from_json(json.dumps({"operations": [operation]}))
    assert 0 < len(str(caught.value)) < 40_000
    assert len(compared) < 100 and max(map(len, compared), default=0) < 1000


@pytest.mark.parametrize("line", ["cutout(4, fill={})", "erase(fill={})"])
@pytest.mark.parametrize("fill", [1e308, -1e5])
def test_a_fill_is_one_that_every_dtype_of_images_holds(line: str, fill: float) -> None:
    with pytest.raises(PolicyError, match="65504"):
        parse_policy(line.format(fill))
