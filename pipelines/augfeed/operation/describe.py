"""Validation errors in words: operation, parameter, value, bound and cure."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

SHOWN = 80
MOST_ERRORS = 32  # that are described: each is compared with the others
LONGEST_LINE = 1000  # characters
UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
MISSING = ("missing", "missing_argument")


class _ErrorLocation(NamedTuple):
    owner: type[Any]
    label: str
    parameter: str
    at: str


def describe(error: ValidationError, root: type[Any]) -> str:
    """Return the error of making a `root` as text, one line for each parameter at fault.

    Of many errors the first are described, and the others counted.
    """
    every = error.errors(include_url=False)
    items = every[:MOST_ERRORS]
    outer = {item["loc"][:end] for item in items for end in range(len(item["loc"]))}
    unknown = [_place(item["loc"], root) for item in items if item["type"] in UNKNOWN]
    groups: dict[tuple[str, str], list[tuple[_ErrorLocation, ErrorDetails]]] = {}
    for item in items:
        # Members that fail leave their list empty: that it is too short says nothing new.
        if item["type"] == "too_short" and item["loc"] in outer:
            continue
        place = _place(item["loc"], root)
        if item["type"] in MISSING and any(_misspelt(place, other) for other in unknown):
            continue
        groups.setdefault(place[1:3], []).append((place, item))
    lines = [*dict.fromkeys(map(_line, groups.values()))]
    if len(every) > len(items):
        lines.append(f"and {len(every) - len(items)} more errors")
    return "\n".join(map(_cut, lines))


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the cure for a misspelt name: the nearest known one, those that it is a word of
    ("crop" of "random_crop"), or all of them."""
    names = list(known)
    near = _near(name, names)
    alike = [known for known in names if name in known.split("_")]
    if near and not alike:
        return f"did you mean {near[0]!r}?"
    if alike:
        return f"did you mean {' or '.join(map(repr, alike))}?"
    return f"use one of {', '.join(names)}"


def shown(value: Any) -> str:
    """Return the `repr` of a value, cut if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def parameters(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of the parameters of an operation, in order."""
    return tuple(name for name in cls.__pydantic_fields__ if name != "op")


def _place(loc: tuple[int | str, ...], root: type[Any]) -> _ErrorLocation:
    owner, label, parameter, index = root, root.__name__, "", ""
    for part in loc:
        if not parameter:
            names = parameters(owner)
            positional = isinstance(part, int) and part < len(names)
            parameter = names[int(part)] if positional else str(part)
        elif isinstance(part, int):
            index = f"[{part}]"
        else:  # the tag of an operation, a field of a model, or the branch of a union
            for cls in _classes(owner, parameter):
                if _op(cls) == part:
                    owner, label, parameter, index = cls, part, "", ""
                    break
                if _op(cls) is None:
                    owner, label, parameter, index = cls, parameter, part, ""
                    break
    return _ErrorLocation(owner, label, parameter, index)


def _misspelt(missing: _ErrorLocation, unknown: _ErrorLocation) -> bool:
    return missing.label == unknown.label and bool(_near(unknown.parameter, [missing.parameter]))


def _near(name: str, known: list[str]) -> list[str]:
    # The nearest known name, if any is near, and none a third as long is: what looks for it would
    # go through a text of megabytes first.
    alike = [other for other in known if len(name) <= 3 * len(other)]
    return difflib.get_close_matches(name, alike, n=1) if alike else []


def _line(group: list[tuple[_ErrorLocation, ErrorDetails]]) -> str:
    # Of a union, the branch that the value has the type of is the one to speak of.
    kept = [pair for pair in group if not pair[1]["type"].endswith("_type")] or group
    place, item = kept[0]
    match item["type"]:
        case "union_tag_invalid" | "union_tag_not_found" | "model_attributes_type":
            return _no_operation(place, item["input"])
        case "unexpected_keyword_argument" | "extra_forbidden":
            cure = suggest(place.parameter, parameters(place.owner))
            return f"{place.label} has no parameter {place.parameter!r}: {cure}"
        case "missing" | "missing_argument":
            cure = f"give it, as in {place.label}({place.parameter}=...)"
            return f"{place.label} needs {place.parameter!r}: {cure}"
        case "multiple_argument_values":
            return f"{place.label} gets {place.parameter!r} twice: give it once"
        case "unexpected_positional_argument":
            takes = ", ".join(parameters(place.owner)) or "no parameters"
            return f"{place.label} takes {takes}: {shown(item['input'])} is one too many"
        case "value_error":
            said = str(item["msg"]).removeprefix("Value error, ")
            return f"{place.label}: {said}" if place.label != "Policy" else said
    bounds = dict.fromkeys(_bound(item) for near, item in kept if near.at == place.at)
    info = place.owner.__pydantic_fields__.get(place.parameter)
    about = f" ({info.description})" if info is not None and info.description else ""
    where = f"{place.label}: {place.parameter}{place.at}={shown(item['input'])}"
    return f"{where} is not allowed: it must be {' or '.join(bounds)}{about}"


def _bound(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "greater_than_equal":
            return f"at least {context['ge']:g}"
        case "greater_than":
            return f"above {context['gt']:g}"
        case "less_than_equal":
            return f"at most {context['le']:g}"
        case "less_than":
            return f"below {context['lt']:g}"
        case "literal_error":
            return str(context["expected"])
        case "finite_number":
            return "finite"
        case "tuple_type":
            return "a list"
        case "too_short":
            return f"a list of at least {context['min_length']}"
        case "too_long":
            return f"a list of at most {context['max_length']}"
        case "string_too_long":
            return f"of at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            return f"text that matches {context['pattern']}"
    said = str(item["msg"]).removeprefix("Input should be ").removeprefix("Value should be ")
    return said.partition(", ")[0]


def _no_operation(place: _ErrorLocation, value: Any) -> str:
    classes = list(_classes(place.owner, place.parameter))
    known = {str(_op(cls)): cls for cls in classes}
    name = value.get("op") if isinstance(value, dict) else getattr(value, "op", None)
    if isinstance(value, type):
        return f"{place.label}: {value.__name__} is a class: call it, as in {value.__name__}(...)"
    if isinstance(name, str):
        return f"{place.label} has no operation {shown(name)}: {suggest(name, known)}"
    where = f"{place.label}: {place.parameter}{place.at}={shown(value)}"
    if isinstance(value, dict):
        return f'{where} names no operation: give it an "op", one of {", ".join(known)}'
    plain = (cls for cls in classes if not any(
        info.is_required() for info in cls.__pydantic_fields__.values()
    ))  # fmt: skip
    return f"{where} is not an operation: give one, as in {next(plain).__name__}()"


def _classes(owner: type[Any], parameter: str) -> Iterator[type[Any]]:
    info = owner.__pydantic_fields__.get(parameter)
    return _leaves(info.annotation) if info is not None else iter(())


def _leaves(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_fields__"):
        yield annotation
    for inner in get_args(annotation):
        yield from _leaves(inner)


def _op(cls: type[Any]) -> str | None:
    info = cls.__pydantic_fields__.get("op")
    return None if info is None else str(info.default)
