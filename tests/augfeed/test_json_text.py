"""JSON that says a thing twice is refused, wherever a person may have written it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from augfeed.errors import AugfeedError
from augfeed.json_text import parsed_json
from augfeed.policy import Policy
from augfeed.presets import resolve_policy
from augfeed.views import Views
from augfeed.wire import Description

FLIP = '{"operations": [{"op": "horizontal_flip", "p": 0.5, "p": 0.7}]}'
READ: dict[str, tuple[Callable[[str], Any], str]] = {
    "policy": (Policy.from_json, FLIP),
    "line": (resolve_policy, FLIP),
    "views": (Views.from_json, '{"tensors": [], "tensors": []}'),
    "description": (Description.parse, '{"dataset": "a", "dataset": "b"}'),
}


@pytest.mark.parametrize("name", READ)
def test_a_name_that_comes_twice_is_an_error(name: str) -> None:
    read, text = READ[name]
    with pytest.raises(AugfeedError, match=r"has the name '\w+' 2 times: give it once"):
        read(text)


def test_a_file_with_a_name_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(FLIP)
    with pytest.raises(AugfeedError, match="has the name 'p' 2 times"):
        resolve_policy(path)


@pytest.mark.parametrize("value", [{}, [], 1, "é", {"a": {"a": [{"a": 1}, {"a": 2}]}}, None])
def test_other_json_is_read_as_it_is(value: Any) -> None:
    assert parsed_json(json.dumps(value)) == parsed_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff", "{'a': 1}"])
def test_other_text_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parsed_json(text)
