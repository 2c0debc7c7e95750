"""Views as one line of text: `global: dino_global_1, dino_global_2; local: dino_local x 8`."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from augfeed.errors import PolicyError
from augfeed.notation import format_policy, parse_calls
from augfeed.operation.describe import shown, suggest
from augfeed.presets import PRESETS, resolve_policy
from augfeed.view_presets import VIEW_PRESETS
from augfeed.views import View, Views

OPEN, CLOSED = "([{", ")]}"


def parse_views(text: str, *, files: bool = True) -> Views:
    """Return the views that a text describes; raise `PolicyError` naming what is wrong in it.

    That is a preset (`"dino"`, `"dino(224, 96, locals=6)"`), JSON, the path of a file of JSON, or
    tensors in the form `name: policy x count, policy; name in other: policy`, where `in` says whose
    windows these lie in. `share crop, color` as a part of its own says what all views draw
    together. `files=False` reads no file.
    """
    text = text.strip()
    if text.startswith("{"):
        return Views.from_json(text, files=files)
    if files and text.endswith(".json"):
        return _read(Path(text))
    parts = list(_split(text, ";"))
    if len(parts) == 1 and len(list(_split(text, ":"))) == 1:
        return _preset(text)
    tensors: dict[str, tuple[View, ...]] = {}
    inside: dict[str, str] = {}
    share: list[str] = []
    for part in parts:
        name, *policies = _split(part, ":")
        if not policies and name.split()[:1] == ["share"]:
            share += [kind.strip() for kind in name[len("share") :].split(",")]
            continue
        if len(policies) != 1:
            raise PolicyError(f"{shown(part)} is not a tensor of views: write name: policy x count")
        name, *outer = (word.strip() for word in name.split(" in "))
        if name in tensors:
            raise PolicyError(f"{shown(name)} stands in the text twice: give its views in one part")
        tensors[name] = tuple(_view(item, files=files) for item in _split(policies[0], ","))
        if outer:
            inside[name] = outer[0]
    return Views(tensors, share=share, inside=inside)


def format_views(views: Views) -> str:
    """Return a line that `parse_views` turns into the same views."""
    parts = [f"share {', '.join(views.share)}"] if views.share else []
    inside = dict(views.inside)
    for name, group in views.tensors:
        outer = f" in {inside[name]}" if name in inside else ""
        items = [format_policy(view.policy) + (f" x {view.count}" if view.count > 1 else "")
                 for view in group]  # fmt: skip
        parts.append(f"{name}{outer}: {', '.join(items)}")
    return "; ".join(parts)


def _view(item: str, *, files: bool) -> View:
    policy, *count = _split(item, " x ")
    if len(count) > 1 or not all(text.strip().isdecimal() for text in count):
        raise PolicyError(f"{shown(item)} is not a view: write policy x count, as simclr x 2")
    made = resolve_policy(policy, files=files)
    return View(made, int(count[0]) if count else 1)


def _preset(text: str) -> Views:
    call = parse_calls(text)[0] if text else None
    if call is None or call.name not in VIEW_PRESETS:
        known = call is not None and call.name in PRESETS
        cure = "it is a policy: give views=2 beside policy=" if known else suggest(
            text, VIEW_PRESETS)  # fmt: skip
        raise PolicyError(f"views={shown(text)} is not a preset of views: {cure}")
    make = VIEW_PRESETS[call.name]
    arguments: dict[str, Any] = call.arguments(tuple(inspect.signature(make).parameters))
    try:
        return make(**arguments)
    except PolicyError as error:
        raise call.error(str(error)) from None


def _read(path: Path) -> Views:
    try:
        return Views.from_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PolicyError(f"{str(path)!r} cannot be read as views: {error}") from None


def _split(text: str, mark: str) -> Iterator[str]:
    # At a mark that stands in no bracket and no quotes.
    depth, quote, start, place = 0, "", 0, 0
    while place < len(text):
        char = text[place]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char in OPEN) - (char in CLOSED)
            if depth == 0 and text.startswith(mark, place):
                yield text[start:place].strip()
                place = start = place + len(mark)
                continue
        place += 1
    yield text[start:].strip()
