"""Options of a dataset that is known by its path: those of its class, by name."""

import inspect
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from augfeed.errors import InputError
from augfeed.operation.describe import shown, suggest

_LOOSE = ConfigDict(arbitrary_types_allowed=True)


def checked_options(cls: type[Any], given: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """Return options of a class, as a command line or JSON has them, as its `__init__` takes them.

    Raises `InputError` for a name that it does not have, and for a value of another type.
    """
    known = _options_of(cls)
    made = {}
    for name, value in given.items():
        if name not in known:
            raise InputError(
                f"option {shown(name)} is not one of {cls.__name__}, which {str(path)!r} is read "
                f"by: {suggest(str(name), known)}"
            )
        try:
            made[name] = TypeAdapter(known[name], config=_LOOSE).validate_python(value)
        except ValidationError as error:
            raise InputError(
                f"option {name}={shown(value)} of {cls.__name__}: {error.errors()[0]['msg']}"
            ) from None
    return made


def _options_of(cls: type[Any]) -> dict[str, Any]:
    # What may be given by name alone, with its type.
    hints, known = get_type_hints(cls.__init__), dict[str, Any]()
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            known[parameter.name] = hints[parameter.name]
        elif parameter.kind is parameter.VAR_KEYWORD:
            known |= get_type_hints(get_args(hints[parameter.name])[0])
    return known


__all__ = ["checked_options"]
