"""Parameters of requests: those that a route names, each once, and numbers in one spelling."""

import json
import re
import typing
from collections import Counter
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant

from augfeed.operation.describe import shown, suggest
from augfeed_service.problems import Problem

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,39}")


async def check_parameters(request: Request) -> None:
    """Raise `Problem` for a parameter in the query that the route does not name, one that comes
    twice, and a number in the query or the path that is not written as JSON writes it.

    The application has every route of it depend on this.
    """
    dependant = request.scope["route"].dependant
    query, path = numbers_of(dependant, "query_params"), numbers_of(dependant, "path_params")
    given = request.query_params.multi_items()
    for name, count in Counter(name for name, _ in given).items():
        if name not in query:
            cure = suggest(name, query) if query else "it takes none"
            listed = f" (there are: {', '.join(query)})" if query else ""
            raise _malformed(f"parameter {shown(name)} is not known here: {cure}{listed}")
        if count > 1:
            raise _malformed(f"parameter {name!r} is given {count} times: give it once")
    spelt = [(name, text) for name, text in given if query[name]]
    spelt += [(name, text) for name, text in request.path_params.items() if path.get(name)]
    for name, text in spelt:
        if integer_of(text) is None:
            raise _malformed(
                f"{name}={shown(text)} is not a whole number as JSON writes it: give ASCII digits "
                "alone, without a sign '+', leading zeros, spaces, '_' or a point"
            )


def numbers_of(dependant: Dependant, place: str) -> dict[str, bool]:
    """Return the names of a route's parameters in the path or the query, and whether each is a
    whole number."""
    found = {
        field.alias: int in (field.field_info.annotation,
                             *typing.get_args(field.field_info.annotation))
        for field in getattr(dependant, place)
    }  # fmt: skip
    for inner in dependant.dependencies:
        found |= numbers_of(inner, place)
    return found


def integer_of(text: str) -> int | None:
    """Return the whole number that a text is, None for any other text or spelling."""
    return int(text) if _NUMBER.fullmatch(text) else None


def json_object(text: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object of a text; raise `Problem` for another text, and for names that come
    twice in an object. `what` names the text in the error."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:
                raise _malformed(f"{what} names {shown(name)} {count} times: name it once")
        return dict(pairs)

    try:
        found = json.loads(text.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"{what} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _malformed(f"{what} is not a JSON object: send one")
    return found


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed", detail)
