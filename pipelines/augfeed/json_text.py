"""JSON that says each thing once."""

import json
from collections import Counter
from typing import Any

from pydantic_core import from_json


def parsed_json(text: str | bytes) -> Any:
    """Return what a JSON text says; raise `ValueError` for other text.

    So does an object that has a name twice: which of its values was meant cannot be known.
    """
    value = from_json(text)  # first: it bounds how deep objects lie in each other
    json.loads(text, object_pairs_hook=_once)
    return value


def _once(pairs: list[tuple[str, Any]]) -> None:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"an object has the name {name!r} {count} times: give it once")


__all__ = ["parsed_json"]
